//! An inventory of one machine that provisions itself, with as little of the operator's inventory as it takes.

use serde_json::{Map, Value as Json, json};

use super::schema::Declared;
use super::yaml::integer;
use super::yaml::keys::is_called_a_secret;
use super::yaml::node::{self, Entry, INTEGER_MARK, Node, Value};
use super::yaml::place::Seal;
use super::yaml::problem::{self, Problem};
use super::{Inventory, InventoryHost, names::shown, own};
use crate::failure::Failure;

/// The only key of a text in JSON that is no template.
const UNSAFE: &str = "__ansible_unsafe";

/// A host of an excerpt.
pub struct Excerpted<'a> {
    /// As the inventory has it.
    pub host: &'a InventoryHost,
    /// Where clients and its peers reach it.
    pub address: &'a str,
    /// The variables of hwctl that it keeps, by their names. `null` is kept in any case: it takes something away.
    pub kept: &'a [&'a str],
    /// The other variables that it keeps, by their names.
    pub others: &'a [String],
}

impl Inventory {
    /// An inventory in YAML of the machine `own` and of what it has to know of its peers. All templates in it are
    /// evaluated. What the variables refer to is left as it is; see [`super::Vars::portable`].
    pub fn excerpt(
        own: &Excerpted<'_>,
        peers: &[Excerpted<'_>],
        declared: &[Declared],
    ) -> Result<String, Failure> {
        let mut vars = own.host.for_templates();
        vars.retain(|name, _| own.others.contains(name));
        vars.insert("ansible_connection".to_owned(), json!("local"));
        vars.extend(of_hwctl(own, declared)?);
        let mut hosts = Map::from_iter([(own.host.name.clone(), Json::Object(vars))]);
        for peer in peers {
            hosts.insert(peer.host.name.clone(), Json::Object(of_hwctl(peer, declared)?));
        }
        Ok(yaml(&json!({ "all": { "hosts": hosts } }), 0) + "\n")
    }
}

/// Refuses what would be in the bundle as plain text and looks like a secret.
fn refuse_secrets(entries: &[Entry], problems: &mut Vec<Problem>) {
    for entry in entries {
        let is_called = is_called_a_secret(&entry.key);
        if let Some(problem) = secret_in(&entry.node, is_called, entry, problems) {
            problems.push(problem);
        }
    }
}

/// The refusal of a value, unless it is harmless. Those of maps inside it are added to `problems`.
fn secret_in(
    node: &Node,
    is_called: bool,
    entry: &Entry,
    problems: &mut Vec<Problem>,
) -> Option<Problem> {
    match &node.value {
        Value::Map(inner) => {
            refuse_secrets(inner, problems);
            None
        }
        Value::List(nodes) => {
            nodes.iter().find_map(|node| secret_in(node, is_called, entry, problems))
        }
        Value::Text(_) | Value::Literal(_) if is_called || node.place.seal() == Seal::Secret => {
            let message = format!(
                "`{}` would be in the bundle as plain text, and it may be a secret",
                shown(&entry.key)
            );
            let hint = "give secrets where hwctl takes them, as commands that the machine runs";
            Some(Problem::at(&entry.place, message).hint(hint))
        }
        _ => None,
    }
}

/// The address and hwctl's variables of a host.
fn of_hwctl(
    Excerpted { host, address, kept, .. }: &Excerpted<'_>,
    declared: &[Declared],
) -> Result<Map<String, Json>, Failure> {
    let (mut given, _) = own::given(host, declared).map_err(problem::failure)?;
    given.retain(|entry| entry.node.is_null() || kept.contains(&entry.key.as_str()));
    let mut problems = Vec::new();
    refuse_secrets(&given, &mut problems);
    if !problems.is_empty() {
        return Err(problem::failure(problems));
    }
    let vars = node::json(&given);
    Ok(Map::from_iter([
        ("ansible_host".to_owned(), json!(address)),
        ("hwctl".to_owned(), Json::Object(vars)),
    ]))
}

/// YAML in which only maps have lines of their own. It is JSON, apart from tags of texts that are no templates.
fn yaml(value: &Json, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Json::Object(map) if map.is_empty() => "{}".to_owned(),
        Json::Object(map) if map.len() == 1 && map.contains_key(UNSAFE) => {
            yaml(&map[UNSAFE], depth)
        }
        Json::Object(map) => {
            let line = |(key, value): (&String, &Json)| {
                format!("{indent}  {}: {}", quoted(key), yaml(value, depth + 1))
            };
            let lines: Vec<_> = map.iter().map(line).collect();
            format!("{{\n{}\n{indent}}}", lines.join(",\n"))
        }
        Json::Array(values) => {
            let values: Vec<_> = values.iter().map(|value| yaml(value, depth + 1)).collect();
            format!("[{}]", values.join(", "))
        }
        Json::String(text) => match text.strip_prefix(INTEGER_MARK) {
            Some(digits) if integer::is_whole(digits) => digits.to_owned(),
            _ if text.contains('{') => format!("!unsafe {}", quoted(text)),
            _ => quoted(text),
        },
        other => other.to_string(),
    }
}

/// A text in quotes. YAML takes fewer characters as they are than JSON.
fn quoted(text: &str) -> String {
    let is_plain =
        |c: char| !matches!(c, '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let escaped = |c: char| match is_plain(c) {
        true => c.to_string(),
        false => format!("\\u{:04x}", u32::from(c)),
    };
    Json::from(text).to_string().chars().map(escaped).collect()
}
