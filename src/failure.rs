//! What is said when something fails: what, where, why, what did not happen, what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::resource::Hint;

/// The exit codes of hwctl, as documented in `docs/exit-codes.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line or the inventory is wrong; no host was contacted.
    Usage = 2,
    /// `plan` found changes.
    Changes = 3,
    /// The run failed and was undone.
    Undone = 4,
    /// A host could not be reached.
    Unreachable = 5,
    /// The operator stopped it: 128 and SIGINT, as shells have it.
    Interrupted = 130,
}

/// A failure as the person at the terminal, or a program reading `--json`, gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// The exit code that this failure leads to.
    pub exit: Exit,
    /// What failed, in one line, lowercase, present tense.
    pub what: String,
    /// Why: the cause chain, outermost first; may hold the last lines of a command's output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// What did not happen because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_done: Option<String>,
    /// One thing to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The page of `docs/` that says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
}

/// A page of `docs/` that failures name; `hwctl help` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// Hosts that are not empty.
    Adoption,
    /// What the operator's machine and a login on the host need.
    Install,
    /// Variables, passwords and patterns.
    Inventory,
    /// Disposable hosts.
    Lab,
    /// Reviewed plans.
    Review,
    /// The way back.
    Undo,
}

impl Page {
    /// The name of the page, without its ending.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Adoption => "adoption",
            Self::Install => "install",
            Self::Inventory => "inventory",
            Self::Lab => "lab",
            Self::Review => "review",
            Self::Undo => "undo",
        }
    }
}

impl Failure {
    /// A failure with only its headline.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: Vec::new(), not_done: None, hint: None, page: None }
    }

    /// A wrong command line or inventory.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Adds one line of cause.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    /// Says what did not happen.
    #[must_use]
    pub fn not_done(mut self, not_done: impl Into<String>) -> Self {
        self.not_done = Some(not_done.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the page that says more.
    #[must_use]
    pub fn page(self, page: Page) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Makes a failure of an error: its message is the headline, its causes the why, and a
    /// [`Hint`] anywhere in its chain the hint.
    #[must_use]
    pub fn from_error(exit: Exit, error: &anyhow::Error) -> Self {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return failure.clone();
        }
        let hint = error.downcast_ref::<Hint>().map(|hint| hint.0.clone());
        let mut lines = Vec::new();
        for cause in error.chain() {
            let line = cause.to_string();
            let is_hint = hint.as_ref().is_some_and(|hint| *hint == line);
            if !is_hint && lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        let what = if lines.is_empty() { String::new() } else { lines.remove(0) };
        Self { exit, what, why: lines, not_done: None, hint, page: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::from_error(Exit::Failed, &error)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::resource::Advise;

    #[test]
    fn a_hint_is_found_in_the_chain_and_is_not_a_cause() {
        let error = anyhow!("no space left").context("write `/etc/x`");
        let error = Err::<(), _>(error).hint("free some space").unwrap_err();
        let error = error.context("apply `file /etc/x`");
        let failure = Failure::from_error(Exit::Failed, &error);
        assert_eq!(failure.what, "apply `file /etc/x`");
        assert_eq!(failure.why, ["write `/etc/x`", "no space left"]);
        assert_eq!(failure.hint.as_deref(), Some("free some space"));
    }
}
