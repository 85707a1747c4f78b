//! Reads typed values out of a tree, and collects everything that is wrong with its place.

use std::fmt::Display;
use std::sync::Arc;

use super::origin::Passwords;
use super::password::Reference;
use super::{Key, Rule, default_of, place_of, visible};
use crate::inventory::ansible::connection::no_template;
use crate::inventory::names::{quoted, shown};
use crate::inventory::yaml::node::{Node, Value, get};
use crate::inventory::yaml::place::Place;
use crate::inventory::yaml::problem::{Problem, nearest};

/// What was found wrong so far. A reading that fails adds a problem and gives None, so that the rest is still read.
pub struct Reader<'a> {
    pub(super) problems: Vec<Problem>,
    /// What is to be looked up, each with the name of the variable that needs it.
    pub(super) references: Vec<(&'static str, Reference)>,
    pub(super) passwords: &'a Arc<Passwords>,
    /// The port that ssh uses on the host, where the inventory names one.
    ssh_port: Option<u16>,
    /// The variables that were begun, each with the value that counts.
    root: Vec<(Key, Node)>,
    /// The variable that is being read or checked.
    variable: Option<&'static str>,
}

/// A map whose keys are known names.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    pub(in crate::inventory) node: &'a Node,
    path: &'a str,
}

/// One value, and its path such as `redis.port`.
pub struct Field<'a> {
    pub(in crate::inventory) node: &'a Node,
    pub(super) path: String,
}

impl Field<'_> {
    /// Its path, such as `redis.port`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value, where it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.node.value {
            Value::Text(text) | Value::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// The value as text, where it is text or a number.
    #[must_use]
    pub fn as_plain(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) | Value::Literal(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether the value is a map.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.node.entries().is_some()
    }

    /// Whether the value is a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self.node.value, Value::Number(_) | Value::Integer(_))
    }
}

