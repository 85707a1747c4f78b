//! Values that variables of several parts take: permissions, owners, names of units and of users.

use serde_json::{Value as Json, json};

use crate::inventory::patterns;
use crate::inventory::schema::{Field, Reader, Rule, Shape, Text};
use crate::resource::Owner;

/// The suffixes of the units that hwctl starts, reloads and restarts.
const UNIT_TYPES: [&str; 6] = ["service", "socket", "timer", "path", "mount", "target"];

/// Permissions of a file or folder.
pub(super) const MODE: Mode = Mode;

/// An owner, such as `www-data` or `root:adm`.
pub(super) const OWNER: Text<Owner> = Text {
    expected: "an owner such as `www-data` or `root:adm`",
    pattern: patterns::ANY,
    check: owner,
};

/// The name of a unit of systemd. A name without suffix is a service.
pub(super) const UNIT: Text<String> = Text {
    expected: "a unit of systemd such as `chrony` or `backup.timer`",
    pattern: patterns::ANY,
    check: unit_name,
};

/// A line of text for people, such as a title.
pub(super) const SENTENCE: Text<String> = Text {
    expected: "a line of up to 200 characters",
    pattern: r"[^\u0000-\u001f\u007f-\u009f]{1,200}",
    check: |text| {
        let fits = (1..=200).contains(&text.chars().count());
        (fits && !text.trim().is_empty() && !text.chars().any(char::is_control))
            .then(|| text.to_owned())
    },
};

/// Permissions in octal digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode;

impl Shape for Mode {
    fn expected(&self) -> String {
        "permissions as octal digits in quotes, such as `\"0644\"`".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": "string", "pattern": "^0?[0-7]{3,4}$" })
    }
}

impl Rule for Mode {
    type Value = u32;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<u32> {
        if field.is_number() {
            // YAML reads 0644 as 420, and 644 as 644: nobody can tell which one was meant.
            let message = format!("`{}` takes {}", field.path(), self.expected());
            return reader.refuse(field, message, "put it in quotes");
        }
        reader.text(field, &self.expected(), octal)
    }
}

fn octal(text: &str) -> Option<u32> {
    let fits = (3..=5).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.filter(|_| fits)
}

fn owner(text: &str) -> Option<Owner> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    (is_account(user) && is_account(group)).then(|| Owner::new(user, group))
}

/// Whether a user or group can have this name, by the rule of Debian's `adduser`, or this number.
pub(super) fn is_account(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    starts && name.len() <= 32 && name.chars().all(fits)
}

/// The name of a unit with its suffix.
pub(super) fn unit_name(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.@:\\".contains(c);
    let is_name = |name: &str| {
        !name.is_empty()
            && name.len() < 200
            && !name.starts_with(['-', '.'])
            && name.chars().all(fits)
    };
    let typed = text.rsplit_once('.').filter(|(_, suffix)| UNIT_TYPES.contains(suffix));
    match typed {
        Some((stem, _)) => is_name(stem).then(|| text.to_owned()),
        None => is_name(text).then(|| format!("{text}.service")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_octal_digits() {
        assert_eq!(octal("0644"), Some(0o644));
        assert_eq!(octal("755"), Some(0o755));
        assert_eq!(octal("02750"), Some(0o2750));
        for wrong in ["", "64", "0o644", "0688", "u=rw", "-644", "177777", " 644"] {
            assert_eq!(octal(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn owners_are_names_that_the_host_can_have() {
        assert_eq!(owner("www-data"), Some(Owner::new("www-data", "www-data")));
        assert_eq!(owner("root:adm"), Some(Owner::new("root", "adm")));
        for wrong in ["", ":", "root:", "-x", "a b", "root:adm:x", "a\n", "$(id)"] {
            assert_eq!(owner(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_unit_without_suffix_is_a_service() {
        assert_eq!(unit_name("chrony").as_deref(), Some("chrony.service"));
        assert_eq!(unit_name("backup.timer").as_deref(), Some("backup.timer"));
        assert_eq!(unit_name("getty@tty1").as_deref(), Some("getty@tty1.service"));
        assert_eq!(unit_name("python3.11").as_deref(), Some("python3.11.service"));
        for wrong in ["", "-x", "a b", "../x", "a/b", ".timer", "a\nb"] {
            assert_eq!(unit_name(wrong), None, "{wrong:?}");
        }
    }
}
