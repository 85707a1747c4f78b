//! One file for each verb: from parsed arguments to an exit code.

mod back;
pub mod cert;
pub mod deploy;
pub mod destroy;
pub mod doctor;
pub mod engine;
pub mod facts;
mod fleet;
mod here;
pub mod history;
mod hosts;
pub mod init;
pub mod lab;
pub mod on_host;
mod outside;
pub mod provision;
pub mod reference;
pub mod render;
pub mod restart;
pub mod rollback;
mod run;
pub mod secret;
