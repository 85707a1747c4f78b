//! The rules that declarations are made of.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::password::{Reference, Users};
use super::{Block, Field, Fields, Key, Reader, Rule, Shape};
use crate::inventory::check;
use crate::inventory::names::{quoted, shown};
use crate::inventory::yaml::node::{Entry, Node, Value, get, lay, put};

/// A whole number within bounds, both of which are taken.
#[derive(Clone, Copy, Debug)]
pub struct Number<T> {
    /// The least.
    pub min: T,
    /// The greatest.
    pub max: T,
}

impl<T: Display + Copy + Into<u64> + Sync> Shape for Number<T> {
    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn json(&self) -> Json {
        let (min, max): (u64, u64) = (self.min.into(), self.max.into());
        json!({ "type": "integer", "minimum": min, "maximum": max })
    }
}

impl<T: Display + Copy + Into<u64> + TryFrom<u64> + PartialOrd + Sync> Rule for Number<T> {
    type Value = T;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<T> {
        let expected = self.expected();
        let number = match &field.node.value {
            Value::Number(number) => number,
            Value::Text(text) if text.parse::<u64>().is_ok() => {
                let message = format!("`{}` takes {expected}, not text", field.path);
                return reader.refuse(field, message, "take the quotes off");
            }
            _ => return reader.wrong(field, expected),
        };
        let value = number.as_u64().and_then(|number| T::try_from(number).ok());
        let value = value.filter(|value| (self.min..=self.max).contains(value));
        value.or_else(|| reader.unfit(field, expected, number))
    }
}

/// Text that passes a check.
#[derive(Clone, Copy, Debug)]
pub struct Text<T> {
    /// What it is: "an absolute path".
    pub expected: &'static str,
    /// The value that the text stands for. None where it does not fit.
    pub check: fn(&str) -> Option<T>,
}

impl<T> Shape for Text<T> {
    fn expected(&self) -> String {
        self.expected.to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": "string" })
    }
}

impl<T> Rule for Text<T> {
    type Value = T;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<T> {
        reader.text(field, self.expected, self.check)
    }
}

/// True or false.
#[derive(Clone, Copy, Debug)]
pub struct Flag;

impl Shape for Flag {
    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": "boolean" })
    }
}

impl Rule for Flag {
    type Value = bool;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<bool> {
        match field.node.value {
            Value::Flag(flag) => Some(flag),
            _ => reader.wrong(field, self.expected()),
        }
    }
}

/// One of some words.
#[derive(Clone, Copy, Debug)]
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T> Choice<T> {
    fn words(&self) -> Vec<&'static str> {
        self.0.iter().map(|(word, _)| *word).collect()
    }
}

impl<T: Sync> Shape for Choice<T> {
    fn expected(&self) -> String {
        match self.words().as_slice() {
            [only] => format!("`{only}`"),
            words => format!("one of {}", quoted(words)),
        }
    }

    fn json(&self) -> Json {
        json!({ "enum": self.words() })
    }
}

impl<T: Copy + Sync> Rule for Choice<T> {
    type Value = T;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<T> {
        let value =
            |text: &str| self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        reader.text(field, &self.expected(), value)
    }
}

/// A list of what another rule takes.
#[derive(Clone, Copy, Debug)]
pub struct List<R>(pub R);

impl<R: Rule> Shape for List<R> {
    fn expected(&self) -> String {
        "a list".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": "array", "items": self.0.json() })
    }

    fn each(&self) -> Option<&dyn Shape> {
        Some(&self.0)
    }
}

impl<R: Rule> Rule for List<R> {
    type Value = Vec<R::Value>;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Self::Value> {
        let Value::List(nodes) = &field.node.value else {
            return reader.wrong(field, self.expected());
        };
        let read = |(at, node)| {
            self.0.read(reader, &Field { node, path: format!("{}[{at}]", field.path) })
        };
        // All are read before one that fails ends it.
        let values: Vec<_> = nodes.iter().enumerate().map(read).collect();
        values.into_iter().collect()
    }
}

