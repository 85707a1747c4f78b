//! One file for each verb: from parsed arguments to an exit code.

pub mod engine;
mod fleet;
mod hosts;
pub mod lab;
pub mod on_host;
mod outside;
pub mod provision;
pub mod restart;
mod run;
