//! An inventory of one machine that provisions itself, with as little of the operator's inventory as it takes.

use serde_json::{Map, Value as Json, json};

use super::schema::Declared;
use super::yaml::integer;
use super::yaml::keys::names_a_secret;
use super::yaml::node::{self, Entry, INTEGER_MARK, Value};
use super::yaml::problem::{self, Problem};
use super::{Inventory, InventoryHost, own};
use crate::failure::Failure;

/// The only key of a text in JSON that is no template.
const UNSAFE: &str = "__ansible_unsafe";

/// What says where a secret is.
const REFERENCES: [&str; 4] = ["command", "env", "file", "made"];
/// Shorter texts are words that may be anywhere.
const LEAST_SECRET: usize = 6;

/// A host of an excerpt.
pub struct Excerpted<'a> {
    /// As the inventory has it.
    pub host: &'a InventoryHost,
    /// Where clients and its peers reach it.
    pub address: &'a str,
    /// The variables of hwctl that it keeps, by their names. `null` is kept in any case: it takes something away.
    pub kept: &'a [&'a str],
}

impl Inventory {
    /// An inventory in YAML of the machine `own` and of what it has to know of its peers. All templates in it are
    /// evaluated. What the variables refer to is left as it is; see [`super::Vars::portable`].
    pub fn excerpt(
        own: &Excerpted<'_>,
        peers: &[Excerpted<'_>],
        declared: &[Declared],
    ) -> Result<String, Failure> {
        let is_own = |name: &str| declared.iter().any(|one| one.key.name == name);
        let mut vars = own.host.for_templates();
        vars.retain(|name, _| name != "hwctl" && !name.starts_with("ansible_") && !is_own(name));
        vars.insert("ansible_connection".to_owned(), json!("local"));
        vars.extend(of_hwctl(own, declared)?);
        let mut hosts = Map::from_iter([(own.host.name.clone(), Json::Object(vars))]);
        for peer in peers {
            hosts.insert(peer.host.name.clone(), Json::Object(of_hwctl(peer, declared)?));
        }
        let text = yaml(&json!({ "all": { "hosts": hosts } }), 0) + "\n";
        let mut secrets = Vec::new();
        add_secrets(own.host, own.host.written(), false, &mut secrets);
        match secrets.iter().find(|(_, secret)| text.contains(secret)) {
            Some((entry, _)) => Err(problem::failure(vec![
                Problem::at(
                    &entry.place,
                    format!(
                        "the secret `{}` is in the text of another variable",
                        entry.shown_key()
                    ),
                )
                .hint("use it where hwctl takes a secret, as a command that the machine runs"),
            ])),
            None => Ok(text),
        }
    }
}

/// Adds the texts of variables that look like secrets, as JSON has them.
fn add_secrets<'a>(
    host: &InventoryHost,
    entries: &'a [Entry],
    is_within: bool,
    secrets: &mut Vec<(&'a Entry, String)>,
) {
    for entry in entries {
        let (is_sealed, node) = (entry.node.place.is_sealed(), &entry.node);
        let is_secret = is_within || is_sealed || names_a_secret(&entry.key);
        match &node.value {
            // A reference says where a secret is.
            Value::Map(inner) if inner.iter().any(|entry| REFERENCES.contains(&&*entry.key)) => {}
            Value::Map(inner) => add_secrets(host, inner, is_secret, secrets),
            Value::Vault(_) | Value::Text(_) | Value::Literal(_) | Value::List(_)
                if is_secret || matches!(node.value, Value::Vault(_)) =>
            {
                let Ok(found) = host.evaluated(node) else { continue };
                let mut texts = Vec::new();
                found.texts(&mut texts);
                let long = texts.into_iter().filter(|text| text.chars().count() >= LEAST_SECRET);
                let as_json = long.map(|text| Json::from(text).to_string());
                let inner = as_json.map(|text| text[1..text.len() - 1].to_owned());
                secrets.extend(inner.map(|text| (entry, text)));
            }
            _ => {}
        }
    }
}

/// The address and hwctl's variables of a host.
fn of_hwctl(
    Excerpted { host, address, kept }: &Excerpted<'_>,
    declared: &[Declared],
) -> Result<Map<String, Json>, Failure> {
    let (given, _) = own::given(host, declared).map_err(problem::failure)?;
    let mut vars = node::json(&given);
    vars.retain(|name, value| value.is_null() || kept.contains(&name.as_str()));
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
                format!("{indent}  {}: {}", Json::from(key.as_str()), yaml(value, depth + 1))
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
            _ if text.contains('{') => format!("!unsafe {value}"),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}
