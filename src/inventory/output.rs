//! The inventory in the forms that `ansible-inventory` prints.

use std::collections::HashSet;

use anyhow::Result;
use serde::Serialize as _;
use serde_json::{Map, Value as Json, json};

use super::Inventory;
use super::ansible::groups::{ALL, Graph};
use super::ansible::pattern;
use super::ansible::world::World;
use super::loading::unknown_group;
use super::names::shown;
use super::yaml::integer;
use super::yaml::node::INTEGER_MARK;
use crate::failure::Failure;

impl Inventory {
    /// The encrypted files that count for any host and could not be opened.
    pub fn closed_vaults(&self) -> impl Iterator<Item = &str> {
        let World { graph, vault, .. } = &*self.world;
        let groups = graph.groups.iter().flat_map(|group| &group.folders);
        let hosts = graph.hosts.iter().flat_map(|host| &host.folders);
        groups.chain(hosts).flat_map(|folder| folder.closed(vault))
    }

    /// Groups with their hosts and children, and the variables of the hosts that a pattern
    /// matches. Nothing is evaluated. May hold passwords.
    pub fn list_json(&self, limit: Option<&str>) -> Result<Json, Failure> {
        let graph = &self.world.graph;
        let hosts = match limit {
            Some(limit) => pattern::select(graph, limit)?,
            None => graph.hosts_of(ALL),
        };
        let wanted: HashSet<_> = hosts.iter().copied().collect();
        let mut list = Map::new();
        add_group(graph, ALL, &wanted, &mut HashSet::new(), &mut list);
        let mut vars = Map::new();
        for at in hosts {
            let host = self.listed(at)?;
            let raw = host.raw();
            if !raw.is_empty() {
                vars.insert(host.name, Json::Object(raw));
            }
        }
        let meta = json!({ "hostvars": vars, "profile": "inventory_legacy" });
        list.insert("_meta".to_owned(), meta);
        Ok(sorted(Json::Object(list)))
    }

    /// The variables of the one host that a pattern matches. Nothing is evaluated. May hold
    /// passwords.
    pub fn host_json(&self, name: &str) -> Result<Json, Failure> {
        let [at] = pattern::select(&self.world.graph, name)?[..] else {
            return Err(Failure::usage(format!("`--host {}` is not one host", shown(name))));
        };
        Ok(sorted(Json::Object(self.listed(at)?.raw())))
    }

    /// A group with what is in it, as a tree.
    pub fn graph_text(&self, group: &str) -> Result<String, Failure> {
        let graph = &self.world.graph;
        let at = graph.find_group(group).ok_or_else(|| unknown_group(group))?;
        let mut lines = Vec::new();
        // Groups that are open, the next one last. A chain of groups may be longer than the stack
        // is deep.
        let mut open = vec![(Branch::Group(at), 0)];
        while let Some((branch, depth)) = open.pop() {
            let name = match branch {
                Branch::Group(at) => format!("@{}:", harmless(&graph.groups[at].name)),
                Branch::Host(at) => harmless(&graph.hosts[at].name),
            };
            let indent = "  |".repeat(depth);
            lines.push(if depth == 0 { name } else { format!("{indent}--{name}") });
            if let Branch::Group(at) = branch {
                let group = &graph.groups[at];
                let hosts = if at == ALL { &[] } else { group.hosts.as_slice() };
                let inner = group.children().iter().map(|at| Branch::Group(*at));
                let inner = inner.chain(hosts.iter().map(|at| Branch::Host(*at)));
                let inner: Vec<_> = inner.map(|branch| (branch, depth + 1)).collect();
                open.extend(inner.into_iter().rev());
            }
        }
        Ok(lines.join("\n"))
    }
}

/// The text of such JSON, indented as Ansible indents it, with whole numbers of any size.
pub fn json_text(value: &Json) -> Result<String> {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))?;
    let text = String::from_utf8(text)?;
    let mark = Json::from(INTEGER_MARK).to_string();
    let mark = mark.trim_end_matches('"');
    let mut parts = text.split(mark);
    let first = parts.next().unwrap_or_default().to_owned();
    Ok(parts.fold(first, |text, part| match part.split_once('"') {
        Some((digits, rest)) if integer::is_whole(digits) => text + digits + rest,
        _ => text + mark + part,
    }))
}

/// A name for a terminal.
fn harmless(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

enum Branch {
    Group(usize),
    Host(usize),
}

/// Adds a group and those in it to the list. A group with nothing in it is left out.
fn add_group(
    graph: &Graph,
    at: usize,
    wanted: &HashSet<usize>,
    seen: &mut HashSet<usize>,
    list: &mut Map<String, Json>,
) {
    let mut open = vec![at];
    while let Some(at) = open.pop() {
        if !seen.insert(at) {
            continue;
        }
        let group = &graph.groups[at];
        let names = |of: &[usize], name: fn(&Graph, usize) -> &str| -> Vec<String> {
            of.iter().map(|at| name(graph, *at).to_owned()).collect()
        };
        let hosts: Vec<_> = group.hosts.iter().copied().filter(|at| wanted.contains(at)).collect();
        let hosts = names(&hosts, |graph, at| &graph.hosts[at].name);
        let children = names(group.children(), |graph, at| &graph.groups[at].name);
        let mut entry = Map::new();
        if at != ALL && !hosts.is_empty() {
            entry.insert("hosts".to_owned(), hosts.into());
        }
        if !children.is_empty() {
            entry.insert("children".to_owned(), children.into());
        }
        if !entry.is_empty() {
            list.insert(group.name.clone(), Json::Object(entry));
        }
        open.extend(group.children().iter().rev());
    }
}

/// The value with the keys of its maps in order.
fn sorted(value: Json) -> Json {
    match value {
        Json::Array(values) => values.into_iter().map(sorted).collect(),
        Json::Object(map) => {
            let mut entries: Vec<_> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            Json::Object(entries.into_iter().collect())
        }
        other => other,
    }
}
