//! The groups and hosts of an inventory, as its files say, and which group lies in which.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::files::shown_path;
use super::merge::{Merging, combine};
use super::vars_files::FolderVars;
use crate::inventory::Warning;
use crate::inventory::names::shown;
use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::place::Place;
use crate::inventory::yaml::problem::Problem;

/// The group of every host.
pub(in crate::inventory) const ALL: usize = 0;
/// The group of hosts that are in no other.
pub(in crate::inventory) const UNGROUPED: usize = 1;

/// A group: its own variables, and what is directly in it.
#[derive(Default)]
pub(in crate::inventory) struct Group {
    pub(in crate::inventory) name: String,
    pub(in crate::inventory) vars: Vec<Entry>,
    /// Variables from the folders `group_vars/`.
    pub(in crate::inventory) folders: Vec<FolderVars>,
    pub(in crate::inventory) parents: Vec<usize>,
    /// The groups directly in it, in the order in which they were put there.
    children: Vec<usize>,
    /// The hosts directly in it, in the order in which they were put there.
    pub(in crate::inventory) hosts: Vec<usize>,
    pub(in crate::inventory) priority: i64,
    pub(in crate::inventory) depth: usize,
}

impl Group {
    pub(in crate::inventory) fn children(&self) -> &[usize] {
        &self.children
    }
}

/// A host as the inventory names it.
pub(in crate::inventory) struct Listed {
    pub(in crate::inventory) name: String,
    pub(in crate::inventory) vars: Vec<Entry>,
    /// Variables from the folders `host_vars/`.
    pub(in crate::inventory) folders: Vec<FolderVars>,
    /// The groups it is directly in.
    pub(in crate::inventory) groups: Vec<usize>,
    /// Where it is named first.
    pub(in crate::inventory) place: Place,
    /// The file that names it first. None for a host of a list such as `-i vm1,`.
    pub(in crate::inventory) file: Option<Arc<Path>>,
}

/// All groups and hosts, in the order of their first mention.
pub(in crate::inventory) struct Graph {
    pub(in crate::inventory) groups: Vec<Group>,
    pub(in crate::inventory) hosts: Vec<Listed>,
    group_of: HashMap<String, usize>,
    host_of: HashMap<String, usize>,
    /// What becomes of a map that is set twice.
    pub(super) merging: Merging,
    /// The file that is being read. Hosts remember the one that names them first.
    pub(super) file: Option<Arc<Path>>,
    /// What Ansible would warn of, too.
    pub(in crate::inventory) warnings: Vec<Warning>,
    /// The steps of all searches for groups that would lie in themselves.
    #[cfg(test)]
    steps: std::sync::atomic::AtomicUsize,
}

impl Graph {
    pub(in crate::inventory) fn new(merging: Merging) -> Self {
        let mut graph = Self {
            groups: Vec::new(),
            hosts: Vec::new(),
            group_of: HashMap::new(),
            host_of: HashMap::new(),
            merging,
            file: None,
            warnings: Vec::new(),
            #[cfg(test)]
            steps: std::sync::atomic::AtomicUsize::default(),
        };
        graph.group("all");
        let ungrouped = graph.group("ungrouped");
        graph.link(ungrouped, ALL);
        graph
    }

    pub(in crate::inventory) fn find_group(&self, name: &str) -> Option<usize> {
        self.group_of.get(name).copied()
    }

    pub(in crate::inventory) fn find_host(&self, name: &str) -> Option<usize> {
        self.host_of.get(name).copied()
    }

    /// The group of this name, made when it is new.
    pub(super) fn group(&mut self, name: &str) -> usize {
        if let Some(at) = self.find_group(name) {
            return at;
        }
        let at = self.groups.len();
        self.groups.push(Group { name: name.to_owned(), priority: 1, ..Group::default() });
        self.group_of.insert(name.to_owned(), at);
        at
    }

    /// Puts a host into a group. The port counts only if this is the first mention of the host.
    pub(in crate::inventory) fn add_host(
        &mut self,
        name: &str,
        group: usize,
        port: Option<u16>,
        place: &Place,
    ) -> Result<usize, Problem> {
        if name.is_empty() {
            return Err(Problem::at(place, "a host has no name"));
        }
        let host = self.host(name, port, place);
        if !self.hosts[host].groups.contains(&group) {
            self.hosts[host].groups.push(group);
            self.groups[group].hosts.push(host);
        }
        Ok(host)
    }

    /// Sets a variable of a host.
    ///
    /// Ansible looks a name up among the groups first. So where a group has the name of the host,
    /// the variable becomes one of the group.
    pub(super) fn set_on_host(&mut self, host: usize, var: &Entry) -> Result<(), Problem> {
        if let Some(group) = self.find_group(&self.hosts[host].name) {
            return self.set_on_group(group, var);
        }
        combine(&mut self.hosts[host].vars, var.clone(), self.merging);
        Ok(())
    }

