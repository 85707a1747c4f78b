//! One thing to do next, carried inside an error.

use std::fmt;

/// What a person can do about an error; found again by [`anyhow::Error::downcast_ref`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint(pub String);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds a [`Hint`] to the error of a result.
pub trait Advise<T> {
    /// Adds what a person can do about the error.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advise<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Hint(hint.into())))
    }
}
