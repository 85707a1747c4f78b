//! Keys of maps: what they name, and which of them have a secret below.

use super::node::{Node, Value};
use super::problem::Problem;

/// What the keys of a map are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Level {
    /// Names of groups.
    Groups,
    /// `hosts`, `vars` and `children`.
    Group,
    /// Names of hosts.
    Hosts,
    #[default]
    Variables,
}

impl Level {
    pub(super) fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Groups, _) => Self::Group,
            (Self::Group, "hosts") => Self::Hosts,
            (Self::Group, "children") => Self::Groups,
            _ => Self::Variables,
        }
    }
}

/// Refuses a number or the like in the place of a name: YAML reads `no` as a flag, and `12:30` as
/// the number 750.
pub(super) fn require_name(key: &Node, level: Level) -> Result<(), Problem> {
    if matches!(key.value, Value::Text(_) | Value::Literal(_)) {
        return Ok(());
    }
    let what = if level == Level::Hosts { "host" } else { "group" };
    let message = format!("the name of a {what} is text, not {}", key.kind());
    Err(Problem::at(&key.place, message).hint("put the name in quotes"))
}

/// A key as JSON spells it.
pub(super) fn key_name(key: &Node) -> Result<String, Problem> {
    match &key.value {
        Value::Text(text) | Value::Literal(text) => Ok(text.clone()),
        Value::Null | Value::Flag(_) | Value::Number(_) => Ok(key.json().to_string()),
        Value::Integer(digits) => Ok(digits.clone()),
        _ => Err(Problem::at(&key.place, format!("a key is a word, not {}", key.kind()))),
    }
}

/// Whether what is under this key must not be shown; also when the key has a typing error.
pub(in crate::inventory) fn names_a_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let near = |name| strsim::damerau_levenshtein(&key, name) <= 2;
    near("users") || near("password") || key.ends_with("users") || is_called_a_secret(&key)
}

/// Whether the name of a variable says that its value is a secret.
pub(in crate::inventory) fn is_called_a_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["pw", "pass", "secret", "vault", "cred"].iter().any(|part| key.contains(part))
        || key.ends_with("key")
        || key.ends_with("token")
}
