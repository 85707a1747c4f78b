//! Reads typed values out of a tree, and collects everything that is wrong with its place.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::ansible::connection::no_template;
use super::names::{quoted, shown};
use super::yaml::node::{Entry, Node, Value, get};
use super::yaml::place::{Problem, nearest};

/// What was found wrong so far. A reading that fails adds a problem and gives `None`, so that
/// the rest is still read.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

/// A map whose keys are known names.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) node: &'a Node,
    pub(super) path: &'a str,
}

/// One value of a [`Fields`], and its path such as `redis.port`.
pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    pub(super) path: String,
}

impl<'a> Fields<'a> {
    /// The value of a key; nothing when it is absent or null.
    pub(super) fn optional(&self, key: &str) -> Option<Field<'a>> {
        let node = get(self.node.entries()?, key)?;
        (!node.is_null()).then(|| Field { node, path: self.path_of(key) })
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Reader {
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn wrong<T>(&mut self, field: &Field, expected: impl Display) -> Option<T> {
        if let Err(problem) = no_template(field.node) {
            self.problem(problem);
            return None;
        }
        let message = format!("`{}` takes {expected}, not {}", field.path, field.node.kind());
        self.problem(Problem::at(&field.node.place, message));
        None
    }

    /// A map with these keys and no others.
    pub(super) fn fields<'a>(&mut self, field: &'a Field, known: &[&str]) -> Option<Fields<'a>> {
        let Some(entries) = field.node.entries() else {
            return self.wrong(field, format!("a map of {}", quoted(known)));
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let message = format!("unknown key `{}` in `{}`", shown(&entry.key), field.path);
            let meant = nearest(&entry.key, known.iter().copied());
            let hint = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("`{}` has {}", field.path, quoted(known)),
            };
            let problem = Problem::at(&entry.place, message).hint(hint);
            self.problem(problem.hiding(&entry.node, meant));
        }
        Some(Fields { node: field.node, path: &field.path })
    }

    /// The value of a key that must be there.
    pub(super) fn required<'a>(&mut self, fields: Fields<'a>, key: &str) -> Option<Field<'a>> {
        let field = fields.optional(key);
        if field.is_none() {
            let message = format!("`{}` lacks `{key}`", fields.path);
            self.problem(Problem::at(&fields.node.place, message));
        }
        field
    }

    /// Text that passes a check; the check says what it wants, such as "an absolute path".
    pub(super) fn text<T>(
        &mut self,
        field: &Field,
        expected: &str,
        check: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (Value::Text(text) | Value::Literal(text)) = &field.node.value else {
            return self.wrong(field, expected);
        };
        if let Err(problem) = no_template(field.node) {
            self.problem(problem);
            return None;
        }
        let value = check(text);
        if value.is_none() {
            let message = format!("`{}` takes {expected}, not `{}`", field.path, shown(text));
            self.problem(Problem::at(&field.node.place, message));
        }
        value
    }

    /// A whole number in a range.
    pub(super) fn number<T>(&mut self, field: &Field, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + PartialOrd + Display,
    {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = match &field.node.value {
            Value::Number(number) => number,
            Value::Text(text) if text.parse::<u64>().is_ok() => {
                let message = format!("`{}` takes {expected}, not text", field.path);
                let problem = Problem::at(&field.node.place, message);
                self.problem(problem.hint("take the quotes off"));
                return None;
            }
            _ => return self.wrong(field, expected),
        };
        let value = number.as_u64().and_then(|n| T::try_from(n).ok());
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            let message = format!("`{}` takes {expected}, not `{number}`", field.path);
            self.problem(Problem::at(&field.node.place, message));
        }
        value
    }

    /// True or false.
    pub(super) fn flag(&mut self, field: &Field) -> Option<bool> {
        match field.node.value {
            Value::Flag(flag) => Some(flag),
            _ => self.wrong(field, "true or false"),
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, field: &Field, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let expected = match names.as_slice() {
            [only] => format!("`{only}`"),
            _ => format!("one of {}", quoted(&names)),
        };
        let found = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, v)| *v);
        self.text(field, &expected, found)
    }

    /// A list, each of whose values is read by `read`.
    pub(super) fn list<T>(
        &mut self,
        field: &Field,
        read: impl Fn(&mut Self, &Field) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::List(nodes) = &field.node.value else {
            return self.wrong(field, "a list");
        };
        let mut values = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let field = Field { node, path: format!("{}[{at}]", field.path) };
            values.push(read(self, &field));
        }
        values.into_iter().collect()
    }

    /// A map whose keys are free names, each of whose values is read by `read`.
    pub(super) fn named<T>(
        &mut self,
        field: &Field,
        expected: &str,
        read: impl Fn(&mut Self, &Entry, &Field) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let Some(entries) = field.node.entries() else {
            return self.wrong(field, expected);
        };
        let mut values = Vec::new();
        for entry in entries {
            let path = format!("{}.{}", field.path, shown(&entry.key));
            let value = read(self, entry, &Field { node: &entry.node, path });
            values.push(value.map(|value| (entry.key.clone(), value)));
        }
        values.into_iter().collect()
    }
}
