//! The names of resources.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names one resource of a host: its kind and its name, such as `file /etc/nginx/nginx.conf`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    /// An id of a kind and a name.
    pub fn new(kind: &str, name: impl fmt::Display) -> Self {
        Self(format!("{kind} {name}"))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
