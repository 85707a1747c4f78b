//! Declarations as the table of the documentation.

use std::fmt::Write as _;

use super::{Declared, Key, Shape, default_of};
use crate::inventory::yaml::node::{Node, Value};

/// The table of these variables and their keys, in Markdown.
#[must_use]
pub fn table(declared: &[Declared]) -> String {
    let mut text = "| variable | default | what it is |\n| --- | --- | --- |\n".to_owned();
    for Declared { key, .. } in declared {
        rows(&mut text, key.name, key);
    }
    text
}

/// A row for a key, or for each of the keys below it.
fn rows(text: &mut String, path: &str, key: &Key) {
    let (path, shape) = match key.shape.each() {
        Some(each)
            if key.shape.keys().is_empty()
                && !each.keys().is_empty()
                && !key.shape.takes_scalar() =>
        {
            (format!("{path}.NAME"), each)
        }
        _ => (path.to_owned(), key.shape),
    };
    if shape.keys().is_empty() || shape.takes_scalar() {
        let default = shown(&default_of(key.default));
        let doc = key.doc.trim();
        let _ = writeln!(text, "| `{path}` | {default} | {doc}{} |", limits(shape));
        return;
    }
    for key in shape.keys() {
        rows(text, &format!("{path}.{}", key.name), key);
    }
}

/// What a number or a word may be, where the type says it.
fn limits(shape: &dyn Shape) -> String {
    let json = shape.json();
    match (json["minimum"].as_u64(), json["maximum"].as_u64(), json["enum"].as_array()) {
        (Some(min), Some(max), _) => format!(", {min} to {max}"),
        (_, _, Some(words)) if words.len() > 1 => {
            let words: Vec<_> = words.iter().filter_map(|word| word.as_str()).collect();
            format!(": `{}`", words.join("`, `"))
        }
        _ => String::new(),
    }
}

fn shown(default: &Node) -> String {
    match &default.value {
        Value::Null => String::new(),
        _ => format!("`{}`", flow(default)),
    }
}

/// A value in one line of YAML.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null | Value::Vault(_) | Value::Later(_) => "null".to_owned(),
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Integer(digits) => digits.clone(),
        Value::Text(text) | Value::Literal(text) => text.clone(),
        Value::List(nodes) => {
            format!("[{}]", nodes.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let entries =
                entries.iter().map(|entry| format!("{}: {}", entry.key, flow(&entry.node)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
