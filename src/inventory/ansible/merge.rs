//! The merged variables of a host, in Ansible's order of precedence.

use super::groups::{ALL, Graph, Listed};
use super::vars_files::FolderVars;
use super::vault::Vault;
use crate::inventory::yaml::node::{Entry, Value, put};
use crate::inventory::yaml::place::Problem;

/// What becomes of a map that is set again (`hash_behaviour` in `ansible.cfg`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::inventory) enum Merging {
    /// The later map takes the place of the earlier one.
    #[default]
    Replace,
    /// Maps are joined, however deep they lie.
    Merge,
}

/// Adds an entry to variables of lower precedence.
pub(super) fn combine(entries: &mut Vec<Entry>, entry: Entry, merging: Merging) {
    if merging == Merging::Replace {
        return put(entries, entry);
    }
    let Some(below) = entries.iter_mut().find(|below| below.key == entry.key) else {
        return entries.push(entry);
    };
    if let (Value::Map(lower), Value::Map(upper)) = (&mut below.node.value, &entry.node.value) {
        for entry in upper {
            combine(lower, entry.clone(), merging);
        }
        below.place = entry.place;
        below.node.place = entry.node.place;
    } else {
        *below = entry;
    }
}

/// The variables of a host, merged, and the sealed files among them that stay closed because no
/// password of a vault is known.
#[derive(Clone, Default)]
pub(in crate::inventory) struct Merged {
    pub(in crate::inventory) entries: Vec<Entry>,
    pub(in crate::inventory) closed: Vec<String>,
}

/// The variables of a host.
///
/// Beneath are those of its groups in the inventory, then those of `group_vars/`, where `all`
/// comes before all other groups and one folder before the next. Above are the host's own, and
/// then those of `host_vars/`.
pub(in crate::inventory) fn merge(
    graph: &Graph,
    host: &Listed,
    vault: &Vault,
) -> Result<Merged, Problem> {
    let groups = graph.groups_of(host);
    let mut merger = Merger { merged: Merged::default(), merging: graph.merging, vault };
    for group in &groups {
        merger.lay(&graph.groups[*group].vars);
    }
    let (all, others) = groups.split_at(1);
    merger.lay_folders(graph, all)?;
    merger.lay_folders(graph, others)?;
    merger.lay(&host.vars);
    for folder in &host.folders {
        merger.lay_folder(folder)?;
    }
    Ok(merger.merged)
}

/// The variables of a host that the inventory does not name: those of `all`.
pub(in crate::inventory) fn merge_unlisted(
    graph: &Graph,
    vault: &Vault,
) -> Result<Merged, Problem> {
    let mut merger = Merger { merged: Merged::default(), merging: graph.merging, vault };
    merger.lay(&graph.groups[ALL].vars);
    merger.lay_folders(graph, &[ALL])?;
    Ok(merger.merged)
}

struct Merger<'a> {
    merged: Merged,
    merging: Merging,
    vault: &'a Vault,
}

impl Merger<'_> {
    fn lay(&mut self, over: &[Entry]) {
        for entry in over {
            combine(&mut self.merged.entries, entry.clone(), self.merging);
        }
    }

    /// Ansible finishes one folder, with all of the groups, before the next.
    fn lay_folders(&mut self, graph: &Graph, groups: &[usize]) -> Result<(), Problem> {
        let layers = groups.iter().flat_map(|at| &graph.groups[*at].folders);
        let Some(last) = layers.map(|folder| folder.layer).max() else { return Ok(()) };
        for layer in 0..=last {
            let folders = groups.iter().flat_map(|at| &graph.groups[*at].folders);
            for folder in folders.filter(|folder| folder.layer == layer) {
                self.lay_folder(folder)?;
            }
        }
        Ok(())
    }

    fn lay_folder(&mut self, folder: &FolderVars) -> Result<(), Problem> {
        for file in &folder.files {
            match file.entries(self.vault)? {
                Some(entries) => self.lay(entries),
                None => self.merged.closed.push(file.name().to_owned()),
            }
        }
        Ok(())
    }
}
