//! The variable of the settings of the kernel.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::inventory::patterns;
use crate::inventory::schema::{As, Declared, Field, Named, Reader, Rule, Shape, Variable};

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Settings>()];

/// Settings of the kernel by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings(pub BTreeMap<String, String>);

impl Variable for Settings {
    const NAME: &'static str = "sysctl";
    const DOC: &'static str = "settings of the kernel, such as `net.core.somaxconn: 1024`";
    const IS_COMMON: bool = true;
    type Rule = As<Named<SettingValue>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "setting",
            is_name,
            pattern: patterns::ANY,
            hint: "write a name as `sysctl -a` prints it, such as `net.core.somaxconn`",
            each: SettingValue,
        },
        make: Self,
    };
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let parts = text.split(['.', '/']);
    text.chars().all(fits)
        && parts.clone().count() > 1
        && parts.into_iter().all(|part| !part.is_empty())
}

/// The value of a setting: a number, or words that are parted by spaces.
#[derive(Clone, Copy, Debug)]
pub struct SettingValue;

impl Shape for SettingValue {
    fn expected(&self) -> String {
        "a number, or words such as `\"4096 87380 6291456\"`".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": ["integer", "string"] })
    }
}

impl Rule for SettingValue {
    type Value = String;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
        if field.is_number() {
            return field.as_plain();
        }
        reader.text(field, &self.expected(), words)
    }
}

/// The words of a value as the kernel prints them: with one space between.
fn words(text: &str) -> Option<String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let fits = !words.is_empty() && !text.contains(|c: char| c.is_control() && c != '\t');
    fits.then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_the_name_and_the_words_of_the_kernel() {
        for name in ["vm.swappiness", "net/ipv4/conf/eth0.1/forwarding", "net.ipv4.tcp_rmem"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "vm", "vm..x", "../vm.x", "vm.x y", "vm.x\n", ".vm"] {
            assert!(!is_name(name), "{name:?}");
        }
        assert_eq!(words(" 4096\t87380  1 ").as_deref(), Some("4096 87380 1"));
        assert_eq!(words("1\nkernel.x = 2"), None);
    }
}
