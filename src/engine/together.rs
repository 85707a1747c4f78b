//! Changes of files that are made together: one write of the journal, and one sync for all of them.
//!
//! What one of them leaves is the same as if each were made alone: its state is noted and synced
//! before it is made, and a file is whole before it is in its place.

use std::collections::HashSet;

use anyhow::Result;

use super::apply::{Carrier, applied};
use super::deadman;
use super::journal::{Entry, Journal};
use super::plan::Step;
use super::validate;
use crate::resource::{Back, Resource};

/// How many changes are made together. Each may keep a folder open until all are synced.
const MOST: usize = 256;
/// A larger file is written alone: what a change keeps in memory is bounded.
const MOST_BYTES: u64 = 1 << 20;

/// How many of the first `resources` can be changed together: files, folders and links, each at a path of
/// its own. At least 1: one that is not among them is changed alone.
pub(super) fn count<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> usize {
    let mut paths = HashSet::new();
    let fits = |resource: &&Resource| {
        is_plain(resource) && resource.path().is_some_and(|path| paths.insert(path.to_owned()))
    };
    resources.into_iter().take(MOST).take_while(fits).count().max(1)
}

/// Whether a resource is no more than a small file, a folder or a link, and nothing has to happen right
/// before or after its change.
fn is_plain(resource: &Resource) -> bool {
    let is_file_or_folder = matches!(
        resource,
        Resource::File(_) | Resource::Directory(_) | Resource::Link(_) | Resource::Absent(_)
    );
    let is_small = resource.blob().is_none_or(|blob| blob.size <= MOST_BYTES);
    is_file_or_folder
        && is_small
        && !deadman::is_risky(resource)
        && !deadman::is_loaded(resource)
        && !validate::is_nginx_configuration(resource)
}

impl Carrier<'_> {
    /// Makes changes together, by their journal, and verifies each.
    pub(super) async fn together(&self, steps: &[&Step], journal: &mut Journal) -> Result<()> {
        // What came earlier in the plan may have changed them since.
        self.host.forget();
        let mut entries = Vec::new();
        let mut changing = Vec::new();
        for step in steps {
            if let Some(entry) = applied(step, self.entry(step).await)? {
                changing.push((step, entry.before.clone()));
                entries.push(entry);
            }
        }
        journal.note_all(entries)?;
        self.host.begin_batch();
        let changed = async {
            for (step, before) in changing {
                let changed = match &step.to {
                    None => step.resource.apply(&before, self.host).await,
                    Some(to) => step.resource.restore(to, self.host).await,
                };
                applied(step, changed)?;
            }
            self.host.commit_batch()
        };
        let changed = changed.await;
        self.host.abandon_batch();
        self.host.forget();
        changed?;
        for step in steps {
            let verified = match &step.to {
                None => self.verify(&step.resource).await,
                Some(to) => self.verify_back(&step.resource, to).await,
            };
            applied(step, verified)?;
        }
        Ok(())
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
    use crate::resource::{Directory, File, Owner};

    fn folder(path: &str) -> Resource {
        Directory { path: path.into(), mode: 0o755, owner: Owner::root(), sockets: vec![] }.into()
    }

    fn file(path: &str) -> Resource {
        File::text(path, "x").into()
    }

    #[test]
    fn only_files_that_stand_by_themselves_are_changed_together() {
        let pages = [folder("/www"), file("/www/a"), file("/www/b")];
        assert_eq!(count(&pages), 3);
        for alone in ["/etc/nginx/nginx.conf", "/etc/ufw/after.rules", "/etc/ssh/sshd_config"] {
            assert_eq!(count(&[file(alone), file("/www/a")]), 1, "{alone}");
            assert_eq!(count(&[file("/www/a"), file(alone)]), 1, "{alone}");
        }
        let same = [file("/www/a"), folder("/www/a"), file("/www/a/b")];
        assert_eq!(count(&same), 1, "the second one needs the first one's change");
        let many: Vec<_> = (0..1000).map(|n| file(&format!("/www/{n}"))).collect();
        assert_eq!(count(&many), MOST);
    }
}
