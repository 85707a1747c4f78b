//! The variables of the API.

use std::path::PathBuf;

use hwctl_limits::{TOKEN_TTL_S, WORKERS, is_user};
use serde_json::{Value as Json, json};

use crate::inventory::schema::{
    As, Declared, Field, Local, Map, Number, OnePassword, Optional, Password, Reader, Rule, Shape,
    UserList, Users, Variable, WhenAbsent,
};
use crate::part::own_folder::OwnFolder;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<AppDir>(), Declared::of::<Api>()];

/// Home of the API on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppDir(pub PathBuf);

impl Variable for AppDir {
    const NAME: &'static str = "app_dir";
    const DOC: &'static str = "home of the API on the host, with a link to its settings";
    const DEFAULT: &'static str = "/home/ubuntu/Flask-app";
    const IS_COMMON: bool = true;
    type Rule = As<OwnFolder, Self>;
    const RULE: &'static Self::Rule = &As { rule: OwnFolder, make: Self };
}

vars! {
    /// The API behind `/flask/`.
    pub struct Api {
        /// who may log in to the API, name to password. **Must be set**
        users: Users = "null", USERS;
        /// worker threads; `auto` is one for each CPU
        workers: Workers = "auto", WorkerCount;
        /// life of a token in seconds, at most 30 days
        token_ttl: u32 = "3600", TTL;
        /// secret that signs tokens, of 32 or more letters and digits. Hosts with the same one take each other's tokens; without
        /// any, each host makes one for itself
        token_key: Option<Password> = "null", Optional(OnePassword);
        /// another key whose tokens are taken as well, see [several hosts](fleet.md#tokens)
        token_key_also: Option<Password> = "null", Optional(OnePassword);
        /// local build of the API in the place of hwctl's own; see `hwctl deploy`
        binary: Option<PathBuf> = "null", Optional(Local::FILE);
    }
}

const TTL: Number<u32> = Number { min: *TOKEN_TTL_S.start(), max: *TOKEN_TTL_S.end() };

const USERS: UserList = UserList {
    when_absent: WhenAbsent::MustBeGiven,
    is_name: is_user,
    pattern: r"[A-Za-z0-9_.@-]{1,64}",
    hint: "use up to 64 letters, digits and `_`, `-`, `.`, `@`",
};

impl Variable for Api {
    const NAME: &'static str = "api";
    const DOC: &'static str = "the API behind `/flask/`; `null` leaves it out";
    const NULL_TAKES_AWAY: bool = true;
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}

/// How many worker threads the API has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Exactly this many.
    Count(u16),
    /// One for each CPU of the host.
    Auto,
}

impl Workers {
    /// The number on a host with so many CPUs.
    #[must_use]
    pub fn on(self, cpus: u16) -> u16 {
        match self {
            Self::Count(count) => count,
            Self::Auto => cpus.clamp(*WORKERS.start(), *WORKERS.end()),
        }
    }
}

/// `auto` or a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkerCount;

const COUNT: Number<u16> = Number { min: *WORKERS.start(), max: *WORKERS.end() };

impl Shape for WorkerCount {
    fn expected(&self) -> String {
        format!("`auto` or {}", COUNT.expected())
    }

    fn json(&self) -> Json {
        json!({ "anyOf": [{ "enum": ["auto"] }, COUNT.json()] })
    }
}

impl Rule for WorkerCount {
    type Value = Workers;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Workers> {
        if field.as_text().is_some() {
            let auto = |text: &str| (text == "auto").then_some(Workers::Auto);
            return reader.text(field, &self.expected(), auto);
        }
        COUNT.read(reader, field).map(Workers::Count)
    }
}
