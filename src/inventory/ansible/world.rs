//! All that the variables of one host may refer to: its own, those of other hosts, groups and vaults.

use std::sync::Arc;

use super::evaluation::Evaluation;
use super::groups::Graph;
use super::merge::{Merged, merge, merge_unlisted};
use super::vault::Vault;
use crate::inventory::Set;
use crate::inventory::yaml::node::{Entry, Node, put_at};
use crate::inventory::yaml::place::Problem;

/// Hosts and groups, and what opens their encrypted variables.
pub(in crate::inventory) struct World {
    pub(in crate::inventory) graph: Graph,
    pub(in crate::inventory) vault: Vault,
    /// The `--set` of the command line.
    pub(in crate::inventory) sets: Vec<Set>,
}

impl World {
    /// The merged variables of a host, or of one that the inventory does not name. Nothing is
    /// evaluated yet.
    pub(in crate::inventory) fn merged(&self, host: Option<usize>) -> Result<Merged, Problem> {
        let mut merged = match host {
            Some(host) => merge(&self.graph, &self.graph.hosts[host], &self.vault)?,
            None => merge_unlisted(&self.graph, &self.vault)?,
        };
        for set in &self.sets {
            put_at(&mut merged.entries, &set.path, set.node.clone())?;
        }
        Ok(merged)
    }

    /// The names of a host's groups without `all`, in alphabetical order.
    pub(in crate::inventory) fn group_names(&self, host: usize) -> Vec<String> {
        let groups = self.graph.groups_of(&self.graph.hosts[host]);
        let mut names: Vec<_> =
            groups.iter().skip(1).map(|at| self.graph.groups[*at].name.clone()).collect();
        names.sort();
        names
    }
}

/// The variables of one host, and the world that they refer to.
#[derive(Clone)]
pub(in crate::inventory) struct HostVars {
    pub(super) world: Arc<World>,
    /// The host's place in the graph. None if the inventory does not name it.
    pub(super) at: Option<usize>,
    pub(super) name: String,
    pub(super) entries: Arc<Vec<Entry>>,
    /// Encrypted files that could not be opened.
    pub(super) closed: Vec<String>,
}

impl HostVars {
    pub(in crate::inventory) fn of(
        world: &Arc<World>,
        at: Option<usize>,
        name: &str,
    ) -> Result<Self, Problem> {
        let Merged { entries, closed } = world.merged(at)?;
        let (world, entries) = (Arc::clone(world), Arc::new(entries));
        Ok(Self { world, at, name: name.to_owned(), entries, closed })
    }

    /// The merged variables as they were written.
    pub(in crate::inventory) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The encrypted files of the host that could not be opened, since no password is given.
    pub(in crate::inventory) fn closed(&self) -> &[String] {
        &self.closed
    }

    /// The settings of the command line.
    pub(in crate::inventory) fn sets(&self) -> &[Set] {
        &self.world.sets
    }

    /// A value of this host with its templates evaluated and its vaults opened.
    pub(in crate::inventory) fn evaluate(&self, node: &Node) -> Result<Node, Problem> {
        if node.needs_evaluation() { Evaluation::of(self).node(node) } else { Ok(node.clone()) }
    }
}
