//! The variables of one host, merged as Ansible merges them: whole values replace each other.

use super::groups::{ALL, Graph, Listed};
use crate::inventory::yaml::node::{Entry, put};

/// In this order, later ones replacing earlier: `all`, the other groups by depth, priority and
/// name, `group_vars/all`, the other `group_vars/`, the host, its `host_vars/`.
pub(in crate::inventory) fn merge(graph: &Graph, host: &Listed) -> Vec<Entry> {
    let groups = graph.groups_of(host);
    let mut merged = Vec::new();
    for group in &groups {
        lay(&mut merged, &graph.groups[*group].vars);
    }
    for group in &groups {
        lay(&mut merged, &graph.groups[*group].folder);
    }
    lay(&mut merged, &host.vars);
    lay(&mut merged, &host.folder);
    merged
}

/// The variables of a host that the inventory does not name: those of `all`.
pub(in crate::inventory) fn merge_unlisted(graph: &Graph) -> Vec<Entry> {
    let mut merged = Vec::new();
    lay(&mut merged, &graph.groups[ALL].vars);
    lay(&mut merged, &graph.groups[ALL].folder);
    merged
}

fn lay(merged: &mut Vec<Entry>, over: &[Entry]) {
    for entry in over {
        put(merged, entry.clone());
    }
}
