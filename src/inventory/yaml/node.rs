//! A YAML value that knows where it was written, so that it still does after all merging.

use serde_json::{Map, Number, Value as Json};

use super::place::{Extent, Place, Problem};
use crate::inventory::names::shown;

/// A value and its place.
#[derive(Clone)]
pub struct Node {
    pub(in crate::inventory) value: Value,
    pub(in crate::inventory) place: Place,
}

/// What YAML can say, as far as an inventory uses it.
#[derive(Clone)]
pub(in crate::inventory) enum Value {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    /// Text tagged `!unsafe`: never a template.
    Literal(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One `key: value`.
#[derive(Clone)]
pub(in crate::inventory) struct Entry {
    pub(in crate::inventory) key: String,
    pub(in crate::inventory) place: Place,
    pub(in crate::inventory) node: Node,
}

impl Node {
    pub(in crate::inventory) fn new(value: Value, place: Place) -> Self {
        Self { value, place }
    }

    pub(in crate::inventory) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(in crate::inventory) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Where its words and numbers stand.
    pub(in crate::inventory) fn extents(&self) -> Vec<Extent> {
        match &self.value {
            Value::List(nodes) => nodes.iter().flat_map(Self::extents).collect(),
            Value::Map(entries) => entries.iter().flat_map(|entry| entry.node.extents()).collect(),
            Value::Null => Vec::new(),
            _ => vec![self.place.extent()],
        }
    }

    /// What the value is, in a person's words.
    pub(in crate::inventory) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) | Value::Literal(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value as JSON, as `ansible-inventory --list` prints it.
    pub(in crate::inventory) fn json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Flag(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::Literal(text) => {
                let text = Json::String(text.clone());
                Json::Object(Map::from_iter([("__ansible_unsafe".to_owned(), text)]))
            }
            Value::List(nodes) => nodes.iter().map(Self::json).collect(),
            Value::Map(entries) => Json::Object(json(entries)),
        }
    }
}

/// The entries as a JSON object.
pub(in crate::inventory) fn json(entries: &[Entry]) -> Map<String, Json> {
    entries.iter().map(|entry| (entry.key.clone(), entry.node.json())).collect()
}

/// The value of a key.
pub(in crate::inventory) fn get<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

/// Adds an entry; one with the same key is replaced as a whole, which is Ansible's rule.
pub(in crate::inventory) fn put(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|other| other.key == entry.key) {
        Some(other) => *other = entry,
        None => entries.push(entry),
    }
}

/// Sets the value at a path of keys; maps on the way are made when they lack.
pub(in crate::inventory) fn put_at(
    entries: &mut Vec<Entry>,
    path: &[String],
    node: Node,
) -> Result<(), Problem> {
    let Some((key, rest)) = path.split_first() else { return Ok(()) };
    let place = node.place.clone();
    if rest.is_empty() {
        put(entries, Entry { key: key.clone(), place, node });
        return Ok(());
    }
    let nothing = || Node::new(Value::Null, place.clone());
    let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
        entries.push(Entry { key: key.clone(), place: place.clone(), node: nothing() });
        entries.len() - 1
    });
    let outer = &mut entries[at].node;
    if outer.is_null() {
        *outer = Node::new(Value::Map(Vec::new()), place.clone());
    }
    if let Value::Map(inner) = &mut outer.value {
        return put_at(inner, rest, node);
    }
    let (key, kind, there) = (shown(key), outer.kind(), &outer.place);
    Err(Problem::at(&place, format!("`{key}` is {kind}, not a map, at {there}")))
}

/// Lays `over` on `below`: maps are joined, everything else is replaced, and null means what lies below.
pub(in crate::inventory) fn lay(below: &[Entry], over: &[Entry]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = below.to_vec();
    for entry in over {
        match (get(below, &entry.key), &entry.node.value) {
            (Some(_), Value::Null) => {}
            (Some(Node { value: Value::Map(below), .. }), Value::Map(over)) => {
                let node = Node::new(Value::Map(lay(below, over)), entry.node.place.clone());
                put(&mut entries, Entry { node, ..entry.clone() });
            }
            _ => put(&mut entries, entry.clone()),
        }
    }
    entries
}
