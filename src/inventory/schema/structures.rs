//! Rules that are made of other rules: lists, maps, what may be missing, users with their passwords.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use super::password::{Reference, Users};
use super::{Block, Field, Fields, Key, Reader, Rule, Shape};
use crate::inventory::names::quoted;
use crate::inventory::patterns;
use crate::inventory::yaml::node::{Entry, Node, Value, get, lay, put};

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
        // A variable whose default is nothing is read with that.
        if field.node.is_null() { Some(None) } else { self.0.read(reader, field).map(Some) }
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
        let node = with_key_on(field.node, B::KEYS);
        let field = Field { node: &node, path: field.path.clone() };
        let fields = reader.fields(&field, B::KEYS)?;
        let block = B::read(reader, &fields)?;
        (self.check)(&block, reader, &fields).then_some(block)
    }
}

/// The map with its key `on` under that name, where there is such a key: to YAML 1.1 it is `true`.
fn with_key_on<'a>(node: &'a Node, keys: &[Key]) -> Cow<'a, Node> {
    let is_true = |entry: &Entry| entry.key == "true";
    let entries = node.entries().filter(|_| keys.iter().any(|key| key.name == "on"));
    let Some(entries) = entries.filter(|entries| entries.iter().any(is_true)) else {
        return Cow::Borrowed(node);
    };
    let renamed = |entry: &Entry| match is_true(entry) {
        true => Entry { key: "on".to_owned(), ..entry.clone() },
        false => entry.clone(),
    };
    // `--set` says `on` as it is.
    let is_given = entries.iter().any(|entry| entry.key == "on");
    let counts = |entry: &&Entry| !(is_given && is_true(entry));
    let entries = entries.iter().filter(counts).map(renamed).collect();
    Cow::Owned(Node::new(Value::Map(entries), node.place.clone()))
}

/// A map with free names, over a default with entries of its own: they are joined key by key, and an entry that is
/// null is taken out.
pub struct Named<R> {
    /// What an entry is, for messages: "site".
    pub what: &'static str,
    /// Whether an entry may have this name.
    pub is_name: fn(&str) -> bool,
    /// A regular expression that a whole name fits, for the JSON Schema.
    pub pattern: &'static str,
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
        let names = json!({ "pattern": patterns::whole(self.pattern) });
        json!({ "type": "object", "propertyNames": names, "additionalProperties": each })
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
        for entry in entries.iter().filter(|entry| !entry.node.is_null()) {
            let (Entry { key, place, node }, shown) = (entry, entry.shown_key());
            values.push(if (self.is_name)(key) {
                let path = format!("{}.{shown}", field.path);
                self.each.read(reader, &Field { node, path }).map(|value| (key.clone(), value))
            } else {
                let article = if self.what.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
                let message =
                    format!("`{shown}` is not usable as the name of {article} {}", self.what);
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
    /// A regular expression that a whole name fits, for the JSON Schema.
    pub pattern: &'static str,
    /// What to write instead of an unusable name.
    pub hint: &'static str,
}

impl Shape for UserList {
    fn expected(&self) -> String {
        "a map of names to passwords".to_owned()
    }

    fn json(&self) -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": patterns::whole(self.pattern) },
            "additionalProperties": { "$ref": "#/definitions/password" },
        })
    }

    fn takes_scalar(&self) -> bool {
        false
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
