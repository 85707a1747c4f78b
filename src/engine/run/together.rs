//! Changes of files that are made together: one write of the journal, and one sync for all of them.
//!
//! What one of them leaves is the same as if each were made alone: its state is noted and synced
//! before it is made, and a file is whole before it is in its place.

use std::collections::HashSet;

use anyhow::Result;

use crate::engine::record::journal::{Entry, Journal};
use crate::engine::record::step::Step;
use crate::engine::run::apply::{Carrier, applied};
use crate::engine::run::deadman;
use crate::resource::{Back, Resource};

/// How many changes are made together at most.
const MOST: usize = 4096;
/// In how many folders. Each is open until all is synced.
const MOST_FOLDERS: usize = 256;
/// A larger file is changed alone.
const MOST_BYTES: u64 = 1 << 20;
/// How many bytes of earlier states are kept in memory before they are written, about.
const MOST_NOTED: u64 = 16 << 20;

/// How many of the first `resources` can be changed together: files, folders and links, each at a path of
/// its own. At least 1: one that is not among them is changed alone, as is one that is tried before.
pub(in crate::engine) fn count<'a>(
    resources: impl IntoIterator<Item = &'a Resource>,
    is_tried: impl Fn(&Resource) -> bool,
) -> usize {
    let (mut paths, mut folders) = (HashSet::new(), HashSet::new());
    let mut links = HashSet::new();
    let mut fits = |resource: &&'a Resource| {
        let Some(path) = resource.path().filter(|_| is_plain(resource) && !is_tried(resource))
        else {
            return false;
        };
        // What is reached through a link can be changed once the link is in its place.
        let is_behind_link =
            !links.is_empty() && path.ancestors().any(|above| links.contains(above));
        if is_behind_link {
            return false;
        }
        links.extend(resource.profile().target.map(|_| path));
        folders.extend(path.parent());
        folders.len() <= MOST_FOLDERS && paths.insert(path)
    };
    resources.into_iter().take(MOST).take_while(|resource| fits(resource)).count().max(1)
}

/// Whether a resource is no more than a small file, a folder or a link, and nothing has to happen right
/// before or after its change.
fn is_plain(resource: &Resource) -> bool {
    let profile = resource.profile();
    let is_small = profile.blob.is_none_or(|blob| blob.size <= MOST_BYTES);
    profile.place.single_path().is_some()
        && is_small
        && !deadman::is_risky(resource)
        && !deadman::is_loaded(resource)
}

impl Carrier<'_> {
    /// Makes changes together, by their journal, and verifies each.
    pub(in crate::engine) async fn together(
        &self,
        steps: &[&Step],
        journal: &mut Journal,
    ) -> Result<()> {
        // What came earlier in the plan may have changed them since.
        self.host.forget();
        let (mut noted, mut size) = (Vec::new(), 0);
        for step in steps {
            if let Some(entry) = applied(step, self.entry(step).await)? {
                size += entry.before.size();
                noted.push((*step, entry));
            }
            if size > MOST_NOTED {
                self.make(std::mem::take(&mut noted), journal).await?;
                size = 0;
            }
        }
        self.make(noted, journal).await?;
        for step in steps {
            let verified = match &step.to {
                None => self.verify(&step.resource).await,
                Some(to) => self.verify_back(&step.resource, to).await,
            };
            applied(step, verified)?;
        }
        Ok(())
    }

    /// Makes the changes of some entries, once the journal has them.
    async fn make(&self, noted: Vec<(&Step, Entry)>, journal: &mut Journal) -> Result<()> {
        let (steps, entries): (Vec<_>, Vec<_>) = noted.into_iter().unzip();
        let entries = journal.note_all(entries)?;
        self.host.begin_batch();
        let changed = async {
            for (step, entry) in steps.into_iter().zip(entries) {
                let changed = match &step.to {
                    None => step.resource.apply(&entry.before, self.host).await,
                    Some(to) => step.resource.restore(to, self.host).await,
                };
                applied(step, changed)?;
            }
            self.host.commit_batch()
        };
        let changed = changed.await;
        self.host.abandon_batch();
        self.host.forget();
        changed
    }

    /// The journal's entry of a step that has something to change.
    async fn entry(&self, step: &Step) -> Result<Option<Entry>> {
        let (before, change) = match &step.to {
            None => {
                let examined = step.resource.examine(self.host).await?;
                (examined.before, examined.change)
            }
            Some(to) => match step.resource.examine_back(to, self.host).await? {
                (now, Back::Change(change)) => (now, Some(change)),
                (now, _) => (now, None),
            },
        };
        Ok(change.map(|change| Entry::new(step, before, change)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Directory, File, Link, Owner};

    fn folder(path: &str) -> Resource {
        Directory::new(path, 0o755, Owner::root()).into()
    }

    fn file(path: &str) -> Resource {
        File::text(path, "x").into()
    }

    #[test]
    fn only_files_that_stand_by_themselves_are_changed_together() {
        let is_tried =
            |resource: &Resource| resource.path().is_some_and(|path| path.starts_with("/etc/app"));
        let count = |resources: &[Resource]| count(resources, is_tried);
        let pages = [folder("/www"), file("/www/a"), file("/www/b")];
        assert_eq!(count(&pages), 3);
        for alone in ["/etc/app/app.conf", "/etc/ufw/after.rules", "/etc/ssh/sshd_config"] {
            assert_eq!(count(&[file(alone), file("/www/a")]), 1, "{alone}");
            assert_eq!(count(&[file("/www/a"), file(alone)]), 1, "{alone}");
        }
        let link = Link { path: "/srv/now".into(), target: "/srv/one".into() }.into();
        let behind = [folder("/srv/one"), link, file("/srv/now/x"), file("/www/a")];
        assert_eq!(count(&behind), 2, "the file needs the link");
        let same = [file("/www/a"), folder("/www/a"), file("/www/a/b")];
        assert_eq!(count(&same), 1, "the second one needs the first one's change");
        let many: Vec<_> = (0..5000).map(|n| file(&format!("/www/{n}"))).collect();
        assert_eq!(count(&many), MOST);
        let spread: Vec<_> = (0..5000).map(|n| file(&format!("/www/{n}/x"))).collect();
        assert_eq!(count(&spread), MOST_FOLDERS);
    }
}
