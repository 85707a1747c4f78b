//! Compares what was read of the host with what is declared, each resource after those that it depends on,
//! and keeps what the plan leaves of each.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use crate::resource::host::{Host, MemoEntry};
use crate::resource::kinds::kind::{Reading, Weighed};
use crate::resource::model::id::Id;
use crate::resource::registry::Resource;

/// Compares resources that were read. The results are in the order of `read`, which decides nothing else.
pub fn compare(read: Vec<(&Resource, Result<Reading<'_>>)>, host: &Host) -> Vec<Result<Weighed>> {
    let (resources, readings): (Vec<&Resource>, Vec<_>) = read.into_iter().unzip();
    let mut readings: Vec<_> = readings.into_iter().map(Some).collect();
    let mut compared = Vec::with_capacity(readings.len());
    for place in Order::of(&resources) {
        let Some(reading) = readings[place].take() else { continue };
        let weighed = reading.and_then(|reading| reading(host));
        if let Ok(Weighed { change, digest, before, changed_at, .. }) = &weighed {
            host.record(
                resources[place].id(),
                MemoEntry {
                    changed: change.is_some(),
                    digest: digest.clone(),
                    before: before.clone(),
                    changed_at: *changed_at,
                },
            );
        }
        compared.push((place, weighed));
    }
    compared.sort_unstable_by_key(|(place, _)| *place);
    compared.into_iter().map(|(_, weighed)| weighed).collect()
}

/// An order in which each resource comes after those that it depends on.
struct Order {
    /// What the resource at each place depends on.
    sources: Vec<Vec<Id>>,
    /// The places of the resources that depend on others.
    dependent: HashMap<Id, usize>,
    seen: HashSet<usize>,
    places: Vec<usize>,
}

impl Order {
    fn of(resources: &[&Resource]) -> Vec<usize> {
        let sources: Vec<_> = resources.iter().map(|resource| resource.depends_on()).collect();
        let is_free = |place: &usize| sources[*place].is_empty();
        // Most resources depend on none. They come first, without a look-up of their ids.
        let (places, later): (Vec<usize>, Vec<usize>) = (0..resources.len()).partition(is_free);
        let dependent = later.iter().map(|place| (resources[*place].id(), *place)).collect();
        let mut order = Self { sources, dependent, seen: HashSet::new(), places };
        for place in later {
            order.visit(place);
        }
        order.places
    }

    fn visit(&mut self, place: usize) {
        if !self.seen.insert(place) {
            return;
        }
        for source in std::mem::take(&mut self.sources[place]) {
            if let Some(source) = self.dependent.get(&source).copied() {
                self.visit(source);
            }
        }
        self.places.push(place);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::resource::host::fs::Owner;
    use crate::resource::kinds::file::File;
    use crate::resource::kinds::file::content::{Content, Part};
    use crate::resource::kinds::host_secret::HostSecret;
    use crate::resource::kinds::kind::weigh;
    use crate::resource::kinds::link::Link;
    use crate::resource::kinds::unit::{OnChange, Unit, UnitState};

    fn unit(inputs: Vec<Id>) -> Unit {
        Unit::new("app.service", inputs, OnChange::Restart)
    }

    /// A secret that gets another value, a file that has it in it, a link that changes, and a unit that is
    /// started with both.
    fn resources() -> Vec<Resource> {
        let secret = HostSecret { name: "key".to_owned(), bytes: 4, renew: true };
        let parts = vec![Part::Text("KEY=".to_owned()), Part::HostSecret("key".to_owned())];
        let owner = Owner::new(
            rustix::process::geteuid().as_raw().to_string(),
            rustix::process::getegid().as_raw().to_string(),
        );
        let environment = File::new("/env", Content::Parts(parts), 0o600, owner);
        let link = Link { path: "/link".into(), target: "/new".into() };
        let (environment, link): (Resource, Resource) = (environment.into(), link.into());
        let unit = unit(vec![environment.id(), link.id()]);
        vec![secret.into(), environment, link, unit.into()]
    }

    /// The unit runs, and was started with what nobody knows any more.
    fn running() -> UnitState {
        let state = serde_json::json!({
            "loaded": true, "active": "active", "enabled": "enabled", "start": ["first", 1],
            "stamp": {"digest": "unknown", "start": ["first", 1]}, "held": false,
        });
        serde_json::from_value(state).unwrap()
    }

    async fn compared(resources: &[Resource], host: &Host) -> Vec<(Id, Weighed)> {
        host.begin_plan();
        let mut read = Vec::new();
        for resource in resources {
            let reading: Result<Reading<'_>> = match resource {
                Resource::Unit(unit) => {
                    Ok(Box::new(move |host: &Host| weigh(unit, &running(), None, host)))
                }
                other => other.read(host).await,
            };
            read.push((resource, reading));
        }
        let found = compare(read, host).into_iter().map(Result::unwrap);
        let mut found: Vec<_> = resources.iter().map(Resource::id).zip(found).collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_order_in_which_resources_are_compared_changes_no_result(
            shuffled in Just(resources()).prop_shuffle()
        ) {
            let root = tempfile::tempdir().unwrap();
            let host =
                Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
            let secrets = host.state_dir().join("secrets");
            fs::create_dir_all(&secrets).unwrap();
            fs::write(secrets.join("key"), "01234567").unwrap();
            fs::write(root.path().join("env"), "KEY=01234567").unwrap();
            std::os::unix::fs::symlink("/old", root.path().join("link")).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

            let expected = runtime.block_on(compared(&resources(), &host));
            let found = runtime.block_on(compared(&shuffled, &host));

            prop_assert_eq!(format!("{expected:?}"), format!("{found:?}"));
            let because: Vec<_> = found
                .iter()
                .filter_map(|(_, weighed)| weighed.change.as_ref()?.because.as_deref())
                .collect();
            prop_assert_eq!(because, ["file /env changes"]);
        }
    }
}
