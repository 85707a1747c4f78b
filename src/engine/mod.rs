//! On the host, as root: reads, plans, applies, keeps the journal, undoes.
//!
//! It speaks frames on its standard input and output and ends with its session.

mod apply;
mod blobs;
mod deadman;
mod doctor;
mod facts;
mod goal;
mod health;
mod input;
mod journal;
mod lock;
mod manifest;
mod plan;
pub mod protocol;
mod renewal;
mod service;
mod session;
mod trial;
mod validate;

pub use blobs::Bundle;
pub use deadman::revert;
pub use doctor::Examination;
pub use service::Service;
pub use session::serve;