/// What another rule takes, or nothing.
#[derive(Clone, Copy, Debug)]
pub struct Optional<R>(pub R);

impl<R: Rule> Shape for Optional<R> {
    fn expected(&self) -> String {
        self.0.expected()
    }

    fn json(&self) -> Json {
        self.0.json()
    }

    fn keys(&self) -> &'static [Key] {
        self.0.keys()
    }

    fn each(&self) -> Option<&dyn Shape> {
        self.0.each()
    }

    fn takes_scalar(&self) -> bool {
        self.0.takes_scalar()
    }

    fn is_secret(&self) -> bool {
        self.0.is_secret()
    }
}

impl<R: Rule> Rule for Optional<R> {
    type Value = Option<R::Value>;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Self::Value> {
        self.0.read(reader, field).map(Some)
    }

    fn absent(&self, _: &mut Reader<'_>, _: &Fields<'_>, _: &str) -> Option<Self::Value> {
        Some(None)
    }
}

/// What another rule takes, as a type of its own.
pub struct As<R: Rule, T> {
    /// The other rule.
    pub rule: R,
    /// Makes the type of its value.
    pub make: fn(R::Value) -> T,
}

impl<R: Rule, T> Shape for As<R, T> {
    fn expected(&self) -> String {
        self.rule.expected()
    }

    fn json(&self) -> Json {
        self.rule.json()
    }

    fn keys(&self) -> &'static [Key] {
        self.rule.keys()
    }

    fn each(&self) -> Option<&dyn Shape> {
        self.rule.each()
    }

    fn takes_scalar(&self) -> bool {
        self.rule.takes_scalar()
    }

    fn is_secret(&self) -> bool {
        self.rule.is_secret()
    }
}

impl<R: Rule, T> Rule for As<R, T> {
    type Value = T;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<T> {
        self.rule.read(reader, field).map(self.make)
    }

    fn absent(&self, reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str) -> Option<T> {
        self.rule.absent(reader, fields, name).map(self.make)
    }

    fn over(&self, default: &Node, given: &Node) -> Node {
        self.rule.over(default, given)
    }
}

/// A map with the keys of a block.
pub struct Map<B> {
    check: fn(&B, &mut Reader<'_>, &Fields<'_>) -> bool,
    block: PhantomData<fn() -> B>,
}

impl<B> Map<B> {
    /// The keys alone are checked.
    #[must_use]
    pub const fn new() -> Self {
        Self::checked(|_, _, _| true)
    }

    /// What must hold between the keys is checked as well. The check reports a problem where it gives false.
    #[must_use]
    pub const fn checked(check: fn(&B, &mut Reader<'_>, &Fields<'_>) -> bool) -> Self {
        Self { check, block: PhantomData }
    }
}

impl<B> Default for Map<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Block> Shape for Map<B> {
    fn expected(&self) -> String {
        let names: Vec<_> = B::KEYS.iter().map(|key| key.name).collect();
        format!("a map of {}", quoted(&names))
    }

    fn json(&self) -> Json {
        super::json::block(B::KEYS)
    }

    fn keys(&self) -> &'static [Key] {
        B::KEYS
    }
}

impl<B: Block> Rule for Map<B> {
    type Value = B;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<B> {
        let fields = reader.fields(field, B::KEYS)?;
        let block = B::read(reader, &fields)?;
        (self.check)(&block, reader, &fields).then_some(block)
    }
}

/// A map with free names, over a default with entries of its own: they are joined key by key, and an entry that is
/// null is taken out.
pub struct Named<R> {
    /// What an entry is, for messages: "site".
    pub what: &'static str,
    /// Whether an entry may have this name.
    pub is_name: fn(&str) -> bool,
    /// What to write instead of an unusable name.
    pub hint: &'static str,
    /// What an entry takes.
    pub each: R,
}

impl<R: Rule> Shape for Named<R> {
    fn expected(&self) -> String {
        format!("a map of {}s by name", self.what)
    }

    fn json(&self) -> Json {
        let each = super::json::value(&self.each);
        json!({ "type": "object", "additionalProperties": each })
    }

