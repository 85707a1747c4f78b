//! From the operator's side: the ssh session, putting hwctl on the host, talking to the engine
//! there, and looking at the host from outside.

mod bootstrap;
mod confirm;
mod daily;
mod engine;
mod exec;
mod heard;
pub mod interrupt;
mod kept;
mod outside;
mod packed;
mod sending;
mod ssh;
mod upload;

pub use engine::{Engine, Planned, Tell};
pub use exec::exec;
pub use kept::state_folder;
pub use outside::{
    Expected, Look, Page, look, look_by, resolve, served_certificate, shown, status,
};
pub use ssh::Target;
