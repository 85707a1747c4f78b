//! Inventories in YAML and JSON: groups with their hosts, variables and children.

use std::borrow::Cow;

use super::groups::Graph;
use super::range;
use crate::inventory::Warning;
use crate::inventory::names::{quoted, shown, shown_long};
use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::place::{Problem, nearest};

/// The keys of a group.
const KEYS: [&str; 3] = ["hosts", "children", "vars"];

/// Adds what one document says.
pub(super) fn read_into(graph: &mut Graph, root: &Node) -> Result<(), Problem> {
    let Some(entries) = root.entries() else {
        let message = format!("an inventory is a map of groups, not {}", root.kind());
        return Err(Problem::at(&root.place, message));
    };
    for entry in entries {
        if matches!(entry.node.value, Value::Map(_) | Value::Null) {
            read_group(graph, entry)?;
        } else {
            let message = format!("`{}` is no group and is skipped", shown(&entry.key));
            graph.warnings.push(Warning { place: entry.place.to_string(), message });
        }
    }
    Ok(())
}

fn read_group(graph: &mut Graph, entry: &Entry) -> Result<usize, Problem> {
    if entry.key.is_empty() {
        return Err(Problem::at(&entry.place, "a group has no name"));
    }
    let group = graph.group(&entry.key);
    for section in map(&entry.node, || format!("group `{}`", shown(&entry.key)))? {
        match section.key.as_str() {
            "vars" => {
                for var in map(&section.node, || "`vars`".to_owned())? {
                    graph.set_on_group(group, var)?;
                }
            }
            "hosts" => {
                for host in names(&section.node, "hosts")?.iter() {
                    read_hosts(graph, group, host)?;
                }
            }
            "children" => {
                for child in names(&section.node, "children")?.iter() {
                    let at = read_group(graph, child)?;
                    graph.put_in(at, group, &child.place)?;
                }
            }
            _ => graph.warnings.push(unknown_section(&entry.key, section)),
        }
    }
    Ok(group)
}

fn read_hosts(graph: &mut Graph, group: usize, entry: &Entry) -> Result<(), Problem> {
    let vars = map(&entry.node, || format!("host `{}`", shown(&entry.key)))?;
    let (names, port) = range::expand(&entry.key)
        .map_err(|message| Problem::at(&entry.place, shown_long(&message)))?;
    for name in names {
        let host = graph.add_host(&name, group, port, &entry.place)?;
        for var in vars {
            graph.set_on_host(host, var)?;
        }
    }
    Ok(())
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
fn names<'a>(node: &'a Node, section: &str) -> Result<Cow<'a, [Entry]>, Problem> {
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

/// Ansible skips such a key with a warning, and so does hwctl.
fn unknown_section(group: &str, section: &Entry) -> Warning {
    let (key, group) = (shown(&section.key), shown(group));
    let meant = match nearest(&section.key, KEYS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("a group has {}; variables go under `vars`", quoted(&KEYS)),
    };
    let message = format!("unknown key `{key}` in group `{group}` is skipped: {meant}");
    Warning { place: section.place.to_string(), message }
}
