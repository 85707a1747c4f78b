//! The things a host can have: each kind with its desired state, read, diff, apply and undo.

mod hint;
mod secret;

pub use hint::{Advise, Hint};
pub use secret::Secret;