    pub(super) fn set_on_group(&mut self, group: usize, var: &Entry) -> Result<(), Problem> {
        if var.key == "ansible_group_priority" {
            self.groups[group].priority = priority(&var.node)?;
        } else {
            combine(&mut self.groups[group].vars, var.clone(), self.merging);
        }
        Ok(())
    }

    /// The host of this name, made when it is new; a port counts at the first mention only.
    fn host(&mut self, name: &str, port: Option<u16>, place: &Place) -> usize {
        if let Some(at) = self.find_host(name) {
            return at;
        }
        let vars = port.map(|port| Entry {
            key: "ansible_port".into(),
            place: place.clone(),
            node: Node::new(Value::Number(port.into()), place.clone()),
        });
        let at = self.hosts.len();
        self.hosts.push(Listed {
            name: name.to_owned(),
            vars: vars.into_iter().collect(),
            folders: Vec::new(),
            groups: Vec::new(),
            place: place.clone(),
            file: self.file.clone(),
        });
        self.host_of.insert(name.to_owned(), at);
        at
    }

    pub(super) fn put_in(
        &mut self,
        child: usize,
        parent: usize,
        place: &Place,
    ) -> Result<(), Problem> {
        // Every group lies in `all`, whether or not the inventory has said so yet.
        if child == ALL || self.lies_in(parent, child) {
            let (child, parent) = (&self.groups[child].name, &self.groups[parent].name);
            let message =
                format!("group `{}` lies in itself, by way of `{}`", shown(child), shown(parent));
            return Err(Problem::at(place, message));
        }
        if !self.groups[child].parents.contains(&parent) {
            self.link(child, parent);
        }
        Ok(())
    }

    /// Whether a group is another one or lies in it. The search goes up from the one and down from the other, a step
    /// each in turn, and ends with the side that is done first. So a long chain takes few steps, in whatever order its
    /// groups are named.
    fn lies_in(&self, inner: usize, outer: usize) -> bool {
        if inner == outer {
            return true;
        }
        let (mut up, mut down) = (Search::from(inner), Search::from(outer));
        loop {
            #[cfg(test)]
            self.steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(at) = up.next() else { return false };
            if at == outer {
                return true;
            }
            up.add(&self.groups[at].parents);
            let Some(at) = down.next() else { return false };
            if at == inner {
                return true;
            }
            down.add(&self.groups[at].children);
        }
    }

    fn link(&mut self, child: usize, parent: usize) {
        self.groups[child].parents.push(parent);
        self.groups[parent].children.push(child);
    }

    /// The hosts of a group in Ansible's order: its own first, then those of its children, then
    /// those of theirs.
    ///
    /// Ansible walks the grandchildren of a group in the order of a Python set, which differs from
    /// one run to the next. Here they keep the order of the inventory.
    pub(in crate::inventory) fn hosts_of(&self, group: usize) -> Vec<usize> {
        let mut reached = HashSet::from([group]);
        let mut within = vec![group];
        let mut next = 0;
        while let Some(at) = within.get(next).copied() {
            next += 1;
            let children = self.groups[at].children.iter().copied();
            within.extend(children.filter(|child| reached.insert(*child)));
        }
        let mut seen = HashSet::new();
        let hosts = within.iter().flat_map(|at| self.groups[*at].hosts.iter().copied());
        hosts.filter(|host| seen.insert(*host)).collect()
    }

    /// Brings every group under `all` and every lone host into `ungrouped`; counts depths.
    pub(in crate::inventory) fn complete(&mut self) {
        for at in 1..self.groups.len() {
            if self.groups[at].parents.is_empty() {
                self.link(at, ALL);
            }
        }
        let is_elsewhere = |host: &Listed| host.groups.iter().any(|group| *group > UNGROUPED);
        self.groups[UNGROUPED].hosts.retain(|host| !is_elsewhere(&self.hosts[*host]));
        for (at, host) in self.hosts.iter_mut().enumerate() {
            if is_elsewhere(host) {
                host.groups.retain(|group| *group != UNGROUPED);
            } else if !host.groups.contains(&UNGROUPED) {
                host.groups.push(UNGROUPED);
                self.groups[UNGROUPED].hosts.push(at);
            }
        }
        self.count_depths();
        let both = self.hosts.iter().filter(|host| self.group_of.contains_key(&host.name));
        self.warnings.extend(both.map(|host| Warning {
            place: host.file.as_deref().map(shown_path).unwrap_or_default(),
            message: format!("`{}` is both a host and a group", shown(&host.name)),
        }));
    }

    /// Gives each group the length of its longest way up to `all`. Without recursion, because a
    /// chain of groups may be longer than the stack is deep.
    fn count_depths(&mut self) {
        let mut waiting: Vec<_> = self.groups.iter().map(|group| group.parents.len()).collect();
        let mut open = vec![ALL];
        while let Some(at) = open.pop() {
            let depth = self.groups[at].depth + 1;
            for child in self.groups[at].children.clone() {
                let group = &mut self.groups[child];
                group.depth = group.depth.max(depth);
                waiting[child] -= 1;
                if waiting[child] == 0 {
                    open.push(child);
                }
            }
        }
    }

