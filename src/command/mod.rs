//! One file for each verb: from parsed arguments to an exit code.

pub mod backup;
pub mod cert;
pub mod deploy;
pub mod destroy;
pub mod doctor;
pub mod engine;
pub mod exec;
pub mod facts;
mod fleet;
pub mod help;
pub mod history;
mod hooks;
pub mod in_app;
pub mod init;
pub mod inventory;
pub mod lab;
pub mod launch;
pub mod logs;
pub mod maintenance;
pub mod on_host;
pub mod provision;
pub mod redis;
pub mod reference;
pub mod render;
pub mod restart;
mod review;
mod roll;
pub mod rollback;
mod run;
pub mod secret;
pub mod ssh;
pub mod status;
pub mod verify;
pub mod watch;

pub use fleet::show::{report_failure, set_output};
