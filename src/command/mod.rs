//! One file for each verb: from parsed arguments to an exit code.

mod back;
pub mod destroy;
pub mod engine;
mod fleet;
pub mod history;
mod hosts;
pub mod lab;
pub mod on_host;
mod outside;
pub mod provision;
pub mod restart;
pub mod rollback;
mod run;
pub mod secret;
pub mod status;
mod watch;
