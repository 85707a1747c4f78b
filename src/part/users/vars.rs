//! The variable of the people who log in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::inventory::schema::{As, Choice, Declared, List, Local, Map, Named, Text, Variable};
use crate::inventory::{check, patterns};
use crate::part::scalars::is_account;
use crate::resource::SshKey;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<People>()];

/// Accounts that Debian has for programs, and root: they are nobody's to log in to.
const PROGRAMS: [&str; 22] = [
    "_apt",
    "backup",
    "bin",
    "daemon",
    "flask-app",
    "games",
    "gnats",
    "irc",
    "list",
    "lp",
    "mail",
    "man",
    "messagebus",
    "news",
    "nobody",
    "proxy",
    "root",
    "sshd",
    "sync",
    "sys",
    "uucp",
    "www-data",
];

/// People by the names of their accounts.
#[derive(Clone, Debug, PartialEq)]
pub struct People(pub BTreeMap<String, Person>);

vars! {
    /// Somebody who logs in to the host.
    pub struct Person {
        /// public SSH keys, each as in a `.pub` file
        keys: Vec<SshKey> = "[]", List(KEY);
        /// local files with public SSH keys, one a line
        key_files: Vec<PathBuf> = "[]", List(Local::FILE);
        /// groups to be in, besides those that others chose; they have to be there
        groups: Vec<String> = "[]", List(GROUP);
        /// whether the user may use `sudo`, and whether it asks for the password of the user
        sudo: Sudo = "none", Choice(&Sudo::WORDS);
        /// login shell
        shell: PathBuf = "/bin/bash", Text { expected: "an absolute path", pattern: patterns::HOST_PATH, check: check::host_path };
    }
}

/// What somebody may do as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sudo {
    /// Nothing.
    None,
    /// Everything, by their password.
    Password,
    /// Everything.
    NoPassword,
}

impl Sudo {
    const WORDS: [(&'static str, Self); 3] =
        [("none", Self::None), ("password", Self::Password), ("no-password", Self::NoPassword)];
}

const KEY: Text<SshKey> = Text {
    expected: "a public SSH key as in a `.pub` file, without options before it",
    pattern: patterns::ANY,
    check: |text| SshKey::parse(text).ok(),
};

const GROUP: Text<String> = Text {
    expected: "the name of a group",
    pattern: patterns::ANY,
    check: |text| is_account(text).then(|| text.to_owned()),
};

fn is_person(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let is_program = PROGRAMS.contains(&name) || name.starts_with("systemd-");
    starts && is_account(name) && !name.contains(|c: char| c.is_ascii_uppercase()) && !is_program
}

impl Variable for People {
    const NAME: &'static str = "users";
    const DOC: &'static str = "people who log in to the host, by account";
    const IS_COMMON: bool = true;
    type Rule = As<Named<Map<Person>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "user",
            is_name: is_person,
            pattern: patterns::ANY,
            hint: "use small letters, digits, `_` and `-`, and no account of a program such as `root`",
            each: Map::new(),
        },
        make: Self,
    };
}
