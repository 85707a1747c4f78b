//! The groups and hosts of an inventory, as its files say, and which group lies in which.

use std::collections::{HashMap, HashSet};

use super::range;
use crate::inventory::names::{quoted, shown, shown_long, usable};
use crate::inventory::yaml::load::NOT_YAML;
use crate::inventory::yaml::node::{Entry, Node, Value, put};
use crate::inventory::yaml::place::{Place, Problem, nearest};

/// The keys of a group.
const KEYS: [&str; 3] = ["hosts", "children", "vars"];
/// The group of every host.
pub(in crate::inventory) const ALL: usize = 0;
/// The group of hosts that are in no other.
pub(in crate::inventory) const UNGROUPED: usize = 1;

/// A group: its own variables, and what is directly in it.
#[derive(Default)]
pub(in crate::inventory) struct Group {
    pub(in crate::inventory) name: String,
    pub(in crate::inventory) vars: Vec<Entry>,
    /// Variables from `group_vars/`.
    pub(in crate::inventory) folder: Vec<Entry>,
    pub(in crate::inventory) parents: Vec<usize>,
    /// The groups directly in it, in the order in which they were put there.
    children: Vec<usize>,
    /// The hosts directly in it, in the order in which they were put there.
    pub(in crate::inventory) hosts: Vec<usize>,
    pub(in crate::inventory) priority: i64,
    pub(in crate::inventory) depth: usize,
}

/// A host as the inventory names it.
pub(in crate::inventory) struct Listed {
    pub(in crate::inventory) name: String,
    pub(in crate::inventory) vars: Vec<Entry>,
    /// Variables from `host_vars/`.
    pub(in crate::inventory) folder: Vec<Entry>,
    /// The groups it is directly in.
    pub(in crate::inventory) groups: Vec<usize>,
}

/// All groups and hosts, in the order of their first mention.
pub(in crate::inventory) struct Graph {
    pub(in crate::inventory) groups: Vec<Group>,
    pub(in crate::inventory) hosts: Vec<Listed>,
    group_of: HashMap<String, usize>,
    host_of: HashMap<String, usize>,
}