impl<'a> Fields<'a> {
    /// The path of the map, such as `redis`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path
    }

    /// The value of a key. None when it is missing or null.
    #[must_use]
    pub fn optional(&self, key: &str) -> Option<Field<'a>> {
        let node = get(self.node.entries()?, key)?;
        (!node.is_null()).then(|| Field { node, path: self.path_of(key) })
    }

    /// Whether the key is there, with whatever value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node.entries().is_some_and(|entries| get(entries, key).is_some())
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(passwords: &'a Arc<Passwords>, ssh_port: Option<u16>) -> Self {
        Self {
            problems: Vec::new(),
            references: Vec::new(),
            passwords,
            ssh_port,
            root: Vec::new(),
            variable: None,
        }
    }

    /// Begins another variable, whose value is `node`.
    pub(super) fn begin(&mut self, key: &Key, node: &Node) {
        self.root.push((*key, node.clone()));
        self.variable = Some(key.name);
    }

    /// Comes back to a variable, to check it.
    pub(super) fn resume(&mut self, key: &Key) {
        self.variable = Some(key.name);
    }

    /// The variable that is being read.
    pub(super) fn variable(&self) -> Option<&'static str> {
        self.variable
    }

    /// The port that ssh uses on the host, where the inventory names one.
    #[must_use]
    pub fn ssh_port(&self) -> Option<u16> {
        self.ssh_port
    }

    /// Adds a problem. Its message may show the words and numbers that are surely values of hwctl's variables, unless
    /// they came out of a vault or a template.
    pub(super) fn problem(&mut self, problem: Problem) {
        let visible = self.root.iter().flat_map(|(key, node)| visible(node, key.shape));
        let visible: Vec<_> = visible.collect();
        let mut sealed = Vec::new();
        self.root.iter().for_each(|(_, node)| node.sealed_texts(&mut sealed));
        // A folder is shown without the slash at its end.
        let sealed = sealed.into_iter().flat_map(|text| [text, text.trim_end_matches('/')]);
        self.problems.push(problem.showing(&visible).hiding_texts(sealed));
    }

    /// Reports what is wrong with a value. It is written in full, without the value where that is a secret.
    pub fn refuse<T>(
        &mut self,
        field: &Field<'_>,
        message: impl Into<String>,
        hint: &str,
    ) -> Option<T> {
        self.refuse_at(&field.node.place.clone(), message, hint)
    }

    /// Reports what is wrong with the variables at these paths, such as `sites.main.root`, at the one that somebody
    /// wrote rather than at a default.
    pub fn refuse_path(&mut self, paths: [&str; 2], message: impl Into<String>, hint: &str) {
        let mut places = paths.into_iter().filter_map(|path| Some(place_of(&self.root, path)?.0));
        let place = places.clone().find(|place| !place.is_builtin()).or_else(|| places.next());
        let problem =
            place.map_or_else(|| Problem::nowhere(""), |place| Problem::at(&place, message));
        self.problem(with_hint(problem, hint));
    }

    /// Reports what is wrong with a map as a whole.
    pub fn refuse_map(&mut self, fields: &Fields<'_>, message: impl Into<String>, hint: &str) {
        self.refuse_at::<()>(&fields.node.place.clone(), message, hint);
    }

    /// Where the variable at a path such as `sites.main.root` is written. None where only the defaults have it.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<String> {
        let (place, _) = place_of(&self.root, path).filter(|(place, _)| !place.is_builtin())?;
        Some(place.to_string())
    }

    /// Whether nobody wrote the variable at this path.
    #[must_use]
    pub fn is_default(&self, path: &str) -> bool {
        place_of(&self.root, path).is_none_or(|(place, is_there)| !is_there || place.is_builtin())
    }

    pub(super) fn refuse_at<T>(
        &mut self,
        place: &Place,
        message: impl Into<String>,
        hint: &str,
    ) -> Option<T> {
        self.problem(with_hint(Problem::at(place, message), hint));
        None
    }

    /// Reports that a value has another type than what is taken.
    pub fn wrong<T>(&mut self, field: &Field<'_>, expected: impl Display) -> Option<T> {
        if let Err(problem) = no_template(field.node) {
            self.problem(problem);
            return None;
        }
        self.refuse(
            field,
            format!("`{}` takes {expected}, not {}", field.path, field.node.kind()),
            "",
        )
    }

    /// Reports that a value is not among those that are taken.
    pub fn unfit<T>(
        &mut self,
        field: &Field<'_>,
        expected: impl Display,
        value: impl Display,
    ) -> Option<T> {
        let value = match field.node.place.is_sealed() {
            true => "***".to_owned(),
            false => value.to_string(),
        };
        self.refuse(field, format!("`{}` takes {expected}, not `{value}`", field.path), "")
    }

    /// Reports that a key is missing.
    pub fn lacks<T>(&mut self, fields: &Fields<'_>, name: &str) -> Option<T> {
        self.refuse_at(&fields.node.place, format!("`{}` lacks `{name}`", fields.path), "")
    }

    /// A map with these keys and no others.
    pub fn fields<'f>(&mut self, field: &'f Field<'_>, keys: &[Key]) -> Option<Fields<'f>> {
        let known: Vec<_> = keys.iter().map(|key| key.name).collect();
        let Some(entries) = field.node.entries() else {
            return self.wrong(field, format!("a map of {}", quoted(&known)));
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let message = format!("unknown key `{}` in `{}`", entry.shown_key(), field.path);
            let meant = nearest(&entry.key, known.iter().copied());
            let hint = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("`{}` has {}", field.path, quoted(&known)),
            };
            let problem = Problem::at(&entry.place, message).hint(hint);
            self.problem(problem.hiding(&entry.node, meant));
        }
        Some(Fields { node: field.node, path: &field.path })
    }

    /// The value of a key, or its default.
    pub fn key<R: Rule>(
        &mut self,
        fields: &Fields<'_>,
        name: &'static str,
        default: &'static str,
        rule: &R,
    ) -> Option<R::Value> {
        let default = default_of(default);
        let path = fields.path_of(name);
        match fields.optional(name) {
            Some(given) => {
                let node = rule.over(&default, given.node);
                rule.read(self, &Field { node: &node, path })
            }
            None if default.is_null() => rule.absent(self, fields, name),
            None => rule.read(self, &Field { node: &default, path }),
        }
    }

    /// Text that passes a check. `expected` says what it is, such as "an absolute path".
    pub fn text<T>(
        &mut self,
        field: &Field<'_>,
        expected: &str,
        check: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(text) = field.as_text() else { return self.wrong(field, expected) };
        if let Err(problem) = no_template(field.node) {
            self.problem(problem);
            return None;
        }
        let value = check(text);
        if value.is_none() {
            return self.unfit(field, expected, shown(text));
        }
        value
    }
}

fn with_hint(problem: Problem, hint: &str) -> Problem {
    if hint.is_empty() { problem } else { problem.hint(hint) }
}
