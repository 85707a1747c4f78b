//! On the host, as root: reads, plans, applies, keeps the journal, undoes.
//!
//! It speaks frames on its standard input and output and ends with its session.

mod apply;
mod blobs;
mod deadman;
mod facts;
mod goal;
mod input;
mod journal;
mod lock;
mod manifest;
mod plan;
pub mod protocol;
mod room;
mod service;
mod session;
mod status;
mod validate;

pub use blobs::Bundle;
pub use deadman::revert;
pub use service::Service;
pub use session::serve;
pub use status::{Status, status};
