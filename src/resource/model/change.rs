//! One resource's before and after, with nothing in it that is secret.

use serde::{Deserialize, Serialize};

use crate::resource::model::id::Id;

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is absent and is made.
    Create,
    /// It is there, but not as it should be.
    Update,
    /// It is there and should not be.
    Remove,
    /// A unit is started.
    Start,
    /// A unit reads its configuration anew and keeps serving.
    Reload,
    /// A unit is stopped and started.
    Restart,
    /// A unit is stopped.
    Stop,
}

/// One part of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Detail {
    /// A named property, before and after; `None` is absent.
    Attribute {
        /// Its name.
        name: String,
        /// What the host has.
        before: Option<String>,
        /// What it will have.
        after: Option<String>,
    },
    /// A text file's content; secrets in it are replaced by their names.
    Text {
        /// What the host has; empty when absent.
        before: String,
        /// What it will have; empty when removed.
        after: String,
    },
    /// Content that is not shown: its size in bytes before and after; `None` is absent.
    Binary {
        /// What the host has.
        before: Option<u64>,
        /// What it will have.
        after: Option<u64>,
    },
}

/// What it takes to bring a resource back to an earlier state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// Nothing: it is in that state.
    Nothing,
    /// Nothing is done, for this reason.
    Kept(String),
    /// This change.
    Change(Change),
}

impl From<Option<Change>> for Back {
    fn from(change: Option<Change>) -> Self {
        change.map_or(Self::Nothing, Self::Change)
    }
}

/// One resource's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// The resource.
    pub id: Id,
    /// What is done to it.
    pub action: Action,
    /// Before and after.
    pub details: Vec<Detail>,
    /// What caused it, where that is another resource's change or state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What of it an undo does not bring back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_undone: Option<String>,
}

impl Change {
    /// A change without details.
    #[must_use]
    pub fn new(id: Id, action: Action) -> Self {
        Self { id, action, details: Vec::new(), because: None, not_undone: None }
    }

    /// Adds a property's before and after, if they differ.
    #[must_use]
    pub fn attribute(mut self, name: &str, before: Option<String>, after: Option<String>) -> Self {
        if before != after {
            self.details.push(Detail::Attribute { name: name.to_owned(), before, after });
        }
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, detail: Detail) -> Self {
        self.details.push(detail);
        self
    }

    /// Says what caused it.
    #[must_use]
    pub fn because(mut self, because: impl Into<String>) -> Self {
        self.because = Some(because.into());
        self
    }

    /// The change, if it has any details.
    #[must_use]
    pub fn unless_empty(self) -> Option<Self> {
        (!self.details.is_empty()).then_some(self)
    }
}
