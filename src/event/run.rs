//! Runs as the journal of a host has them.

use serde::{Deserialize, Serialize};

use super::{Action, Id};

/// One run as the host's journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// What `hwctl rollback` knows it by.
    pub id: String,
    /// `user@machine` of the operator.
    pub operator: String,
    /// The address that the operator's session came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The verb.
    pub verb: String,
    /// hwctl's version.
    pub version: String,
    /// When it began, as RFC 3339 has it.
    pub began: String,
    /// When it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Why, where it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it changed, in order.
    #[serde(default)]
    pub changes: Vec<Changed>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// It is under way.
    Running,
    /// All is done.
    Kept,
    /// It failed and was taken back.
    Undone,
    /// It failed and the host was left as the failure left it.
    Failed,
    /// It ended in the middle: the session, the engine or the host went away.
    Interrupted,
}

/// One change of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Changed {
    /// The resource.
    pub id: Id,
    /// What was done to it.
    pub action: Action,
}