    /// Every group a host is in, in Ansible's order of merging: by depth, priority, name.
    pub(in crate::inventory) fn groups_of(&self, host: &Listed) -> Vec<usize> {
        let mut groups = vec![ALL];
        let mut search = Search::from(ALL);
        search.add(&host.groups);
        while let Some(at) = search.next() {
            if at != ALL {
                groups.push(at);
            }
            search.add(&self.groups[at].parents);
        }
        let order = |at: &usize| {
            let group = &self.groups[*at];
            (*at != ALL, group.depth, group.priority, &group.name)
        };
        groups.sort_by(|one, other| order(one).cmp(&order(other)));
        groups
    }
}

/// A walk from group to group that comes to each once.
struct Search {
    reached: HashSet<usize>,
    open: Vec<usize>,
}

impl Search {
    fn from(group: usize) -> Self {
        Self { reached: HashSet::from([group]), open: vec![group] }
    }

    /// The next group of the walk.
    fn next(&mut self) -> Option<usize> {
        self.open.pop()
    }

    /// Has the walk come to these groups, too.
    fn add(&mut self, groups: &[usize]) {
        let reached = &mut self.reached;
        self.open.extend(groups.iter().copied().filter(|group| reached.insert(*group)));
    }
}

fn priority(node: &Node) -> Result<i64, Problem> {
    let number = match &node.value {
        Value::Number(number) => number.as_i64(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| {
        let message = format!("`ansible_group_priority` takes a whole number, not {}", node.kind());
        Problem::at(&node.place, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ansible::yaml;
    use crate::inventory::yaml::load::parse_inventory;
    use crate::inventory::yaml::place::Source;

    fn graph(text: &str) -> Result<Graph, String> {
        let source = Source::file("inventory.yaml", text.to_owned());
        let root = parse_inventory(&source).unwrap().unwrap();
        let mut graph = Graph::new(Merging::Replace);
        let read = yaml::read_into(&mut graph, &root);
        graph.complete();
        read.map(|()| graph).map_err(|problem| crate::failure::Failure::from(problem).what)
    }

    #[test]
    fn a_group_that_lies_in_itself_is_refused_however_it_does() {
        for (text, place, child, parent) in [
            ("web: {hosts: {h1: }, children: {all: }}", "1:33", "all", "web"),
            ("all: {children: {all: }}", "1:18", "all", "all"),
            ("web: {children: {web: }}", "1:18", "web", "web"),
            ("a: {children: {b: {children: {a: }}}}", "1:16", "b", "a"),
            ("a: {children: {b: }}\nb: {children: {c: }}\nc: {children: {a: }}", "3:16", "a", "c"),
            ("ungrouped: {children: {all: }}", "1:24", "all", "ungrouped"),
        ] {
            let message = graph(text).err().unwrap_or_else(|| panic!("`{text}` is read"));

            let lies = format!("group `{child}` lies in itself, by way of `{parent}`");
            assert_eq!(message, format!("inventory.yaml:{place}: {lies}"), "{text}");
        }
    }

    /// Steps are counted rather than seconds, which depend on the machine.
    #[test]
    fn a_long_chain_of_groups_takes_few_steps_in_any_order() {
        const LENGTH: usize = 4_096;
        let place = Source::file("inventory.yaml", String::new()).start();
        // An odd factor makes each number come once, far from the one before.
        let orders: [fn(usize) -> usize; 3] =
            [|at| at, |at| LENGTH - 1 - at, |at| (at * 2_731) % LENGTH];
        for (order, number) in orders.into_iter().enumerate() {
            let mut graph = Graph::new(Merging::Replace);
            for at in (0..LENGTH).map(number) {
                let parent = graph.group(&format!("g{at}"));
                let child = graph.group(&format!("g{}", at + 1));
                graph.put_in(child, parent, &place).unwrap_or_else(|_| panic!("g{at} is refused"));
            }

            let most = LENGTH * (LENGTH.ilog2() as usize + 2);
            let steps = graph.steps.load(std::sync::atomic::Ordering::Relaxed);
            assert!(steps <= most, "order {order}: {steps} steps");
            let (first, last) = (graph.find_group("g0"), graph.find_group(&format!("g{LENGTH}")));
            let closed = graph.put_in(first.unwrap(), last.unwrap(), &place);
            assert!(closed.is_err(), "order {order}");
        }
    }

    #[test]
    fn a_long_chain_of_groups_needs_no_deep_stack() {
        const LENGTH: usize = 3_000;
        let groups =
            (0..LENGTH).rev().map(|at| format!("g{at}: {{children: {{g{}: }}}}\n", at + 1));
        let text = groups.collect::<Vec<_>>().concat();

        let stack = std::thread::Builder::new().stack_size(512 << 10);
        let thread = stack.spawn(move || {
            graph(&text).map(|graph| {
                let last = graph.find_group(&format!("g{LENGTH}")).unwrap();
                graph.groups[last].depth
            })
        });

        assert_eq!(thread.unwrap().join().unwrap(), Ok(LENGTH + 1));
    }
}
