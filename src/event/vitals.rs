//! How much a host does: counters at one moment. Rates are made of two of them.

use serde::{Deserialize, Serialize};

/// What counts how much a host does, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// The moment, in milliseconds of the host's own clock since it started.
    pub at_ms: u64,
    /// What was counted.
    pub signs: Vec<Sign>,
}

/// One thing that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// Its name, such as `requests`.
    pub name: String,
    /// What was read.
    pub measure: Measure,
}

impl Sign {
    /// A sign of this name.
    pub fn new(name: impl Into<String>, measure: Measure) -> Self {
        Self { name: name.into(), measure }
    }
}

/// What was read of a sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// How often something has happened since it started.
    Count(u64),
    /// How much of the time something was busy: both grow.
    Busy {
        /// The time it was busy, in any unit.
        busy: u64,
        /// All of the time, in the same unit.
        all: u64,
    },
    /// How full something is, in bytes.
    Fill {
        /// What is used.
        used: u64,
        /// What there is.
        all: u64,
    },
    /// How long things took: how many took at most so long, in microseconds, by growing bounds. The last bound
    /// is `u64::MAX`.
    Durations(Vec<(u64, u64)>),
}
