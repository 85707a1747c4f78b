//! Rules for single settings of a container.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::inventory::schema::{Field, Reader, Rule, Shape, Text};
use crate::inventory::{check, patterns};
use crate::resource::Owner;

/// The least memory that Docker gives a container, and more than a host has.
const MEMORY_MIB: std::ops::RangeInclusive<u64> = 6..=1 << 22;
/// Names that mean something else to Docker.
const RESERVED_NETWORKS: [&str; 4] = ["bridge", "default", "host", "none"];

pub(in crate::part) const IMAGE: Text<String> = Text {
    expected: "an image such as `postgres:17`",
    pattern: patterns::IMAGE,
    check: check::image,
};
pub(super) const NAME: Text<String> = Text {
    expected: "the name of a container",
    pattern: patterns::ANY,
    check: |text| is_name(text).then(|| text.to_owned()),
};
pub(super) const DOCKER_NAME: Text<String> = Text {
    expected: "a name that Docker takes (letters, digits and `_.-`)",
    pattern: patterns::DOCKER_NAME,
    check: check::docker_name,
};
pub(in crate::part) const NETWORK_NAME: Text<String> = Text {
    expected: "the name of a network, other than Docker's own `bridge`, `host` and `none`",
    pattern: patterns::ANY,
    check: |text| {
        check::docker_name(text).filter(|name| !RESERVED_NETWORKS.contains(&name.as_str()))
    },
};
/// The list is capabilities(7)'s, as Docker spells it.
pub(in crate::part) const CAPABILITY: Text<String> = Text {
    expected: "a capability such as `CHOWN` or `NET_BIND_SERVICE`",
    pattern: patterns::ANY,
    check: |text| {
        let fits = |c: char| c.is_ascii_uppercase() || c == '_';
        let is_one = text.len() > 2 && text.chars().all(fits) && text != "ALL";
        (is_one && !text.starts_with("CAP_")).then(|| text.to_owned())
    },
};
pub(in crate::part) const INSIDE: Text<PathBuf> = Text {
    expected: "an absolute path, without `..`",
    pattern: patterns::HOST_PATH,
    check: check::host_path,
};
pub(in crate::part) const USER: UserNumber = UserNumber;

/// The name of a container: it becomes part of file names, and the name of a part.
pub(super) fn is_name(text: &str) -> bool {
    check::site_name(text) && text.len() >= 2 && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// A user of a registry, as HTTP's basic authentication takes it.
pub(super) fn registry_user(text: &str) -> Option<String> {
    check::user_name(text).then(|| text.to_owned())
}

/// A user of a container with its group, by their numbers: names are the image's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumericUser {
    user: u32,
    group: Option<u32>,
}

impl NumericUser {
    fn parse(text: &str) -> Option<Self> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group.parse().ok()?)),
            None => (text, None),
        };
        Some(Self { user: user.parse().ok()?, group })
    }

    /// As Docker takes it.
    pub(super) fn text(self) -> String {
        match self.group {
            Some(group) => format!("{}:{group}", self.user),
            None => self.user.to_string(),
        }
    }

    /// The owner of files that it reads. Docker gives a user without a group the group 0.
    pub(super) fn owner(self) -> Owner {
        Owner::new(self.user.to_string(), self.group.unwrap_or_default().to_string())
    }
}

/// `999` or `999:1000`.
#[derive(Clone, Copy, Debug)]
pub(in crate::part) struct UserNumber;

impl Shape for UserNumber {
    fn expected(&self) -> String {
        "the number of a user, such as 999, or text with a group, such as `999:1000`".to_owned()
    }

    fn json(&self) -> Json {
        let number = json!({ "type": "integer", "minimum": 0 });
        json!({ "anyOf": [number, { "type": "string", "pattern": "^[0-9]+(:[0-9]+)?$" }] })
    }
}

impl Rule for UserNumber {
    type Value = NumericUser;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<NumericUser> {
        let expected = self.expected();
        let Some(text) = field.as_plain() else { return reader.wrong(field, expected) };
        let user = NumericUser::parse(&text);
        user.or_else(|| reader.unfit(field, expected, text))
    }
}

/// A word of a command line: text, or a number.
#[derive(Clone, Copy, Debug)]
pub(in crate::part) struct Word;

impl Shape for Word {
    fn expected(&self) -> String {
        "a word of a command line".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": ["string", "number"] })
    }
}

impl Rule for Word {
    type Value = String;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
        if field.is_number() {
            return field.as_plain();
        }
        reader.text(field, "a word without a NUL character", |text| {
            (!text.contains('\0')).then(|| text.to_owned())
        })
    }
}

/// An amount of memory such as `256M`, in MiB.
#[derive(Clone, Copy, Debug)]
pub(in crate::part) struct Memory;

impl Shape for Memory {
    fn expected(&self) -> String {
        "an amount of memory such as `256M` or `2G`, at least `6M`".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+[MG]$" })
    }
}

impl Rule for Memory {
    type Value = u32;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<u32> {
        reader.text(field, &self.expected(), mebibytes)
    }
}

fn mebibytes(text: &str) -> Option<u32> {
    let (number, factor) = match (text.strip_suffix('M'), text.strip_suffix('G')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1024),
        (None, None) => return None,
    };
    let mib = number.parse::<u64>().ok()?.checked_mul(factor)?;
    MEMORY_MIB.contains(&mib).then_some(mib)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_in_mebibytes() {
        assert_eq!(mebibytes("256M"), Some(256));
        assert_eq!(mebibytes("2G"), Some(2048));
        for text in ["", "M", "256", "5M", "-1M", "256m", "256MB", "1.5G", "99999999999999999999G"]
        {
            assert_eq!(mebibytes(text), None, "{text}");
        }
    }

    #[test]
    fn users_are_numbers() {
        let read = |text: &str| NumericUser::parse(text).map(NumericUser::text);
        assert_eq!(read("999").as_deref(), Some("999"));
        assert_eq!(read("999:1000").as_deref(), Some("999:1000"));
        for text in ["", "postgres", "999:", ":999", "-1", "1:2:3", "4294967296"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_those_that_docker_and_files_take() {
        for name in ["db", "my-db_2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["d", "-db", "2db", "DB", "a.b", "a/b", ""] {
            assert!(!is_name(name), "{name}");
        }
        assert!((NETWORK_NAME.check)("host").is_none() && (NETWORK_NAME.check)("shop").is_some());
        for name in ["ALL", "CAP_CHOWN", "chown", "A"] {
            assert!((CAPABILITY.check)(name).is_none(), "{name}");
        }
    }
}
