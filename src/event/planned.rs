//! Changes of a plan.

use serde::{Deserialize, Serialize};

use super::Change;

/// A change with the part of the stack that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Planned {
    /// The tag that `--only` and `--skip` know it by.
    pub tag: String,
    /// The change.
    #[serde(flatten)]
    pub change: Change,
}

/// A change that differs between two plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Differing {
    /// As it was reviewed.
    pub reviewed: Planned,
    /// As it is now. Equal to the reviewed one where the difference is in what no plan shows, such as a password.
    pub now: Planned,
}
