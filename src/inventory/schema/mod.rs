//! How variables are declared and read. A declaration says everything about a variable: its name, what it is for, its
//! default, what it takes. Reading, error messages, the JSON Schema and the table in the documentation follow from it.
//! Which variables there are is not known here.

mod env;
mod json;
mod origin;
mod password;
mod reader;
mod scalars;
mod secrets;
mod structures;
mod table;
mod vars;

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value as Json;

use super::yaml::load::parse;
use super::yaml::node::{Node, Value};
use super::yaml::place::{Extent, Place, Source};

pub use env::{Env, EnvMap, EnvSecret, EnvValue};
pub use json::json_schema;
pub(in crate::inventory) use origin::Passwords;
pub use password::{Password, Users};
pub use reader::{Field, Fields, Reader};
pub use scalars::{Choice, Flag, Local, Number, Text};
pub use secrets::{OnePassword, OneUrl};
pub use structures::{As, List, Map, Named, Optional, UserList, WhenAbsent};
pub use table::table;
pub use vars::Vars;

/// A variable, or a key of one.
#[derive(Clone, Copy)]
pub struct Key {
    /// Its name in the inventory.
    pub name: &'static str,
    /// What it is for, as Markdown: one or two sentences.
    pub doc: &'static str,
    /// The value that counts where the inventory has none, in YAML. `null` where nothing is the default.
    pub default: &'static str,
    /// What it takes.
    pub shape: &'static dyn Shape,
}

/// What a variable or a key takes, as far as documentation and editors need it.
pub trait Shape: Sync {
    /// What it takes, as a message has it: "a whole number from 1 to 365".
    fn expected(&self) -> String;

    /// What it takes, as a JSON Schema.
    fn json(&self) -> Json;

    /// The keys of a map with known keys.
    fn keys(&self) -> &'static [Key] {
        &[]
    }

    /// What the values of a list, or of a map with free names, take.
    fn each(&self) -> Option<&dyn Shape> {
        None
    }

    /// Whether a single word or number is a value of it, so that a message may show that.
    fn takes_scalar(&self) -> bool {
        self.keys().is_empty()
    }

    /// Whether values are secrets, which no message shows.
    fn is_secret(&self) -> bool {
        false
    }
}

/// How values of a shape are read.
pub trait Rule: Shape {
    /// What a value is in Rust.
    type Value;

    /// Reads a value. Returns None after reporting at least one problem.
    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Self::Value>;

    /// The value of a key that is missing and has no default: by default a problem.
    fn absent(
        &self,
        reader: &mut Reader<'_>,
        fields: &Fields<'_>,
        name: &str,
    ) -> Option<Self::Value> {
        reader.lacks(fields, name)
    }

    /// A given value over the default: by default the given one alone.
    fn over(&self, _default: &Node, given: &Node) -> Node {
        given.clone()
    }
}

/// A map with known keys as a struct. `vars!` implements it.
pub trait Block: Sized {
    /// The keys, in the order of the documentation.
    const KEYS: &'static [Key];

    /// Reads all keys. Returns None after reporting at least one problem.
    fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Self>;
}

/// A variable of the inventory. A part kind lists those that it brings.
pub trait Variable: Any + Clone + Debug + PartialEq + Send + Sync {
    /// Its name in the inventory.
    const NAME: &'static str;
    /// What it is for, as Markdown.
    const DOC: &'static str;
    /// The value that counts where the inventory has none, in YAML.
    const DEFAULT: &'static str = "{}";
    /// Whether other tools' inventories are known to use this name for something of theirs.
    const IS_COMMON: bool = false;
    /// Whether `null` in the inventory takes away what the variable declares. Elsewhere it stands for the default.
    const NULL_TAKES_AWAY: bool = false;
    /// The type of [`Self::RULE`].
    type Rule: Rule<Value = Self> + 'static;
    /// What it takes.
    const RULE: &'static Self::Rule;

