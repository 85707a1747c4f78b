//! Rules for single values: numbers, texts, words, paths.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::password::Reference;
use super::{Field, Reader, Rule, Shape};
use crate::inventory::names::quoted;
use crate::inventory::yaml::node::Value;
use crate::inventory::{check, patterns};

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
            Value::Integer(_) => return reader.unfit(field, expected, field.node.shown()),
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
    /// A regular expression that the whole text fits, for the JSON Schema.
    pub pattern: &'static str,
    /// The value that the text stands for. None where it does not fit.
    pub check: fn(&str) -> Option<T>,
}

impl<T> Shape for Text<T> {
    fn expected(&self) -> String {
        self.expected.to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": "string", "pattern": patterns::whole(self.pattern) })
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
        json!({ "type": "string", "pattern": patterns::whole(patterns::LOCAL_PATH) })
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
