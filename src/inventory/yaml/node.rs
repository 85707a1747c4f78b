//! A YAML value that knows where it was written, so that it still does after all merging.

use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};

use super::place::{Extent, Place};
use super::problem::Problem;
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
    /// A whole number that does not fit into 64 bits, in decimal digits.
    Integer(String),
    Text(String),
    /// Text tagged `!unsafe`, or the result of an evaluation: never a template.
    Literal(String),
    /// Text tagged `!vault`, still encrypted.
    Vault(String),
    /// A secret that is evaluated only when something needs it.
    Later(Later),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// Begins a text in JSON that stands for a whole number of more than 64 bits.
pub(in crate::inventory) const INTEGER_MARK: &str = "\u{1}integer:";

/// Evaluates a value when it is needed.
#[derive(Clone)]
pub(in crate::inventory) struct Later(Arc<dyn Fn() -> Result<Node, Problem> + Send + Sync>);

impl Later {
    pub(in crate::inventory) fn new(
        evaluate: impl Fn() -> Result<Node, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(evaluate))
    }

    pub(in crate::inventory) fn now(&self) -> Result<Node, Problem> {
        (self.0)()
    }
}

/// Two are equal only if one is a copy of the other.
impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// One `key: value`.
#[derive(Clone)]
pub(in crate::inventory) struct Entry {
    pub(in crate::inventory) key: String,
    pub(in crate::inventory) place: Place,
    pub(in crate::inventory) node: Node,
}

impl Entry {
    /// The key for a message, unless it came out of a vault or a template.
    pub(in crate::inventory) fn shown_key(&self) -> String {
        if self.place.is_sealed() { "***".to_owned() } else { shown(&self.key) }
    }
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

    /// Whether this is text without a letter, which is no password to Ansible.
    pub(in crate::inventory) fn is_empty_text(&self) -> bool {
        matches!(&self.value, Value::Text(text) | Value::Literal(text) if text.is_empty())
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

    /// Whether anything in it has to be evaluated before it is used: a template or a vault.
    pub(in crate::inventory) fn needs_evaluation(&self) -> bool {
        match &self.value {
            Value::Vault(_) => true,
            Value::Text(text) => ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)),
            Value::List(nodes) => nodes.iter().any(Self::needs_evaluation),
            Value::Map(entries) => entries.iter().any(|entry| entry.node.needs_evaluation()),
            _ => false,
        }
    }

    /// The value for a message: text and numbers as they are, unless they came out of a vault or a template.
    pub(in crate::inventory) fn shown(&self) -> String {
        match &self.value {
            _ if self.place.is_sealed() => "***".to_owned(),
            Value::Text(text) | Value::Literal(text) => shown(text),
            Value::Number(number) => number.to_string(),
            Value::Integer(digits) => shown(digits),
            _ => self.kind().to_owned(),
        }
    }

    /// The texts in it that came out of a vault or a template.
    pub(in crate::inventory) fn sealed_texts<'a>(&'a self, texts: &mut Vec<&'a str>) {
        match &self.value {
            Value::Text(text) | Value::Literal(text) if self.place.is_sealed() => texts.push(text),
            Value::List(nodes) => nodes.iter().for_each(|node| node.sealed_texts(texts)),
            Value::Map(entries) => entries.iter().for_each(|entry| entry.node.sealed_texts(texts)),
            _ => {}
        }
    }

    /// What the value is, in a person's words.
    pub(in crate::inventory) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) | Value::Integer(_) => "a number",
            Value::Text(_) | Value::Literal(_) => "text",
            Value::Vault(_) => "an encrypted value",
            Value::Later(_) => "a template",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value as JSON, as `ansible-inventory --list` prints it.
    pub(in crate::inventory) fn json(&self) -> Json {
        match &self.value {
            Value::Null | Value::Later(_) => Json::Null,
            Value::Flag(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Integer(digits) => Json::String(format!("{INTEGER_MARK}{digits}")),
            Value::Text(text) => Json::String(text.clone()),
            Value::Literal(text) => tagged("__ansible_unsafe", text),
            Value::Vault(text) => tagged("__ansible_vault", text),
            Value::List(nodes) => nodes.iter().map(Self::json).collect(),
            Value::Map(entries) => Json::Object(json(entries)),
        }
    }
}

/// A text as Ansible's JSON marks it.
fn tagged(tag: &str, text: &str) -> Json {
    Json::Object(Map::from_iter([(tag.to_owned(), Json::String(text.to_owned()))]))
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
