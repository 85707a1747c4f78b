//! What it means for visitors that Redis did not answer.

use std::fmt;

use redis::RedisError;

use super::ANSWER;

/// Replies of a Redis that will take the command a moment later. All its other errors stay.
const PASSING: [&str; 5] = ["LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "READONLY"];

/// Why Redis did not answer a command.
pub(super) enum Failure {
    TimedOut,
    Redis(RedisError),
}

/// Whether it is worth while to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// Redis is away, starts, or hangs.
    Passing,
    /// Redis is there and does not take the command.
    Lasting,
}

impl Failure {
    pub(super) fn outage(&self) -> Outage {
        match self {
            Self::Redis(error) if error.code().is_some_and(|code| !PASSING.contains(&code)) => {
                Outage::Lasting
            }
            _ => Outage::Passing,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => write!(f, "no answer within {} ms", ANSWER.as_millis()),
            Self::Redis(error) => error.fmt(f),
        }
    }
}