impl Graph {
    pub(in crate::inventory) fn new() -> Self {
        let mut graph = Self {
            groups: Vec::new(),
            hosts: Vec::new(),
            group_of: HashMap::new(),
            host_of: HashMap::new(),
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
    fn group(&mut self, name: &str) -> usize {
        if let Some(at) = self.find_group(name) {
            return at;
        }
        let at = self.groups.len();
        self.groups.push(Group { name: name.to_owned(), priority: 1, ..Group::default() });
        self.group_of.insert(name.to_owned(), at);
        at
    }

    /// Adds what one file says.
    pub(in crate::inventory) fn read(&mut self, root: &Node) -> Result<(), Problem> {
        let Some(entries) = root.entries() else {
            let message = format!("an inventory is a map of groups, not {}", root.kind());
            return Err(Problem::at(&root.place, message).hint(NOT_YAML));
        };
        if let Some(plugin) = entries.iter().find(|entry| entry.key == "plugin") {
            let message = "this configures an Ansible plugin; hwctl reads static inventories only";
            return Err(Problem::at(&plugin.place, message));
        }
        for entry in entries {
            self.read_group(entry)?;
        }
        Ok(())
    }

    fn read_group(&mut self, entry: &Entry) -> Result<usize, Problem> {
        if entry.key.is_empty() {
            return Err(Problem::at(&entry.place, "a group has no name"));
        }
        let group = self.group(&entry.key);
        let sections = map(&entry.node, || format!("group `{}`", shown(&entry.key)))?;
        for section in sections {
            match section.key.as_str() {
                "vars" => self.read_vars(group, section)?,
                "hosts" => {
                    for host in names(&section.node, "hosts")?.iter() {
                        self.read_hosts(group, host)?;
                    }
                }
                "children" => {
                    for child in names(&section.node, "children")?.iter() {
                        let at = self.read_group(child)?;
                        self.put_in(at, group, &child.place)?;
                    }
                }
                key => {
                    let problem = unknown_section(&entry.key, key, &section.place);
                    return Err(problem.hiding(&section.node, None));
                }
            }
        }
        Ok(group)
    }

    fn read_vars(&mut self, group: usize, section: &Entry) -> Result<(), Problem> {
        for var in map(&section.node, || "`vars`".to_owned())? {
            if var.key == "ansible_group_priority" {
                self.groups[group].priority = priority(&var.node)?;
            } else {
                put(&mut self.groups[group].vars, var.clone());
            }
        }
        Ok(())
    }

    fn read_hosts(&mut self, group: usize, entry: &Entry) -> Result<(), Problem> {
        let vars = map(&entry.node, || format!("host `{}`", shown(&entry.key)))?;
        let (names, port) = range::expand(&entry.key)
            .map_err(|message| Problem::at(&entry.place, shown_long(&message)))?;
        for name in names {
            usable(&name).map_err(|message| Problem::at(&entry.place, message))?;
            let host = self.host(&name, port, &entry.place);
            if !self.hosts[host].groups.contains(&group) {
                self.hosts[host].groups.push(group);
                self.groups[group].hosts.push(host);
            }
            for var in vars {
                put(&mut self.hosts[host].vars, var.clone());
            }
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
            folder: Vec::new(),
            groups: Vec::new(),
        });
        self.host_of.insert(name.to_owned(), at);
        at
    }

    fn put_in(&mut self, child: usize, parent: usize, place: &Place) -> Result<(), Problem> {
        // Every group lies in `all`, whether or not the inventory has said so yet.
        if child == ALL || child == parent || self.ancestors(parent).contains(&child) {
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

    fn link(&mut self, child: usize, parent: usize) {
        self.groups[child].parents.push(parent);
        self.groups[parent].children.push(child);
    }

    /// Every group that this one lies in, however far up, without itself.
    pub(in crate::inventory) fn ancestors(&self, group: usize) -> Vec<usize> {
        let mut reached = HashSet::new();
        let mut found = Vec::new();
        let mut open = self.groups[group].parents.clone();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                found.push(next);
                open.extend(&self.groups[next].parents);
            }
        }
        found
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
    pub(in crate::inventory) fn complete(&mut self) -> Result<(), Problem> {
        for at in 1..self.groups.len() {
            if self.groups[at].parents.is_empty() {
                self.link(at, ALL);
            }
        }
        for at in 0..self.hosts.len() {
            let elsewhere = self.hosts[at].groups.iter().any(|group| *group > UNGROUPED);
            if elsewhere {
                self.hosts[at].groups.retain(|group| *group != UNGROUPED);
                self.groups[UNGROUPED].hosts.retain(|host| *host != at);
            } else if !self.hosts[at].groups.contains(&UNGROUPED) {
                self.hosts[at].groups.push(UNGROUPED);
                self.groups[UNGROUPED].hosts.push(at);
            }
        }
        if let Some(host) = self.hosts.iter().find(|host| self.group_of.contains_key(&host.name)) {
            let message = format!("`{}` is both a host and a group", shown(&host.name));
            return Err(Problem::nowhere(message).hint("give one of them another name"));
        }
        self.count_depths();
        Ok(())
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
        for direct in &host.groups {
            for group in std::iter::once(*direct).chain(self.ancestors(*direct)) {
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
        }
        groups.sort_by_key(|at| {
            let group = &self.groups[*at];
            (*at != ALL, group.depth, group.priority, group.name.clone())
        });
        groups
    }
}

/// The entries of a map; none when nothing is said.
fn map(node: &Node, what: impl Fn() -> String) -> Result<&[Entry], Problem> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        _ => Err(Problem::at(&node.place, format!("{} takes a map, not {}", what(), node.kind()))),
    }
}

/// The hosts or children of a group: a map, or one name alone.
fn names<'a>(node: &'a Node, section: &str) -> Result<std::borrow::Cow<'a, [Entry]>, Problem> {
    if let Value::Text(name) = &node.value {
        let nothing = Node::new(Value::Null, node.place.clone());
        let entry = Entry { key: name.clone(), place: node.place.clone(), node: nothing };
        return Ok(vec![entry].into());
    }
    let entries = map(node, || format!("`{section}`"));
    entries.map(Into::into).map_err(|problem| match node.value {
        Value::List(_) => problem.hint("write each name with a colon, as in `web1:`"),
        _ => problem,
    })
}

fn unknown_section(group: &str, key: &str, place: &Place) -> Problem {
    let message = format!("unknown key `{}` in group `{}`", shown(key), shown(group));
    let hint = match nearest(key, KEYS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("a group has {}; variables go under `vars`", quoted(&KEYS)),
    };
    Problem::at(place, message).hint(hint)
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
    use crate::inventory::yaml::load::parse;
    use crate::inventory::yaml::place::Source;

    fn graph(text: &str) -> Result<Graph, String> {
        let source = Source::file("inventory.yaml", text.to_owned());
        let root = parse(&source).unwrap().unwrap();
        let mut graph = Graph::new();
        let read = graph.read(&root).and_then(|()| graph.complete());
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
