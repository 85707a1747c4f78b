//! The variable of the operator's jobs.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::inventory::schema::{
    As, Declared, Field, List, Map, Named, Number, Reader, Rule, Shape, Text, Variable,
};
use crate::inventory::{check, patterns};
use crate::part::scalars::is_account;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Timers>()];

/// A day, after which systemd ends a job.
const LONGEST_S: u32 = 7 * 86_400;

/// Jobs by their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Timers(pub BTreeMap<String, Timer>);

vars! {
    /// A job that runs at certain times.
    pub struct Timer {
        /// command: a list of words, or a line for `/bin/sh`
        run: Command = "null", CommandRule;
        /// when: `hourly`, `daily`, `weekly` or what `systemd.time(7)` has for `OnCalendar`
        on: String = "null", CALENDAR;
        /// user that runs it
        user: String = "root", USER;
        /// seconds after which the job is ended and counts as failed
        timeout_s: u32 = "3600", Number { min: 1, max: LONGEST_S };
    }
}

/// A command of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A line for the shell.
    Line(String),
    /// A program and its arguments.
    Words(Vec<String>),
}

const CALENDAR: Text<String> = Text {
    expected: "a time such as `daily` or `Mon..Fri 03:30`",
    pattern: patterns::ANY,
    check: |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || " *-:,./~_+".contains(c);
        (!text.is_empty() && text.chars().all(fits)).then(|| text.to_owned())
    },
};

const USER: Text<String> = Text {
    expected: "the name of a user",
    pattern: patterns::ANY,
    check: |text| is_account(text).then(|| text.to_owned()),
};

const WORD: Text<String> =
    Text { expected: "a word of a command", pattern: patterns::ARGUMENT, check: command_text };

fn command_text(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
}

/// A line for the shell, or a list of words.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandRule;

const WORDS: List<Text<String>> = List(WORD);

impl Shape for CommandRule {
    fn expected(&self) -> String {
        "a list of words, or a line for the shell".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "anyOf": [{ "type": "string", "minLength": 1 }, WORDS.json()] })
    }
}

impl Rule for CommandRule {
    type Value = Command;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Command> {
        if field.as_text().is_some() {
            return reader.text(field, &self.expected(), command_text).map(Command::Line);
        }
        let words = WORDS.read(reader, field)?;
        if words.is_empty() {
            return reader.refuse(field, format!("`{}` is an empty command", field.path()), "");
        }
        Some(Command::Words(words))
    }
}

impl Variable for Timers {
    const NAME: &'static str = "timers";
    const DOC: &'static str = "jobs that run at certain times, by name";
    const IS_COMMON: bool = true;
    type Rule = As<Named<Map<Timer>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "timer",
            is_name: check::site_name,
            pattern: patterns::SITE_NAME,
            hint: "use small letters, digits, `_` and `-`",
            each: Map::new(),
        },
        make: Self,
    };
}
