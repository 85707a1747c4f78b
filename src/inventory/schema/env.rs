//! The environment of a program, whose values may hold secrets. How it is written to a file is not known here.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::password::Password;
use super::{Field, Reader, Rule, Shape};
use crate::inventory::ansible::connection::no_template;
use crate::inventory::names::shown;
use crate::inventory::yaml::keys::names_a_secret;
use crate::inventory::yaml::node::{Entry, Node, Value, get};
use crate::inventory::yaml::problem::Problem;

/// The longest text that a variable can be set to. Linux takes no string of an environment beyond 128 KiB.
const MAX_VALUE_BYTES: usize = 64 << 10;
/// What a value may be, for a hint.
const EXAMPLES: &str = "write text, a number, { env: NAME }, { file: PATH }, { command: [PROGRAM] }, { made: NAME } \
                        or { text: \"http://{}@host\", secret: { made: NAME } }";

/// The variables of an environment by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Env(BTreeMap<String, EnvValue>);

/// What a variable of an environment is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvValue {
    /// Text that may be shown.
    Plain(String),
    /// A secret between two texts that may be shown.
    Secret {
        /// The text before the secret.
        before: String,
        /// The secret.
        secret: EnvSecret,
        /// The text after the secret.
        after: String,
    },
}

/// Where a secret in an environment comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvSecret {
    /// From the operator.
    Given(Password),
    /// From the host, which makes one of this name for itself. All who name it share it.
    Made(String),
}

impl Env {
    /// Whether it sets no variable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a value holds a secret.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.0.values().any(|value| matches!(value, EnvValue::Secret { .. }))
    }

    /// The variables, sorted by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &EnvValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The names of the secrets that the host makes for itself.
    pub fn made_secrets(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter_map(|value| match value {
            EnvValue::Secret { secret: EnvSecret::Made(name), .. } => Some(name.as_str()),
            EnvValue::Secret { secret: EnvSecret::Given(_), .. } | EnvValue::Plain(_) => None,
        })
    }
}

/// A map of the names of environment variables to values.
#[derive(Clone, Copy, Debug)]
pub struct EnvMap;

impl Shape for EnvMap {
    fn expected(&self) -> String {
        "a map of environment variables".to_owned()
    }

    fn json(&self) -> Json {
        let made = json!({
            "type": "object",
            "description": "A secret that the host makes for itself.",
            "properties": { "made": { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$" } },
            "required": ["made"],
            "additionalProperties": false,
        });
        let password = json!({ "$ref": "#/definitions/password" });
        let filled = json!({
            "type": "object",
            "description": "A text with a secret in the place of `{}`.",
            "properties": {
                "text": { "type": "string", "pattern": "\\{\\}" },
                "secret": { "anyOf": [password, made] },
            },
            "required": ["text", "secret"],
            "additionalProperties": false,
        });
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            "additionalProperties": {
                "anyOf": [{ "type": ["number", "boolean", "null"] }, password, made, filled],
            },
        })
    }

    fn takes_scalar(&self) -> bool {
        false
    }

    fn is_secret(&self) -> bool {
        true
    }
}

impl Rule for EnvMap {
    type Value = Env;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Env> {
        let Some(entries) = field.node.entries() else {
            return reader.wrong(field, self.expected());
        };
        // A variable that is null is not set, so a host can take one out of what its group has.
        let set = entries.iter().filter(|entry| !(is_name(&entry.key) && entry.node.is_null()));
        let variables: Vec<_> = set.map(|entry| variable(reader, entry, &field.path)).collect();
        variables.into_iter().collect::<Option<_>>().map(Env)
    }
}

fn variable(reader: &mut Reader<'_>, entry: &Entry, path: &str) -> Option<(String, EnvValue)> {
    if !is_name(&entry.key) {
        // Of `KEY=hunter2` YAML makes a name alone, so the name may well be a secret.
        let message = format!("`{path}` has a name that no environment variable can have");
        let problem = Problem::at(&entry.place, message).hiding_place();
        reader.problem(problem.hint("write `NAME: value`, the name of letters, digits and `_`"));
        return None;
    }
    let value = value(reader, &entry.key, &entry.node, &format!("{path}.{}", entry.key))?;
    Some((entry.key.clone(), value))
}

