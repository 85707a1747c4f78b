//! What is wrong with a host, and what can be done about it.

use serde::{Deserialize, Serialize};

/// Something that is wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// A word for programs, such as `api-stopped`.
    pub cause: String,
    /// What is wrong, in one line.
    pub what: String,
    /// How that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The next step.
    pub next: String,
    /// What `hwctl doctor --fix` does about it, where that is safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

/// What is safe to do about a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Fix {
    /// A provision of these parts of the stack.
    Provision {
        /// The parts.
        tags: Vec<String>,
    },
    /// A restart of a socket, which makes its file anew.
    RestartSocket {
        /// The name that the parts of the host know the restart by.
        name: String,
    },
}

impl Finding {
    /// The cause of a host that serves, and is not as it was declared.
    pub const DRIFT: &str = "drift";

    /// A finding with its headline.
    pub fn new(cause: &str, what: impl Into<String>) -> Self {
        let (evidence, next) = (Vec::new(), String::new());
        Self { cause: cause.to_owned(), what: what.into(), evidence, next, fix: None }
    }

    /// Says how it is known.
    #[must_use]
    pub fn evidence(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Says what can be done about it safely.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}
