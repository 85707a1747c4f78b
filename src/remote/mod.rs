//! From the operator's side: the ssh session, putting hwctl on the host, talking to the engine
//! there, and looking at the host from outside.

mod bootstrap;
mod engine;
pub mod interrupt;
mod outside;
mod ssh;

pub use engine::{Engine, Planned, Tell};
pub use outside::{Check, Expected, Page, look, served_certificate, status};
pub use ssh::Target;