fn value(reader: &mut Reader<'_>, name: &str, node: &Node, path: &str) -> Option<EnvValue> {
    match &node.value {
        Value::Number(number) => Some(EnvValue::Plain(number.to_string())),
        Value::Integer(digits) => Some(EnvValue::Plain(digits.clone())),
        Value::Flag(flag) => Some(EnvValue::Plain(flag.to_string())),
        Value::Text(_) | Value::Literal(_) if !names_a_secret(name) && !node.place.is_sealed() => {
            plain(reader, node, path).map(EnvValue::Plain)
        }
        Value::Map(entries) if get(entries, "text").is_some() => filled(reader, node, path),
        Value::Text(_) | Value::Literal(_) | Value::Later(_) | Value::Map(_) => {
            let secret = secret(reader, node, path)?;
            Some(EnvValue::Secret { before: String::new(), secret, after: String::new() })
        }
        Value::Null | Value::List(_) | Value::Vault(_) => {
            let message = format!("`{path}` takes the value of a variable, not {}", node.kind());
            reader.refuse_at(&node.place, message, EXAMPLES)
        }
    }
}

/// Text that an environment can carry.
fn plain(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<String> {
    if let Err(problem) = no_template(node) {
        reader.problem(problem);
        return None;
    }
    let (Value::Text(text) | Value::Literal(text)) = &node.value else {
        let message = format!("`{path}` takes text, not {}", node.kind());
        return reader.refuse_at(&node.place, message, "");
    };
    match unusable(text) {
        Some(why) => reader.refuse_at(&node.place, format!("`{path}` {why}"), ""),
        None => Some(text.clone()),
    }
}

/// `{ text: "…{}…", secret: … }`.
fn filled(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<EnvValue> {
    let entries = node.entries().unwrap_or_default();
    if let Some(other) = entries.iter().find(|entry| !["text", "secret"].contains(&&*entry.key)) {
        let message = format!("unknown key `{}` in `{path}`", shown(&other.key));
        return reader.refuse_at(&other.place, message, EXAMPLES);
    }
    let Some(at) = get(entries, "secret") else {
        let hint = "name the secret that stands in the place of `{}`, or write the text alone";
        return reader.refuse_at(&node.place, format!("`{path}` lacks `secret`"), hint);
    };
    let secret = secret(reader, at, &format!("{path}.secret"));
    let template = get(entries, "text").unwrap_or(node);
    let text = plain(reader, template, &format!("{path}.text"))?;
    let mut pieces = text.split("{}");
    let (Some(before), Some(after), None) = (pieces.next(), pieces.next(), pieces.next()) else {
        let message = format!("`{path}.text` has to have `{{}}` once, where the secret stands");
        return reader.refuse_at(&template.place, message, "");
    };
    Some(EnvValue::Secret { before: before.to_owned(), secret: secret?, after: after.to_owned() })
}

/// A password or a reference to one, or `{ made: NAME }`.
fn secret(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<EnvSecret> {
    let Some([Entry { key, node: name, .. }]) = node.entries().filter(|e| e[..].len() == 1) else {
        return reader.secret(node, path).map(EnvSecret::Given);
    };
    if key != "made" {
        return reader.secret(node, path).map(EnvSecret::Given);
    }
    match &name.value {
        Value::Text(text) | Value::Literal(text) if is_secret_name(text) => {
            Some(EnvSecret::Made(text.clone()))
        }
        _ => {
            let message = format!("`{path}.made` takes a name of small letters, digits and `-`");
            reader.refuse_at(&name.place, message, "")
        }
    }
}

/// Whether an environment variable may have this name.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(fits)
}

/// Whether a secret that the host makes may have this name. It is the name of a file.
fn is_secret_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.chars().all(fits)
}

/// Why an environment cannot carry a text. systemd drops variables whose values have control characters other than
/// tabs and line breaks, or code points that are no characters (`env_value_is_valid` in its sources).
fn unusable(text: &str) -> Option<String> {
    if text.len() > MAX_VALUE_BYTES {
        return Some(format!("is longer than {} KiB", MAX_VALUE_BYTES >> 10));
    }
    let refused = |c: &char| {
        let code = u32::from(*c);
        c.is_control() && !"\t\n".contains(*c)
            || (0xfdd0..=0xfdef).contains(&code)
            || code & 0xfffe == 0xfffe
    };
    let c = text.chars().find(refused)?;
    Some(format!("has the character U+{:04X}, which no environment carries", u32::from(c)))
}