    fn each(&self) -> Option<&dyn Shape> {
        Some(&self.each)
    }

    fn takes_scalar(&self) -> bool {
        false
    }
}

impl<R: Rule> Rule for Named<R> {
    type Value = BTreeMap<String, R::Value>;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Self::Value> {
        let Some(entries) = field.node.entries() else {
            return reader.wrong(field, self.expected());
        };
        let mut values = Vec::new();
        for Entry { key, place, node } in entries.iter().filter(|entry| !entry.node.is_null()) {
            values.push(if (self.is_name)(key) {
                let path = format!("{}.{key}", field.path);
                self.each.read(reader, &Field { node, path }).map(|value| (key.clone(), value))
            } else {
                let message =
                    format!("`{}` is not usable as the name of a {}", shown(key), self.what);
                reader.refuse_at(place, message, self.hint)
            });
        }
        values.into_iter().collect()
    }

    fn over(&self, default: &Node, given: &Node) -> Node {
        let (Some(below), Some(over)) = (default.entries(), given.entries()) else {
            return given.clone();
        };
        let mut entries = below.to_vec();
        for entry in over {
            let joined = get(below, &entry.key).and_then(Node::entries).zip(entry.node.entries());
            let node = match joined {
                Some((below, over)) => {
                    Node::new(Value::Map(lay(below, over)), entry.node.place.clone())
                }
                None => entry.node.clone(),
            };
            put(&mut entries, Entry { node, ..entry.clone() });
        }
        Node::new(Value::Map(entries), given.place.clone())
    }
}

/// A path on the operator's machine, relative to the inventory's folder.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// What has to be there when it is used: "a file".
    pub what: &'static str,
    /// Whether it is there.
    pub is: fn(&Path) -> bool,
}

impl Local {
    /// A file.
    pub const FILE: Self = Self { what: "a file", is: Path::is_file };
    /// A folder.
    pub const FOLDER: Self = Self { what: "a folder", is: Path::is_dir };
}

impl Shape for Local {
    fn expected(&self) -> String {
        format!("the path of {}", self.what)
    }

    fn json(&self) -> Json {
        json!({ "type": "string" })
    }
}

impl Rule for Local {
    type Value = PathBuf;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<PathBuf> {
        let path = reader.text(field, &self.expected(), check::local_path)?;
        reader.refers_to(Reference::Local {
            path: path.clone(),
            field: field.path.clone(),
            place: field.node.place.clone(),
            rule: *self,
        });
        Some(path)
    }
}

/// What a list of users is where the inventory has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAbsent {
    /// Nobody logs in. A list that is there and null has to be given.
    Nobody,
    /// It has to be given before anything needs it.
    MustBeGiven,
}

/// A map of names to passwords.
#[derive(Clone, Copy, Debug)]
pub struct UserList {
    /// What it is where the inventory has none.
    pub when_absent: WhenAbsent,
    /// Whether a user may have this name.
    pub is_name: fn(&str) -> bool,
    /// What to write instead of an unusable name.
    pub hint: &'static str,
}

impl Shape for UserList {
    fn expected(&self) -> String {
        "a map of names to passwords".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": "object", "additionalProperties": { "$ref": "#/definitions/password" } })
    }

    fn is_secret(&self) -> bool {
        true
    }
}

impl Rule for UserList {
    type Value = Users;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Users> {
        let Some(entries) = field.node.entries() else {
            return reader.wrong(field, self.expected());
        };
        let read = |entry: &Entry| reader.password(self, entry, &field.path);
        let users: Vec<_> = entries.iter().map(read).collect();
        users.into_iter().collect::<Option<_>>().map(|users| Users::given(&field.path, users))
    }

    fn absent(&self, reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str) -> Option<Users> {
        let path = fields.path_of(name);
        if self.when_absent == WhenAbsent::Nobody && !fields.has(name) {
            return Some(Users::given(&path, BTreeMap::new()));
        }
        reader.refers_to(Reference::Missing(path.clone()));
        Some(Users::missing(&path))
    }
}
