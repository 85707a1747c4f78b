//! From the operator's side: the ssh session, putting hwctl on the host, and talking to the engine there.

mod arguments;
mod bootstrap;
mod confirm;
mod connection;
mod engine;
mod exec;
mod explain;
mod heard;
pub mod interrupt;
mod kept;
mod login;
mod packed;
mod proposal;
mod requests;
mod resolve;
mod route;
mod sending;
mod ssh;
mod sudo;
mod sudo_password;
mod transport;
mod upload;

pub use arguments::identity_option;
pub use bootstrap::host_binary;
pub use engine::{Emit, Engine};
pub use exec::exec;
pub use kept::state_folder;
pub use proposal::{ProposedPlan, Unfold};
pub use route::{Route, WebPorts};
pub use ssh::Target;
pub use sudo_password::SudoPassword;
