//! From the operator's side: the ssh session, putting hwctl on the host, talking to the engine
//! there, and looking at the host from outside.

mod arguments;
mod bootstrap;
mod confirm;
mod daily;
mod engine;
mod exec;
mod explain;
mod heard;
pub mod interrupt;
mod kept;
mod login;
mod outside;
mod packed;
mod route;
mod sending;
mod ssh;
mod sudo;
mod upload;

pub use engine::{Engine, Planned, Tell};
pub use exec::exec;
pub use kept::state_folder;
pub use outside::{Expected, Look, Page, look_by, served_certificate, shown, status};
pub use route::{Route, WebPorts};
pub use ssh::Target;