    /// Reports what does not go together with other variables.
    fn check(&self, _vars: &Vars, _reader: &mut Reader<'_>) {}
}

/// A variable whose type is erased, for tables of them.
#[derive(Clone, Copy)]
pub struct Declared {
    /// Its name, default and so on.
    pub key: Key,
    /// Whether other tools' inventories are known to use this name.
    pub is_common: bool,
    /// Reads the value that counts into the variables of a host.
    read: fn(&mut Reader<'_>, &Field<'_>, &mut Vars),
    over: fn(&Node, &Node) -> Node,
    check: fn(&mut Reader<'_>, &Vars),
    /// Notes that `null` has taken away what the variable declares. None where it cannot.
    take_away: Option<fn(&mut Vars)>,
}

impl Declared {
    /// The declaration of a type.
    #[must_use]
    pub const fn of<T: Variable>() -> Self {
        Self {
            key: Key { name: T::NAME, doc: T::DOC, default: T::DEFAULT, shape: T::RULE },
            is_common: T::IS_COMMON,
            read: |reader, field, vars| {
                if let Some(value) = T::RULE.read(reader, field) {
                    vars.set(value);
                }
            },
            take_away: if T::NULL_TAKES_AWAY { Some(Vars::take_away::<T>) } else { None },
            over: |default, given| T::RULE.over(default, given),
            check: |reader, vars| {
                if let Some(value) = vars.find::<T>() {
                    value.check(vars, reader);
                }
            },
        }
    }
}

impl Debug for Declared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Declared").field(&self.key.name).finish()
    }
}

/// Declares a struct that is a map in the inventory: for each key its documentation, type, default in YAML, and rule.
///
/// ```
/// hwctl::vars! {
///     /// A small service.
///     pub struct Greeter {
///         /// How often it greets.
///         times: u16 = "1", hwctl::inventory::schema::Number { min: 1, max: 9 };
///     }
/// }
/// ```
#[macro_export]
macro_rules! vars {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident {
            $( $(#[doc = $doc:literal])+ $key:ident : $type:ty = $default:expr, $rule:expr; )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl $crate::inventory::schema::Block for $name {
            const KEYS: &'static [$crate::inventory::schema::Key] = &[
                $( $crate::inventory::schema::Key {
                    name: stringify!($key),
                    doc: concat!($($doc),+),
                    default: $default,
                    shape: $crate::inventory::schema::shape_of::<$type, _>(&$rule),
                }, )+
            ];

            fn read(
                reader: &mut $crate::inventory::schema::Reader<'_>,
                fields: &$crate::inventory::schema::Fields<'_>,
            ) -> Option<Self> {
                $( let $key = reader.key(fields, stringify!($key), $default, &$rule); )+
                Some(Self { $( $key: $key?, )+ })
            }
        }
    };
}

/// The shape of a rule whose values have the type `T`.
#[must_use]
pub const fn shape_of<T, R: Rule<Value = T>>(rule: &'static R) -> &'static dyn Shape {
    rule
}

/// A default as a tree. Each text is parsed once.
fn default_of(text: &'static str) -> Node {
    static PARSED: LazyLock<Mutex<HashMap<&'static str, Node>>> = LazyLock::new(Mutex::default);
    let mut parsed = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    let parse_new = || {
        let source = Source::builtin("hwctl's defaults", text);
        let extent = Extent { line: 1, column: 1, end_line: 1, end_column: 2 };
        let nothing = || Node::new(Value::Null, source.at(extent));
        // A default that cannot be parsed is none, which reading reports. A test reads all of them.
        parse(&source).ok().flatten().unwrap_or_else(nothing)
    };
    parsed.entry(text).or_insert_with(parse_new).clone()
}

/// Where the words and numbers stand that a message may show: those that are surely values of this shape.
fn visible(node: &Node, shape: &dyn Shape) -> Vec<Place> {
    if shape.is_secret() {
        return Vec::new();
    }
    match &node.value {
        Value::List(nodes) => {
            let each = shape.each();
            nodes
                .iter()
                .flat_map(|node| each.map_or_else(Vec::new, |each| visible(node, each)))
                .collect()
        }
        Value::Map(entries) => entries
            .iter()
            .flat_map(|entry| {
                let known = shape.keys().iter().find(|key| key.name == entry.key);
                let shape = known.map(|key| key.shape).or(shape.each());
                shape.map_or_else(Vec::new, |shape| visible(&entry.node, shape))
            })
            .collect(),
        Value::Null => Vec::new(),
        _ if shape.takes_scalar() => vec![node.place.clone()],
        _ => Vec::new(),
    }
}

/// Where the value at a path such as `sites.main.root` is written, or else what it would be in. Also tells which of the
/// two it is.
fn place_of(root: &[(Key, Node)], path: &str) -> Option<(Place, bool)> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let mut node = &root.iter().find(|(key, _)| key.name == first)?.1;
    for key in rest.split('.').filter(|key| !key.is_empty()) {
        let Some(found) = node.entries().and_then(|entries| super::yaml::node::get(entries, key))
        else {
            return Some((node.place.clone(), false));
        };
        node = found;
    }
    Some((node.place.clone(), true))
}
