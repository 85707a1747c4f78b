//! What apt would do besides installing what is asked for, as a simulation of it says.

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use super::simulation::simulate;
use crate::resource::host::Host;
use crate::resource::model::change::Change;
use crate::resource::model::hint::Advise;

/// What an installation changes of other packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consequences {
    /// Packages that would go.
    removed: Vec<String>,
    /// Packages that come along.
    added: Vec<String>,
    /// Packages that get another version: name, version now, version then.
    changed: Vec<(String, String, String)>,
}

impl Consequences {
    /// Simulates an installation. Returns none where apt does not know the packages yet, as on a
    /// host whose lists were never fetched.
    pub(super) async fn of(wanted: &[&str], host: &Host) -> Result<Option<Self>> {
        let install = ["install", "--no-install-recommends"];
        let told = simulate(host, install.iter().chain(wanted)).await?;
        Ok(told.ok().map(|told| Self::read(&told, wanted)))
    }

    /// Reads lines such as `Inst libc6 [2.41-11] (2.41-12 Debian:13 [amd64])` and
    /// `Remv docker-ce [28.1]`.
    fn read(told: &str, wanted: &[&str]) -> Self {
        let mut found = Self::default();
        for line in told.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("Remv"), Some(name)) => found.removed.push(name.to_owned()),
                (Some("Inst"), Some(name)) => {
                    let next = words.next().unwrap_or_default();
                    match next.strip_prefix('[').and_then(|old| old.strip_suffix(']')) {
                        Some(old) => {
                            let new = words.next().unwrap_or_default().trim_start_matches('(');
                            found.changed.push((name.to_owned(), old.to_owned(), new.to_owned()));
                        }
                        None if wanted.contains(&name) => {}
                        None => found.added.push(name.to_owned()),
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Refuses an installation for which others' packages would go.
    pub(super) fn require_no_removal(&self) -> Result<()> {
        if self.removed.is_empty() {
            return Ok(());
        }
        let names = self.removed.join(" ");
        Err(anyhow!("apt would remove `{names}` to install what is missing")).hint(format!(
            "if nothing needs them any more, remove them yourself: `apt-get remove {names}`"
        ))
    }

    /// Adds to a change what comes along.
    pub(super) fn shown(&self, mut change: Change) -> Change {
        if !self.added.is_empty() {
            let with = Some(self.added.join(" "));
            change = change.attribute("brings along", None, with);
        }
        for (name, old, new) in &self.changed {
            change = change.attribute(name, Some(old.clone()), Some(new.clone()));
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "Reading package lists...\n\
        Remv docker-ce [5:28.1-1] [containerd.io:amd64 ]\n\
        Inst libssl3 [3.0.1] (3.0.2 Debian:12 [amd64])\n\
        Inst runc (1.1 Debian:12 [amd64])\n\
        Inst docker.io (26 Debian:12 [amd64])\n\
        Conf runc (1.1 Debian:12 [amd64])\n";

    #[test]
    fn all_that_apt_would_do_is_read() {
        let found = Consequences::read(TOLD, &["docker.io"]);

        assert_eq!(found.removed, ["docker-ce"]);
        assert_eq!(found.added, ["runc"]);
        let changed = ("libssl3".to_owned(), "3.0.1".to_owned(), "3.0.2".to_owned());
        assert_eq!(found.changed, [changed]);
    }

    #[test]
    fn a_removal_is_refused_with_its_names() {
        let error = Consequences::read(TOLD, &[]).require_no_removal().unwrap_err();

        assert!(format!("{error:#}").contains("`docker-ce`"), "{error:#}");
        assert!(Consequences::default().require_no_removal().is_ok());
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_simulation_is_read(text in crate::damaged::text(&[TOLD])) {
            let found = Consequences::read(&text, &["docker.io"]);
            let _ = found.require_no_removal();
            found.shown(Change::new(crate::resource::Id::new("packages", "apt"), crate::resource::Action::Create));
        }
    }
}
