//! On the host, as root: reads, plans, applies, keeps the journal, undoes.
//!
//! It speaks frames on its standard input and output and ends with its session.

mod apply;
mod blobs;
mod facts;
mod goal;
mod journal;
mod lock;
mod manifest;
mod plan;
pub mod protocol;
mod session;
mod validate;

pub use blobs::Bundle;
pub use session::serve;
