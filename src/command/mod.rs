//! One file for each verb: from parsed arguments to an exit code.

mod back;
pub mod backup;
mod backup_file;
pub mod cert;
pub mod destroy;
pub mod engine;
pub mod exec;
mod fleet;
mod here;
pub mod history;
mod hosts;
pub mod lab;
pub mod logs;
pub mod on_host;
mod outside;
pub mod provision;
pub mod redis;
pub mod restart;
pub mod rollback;
mod run;
pub mod secret;
mod since;
pub mod ssh;
pub mod status;
pub mod verify;
mod watch;
