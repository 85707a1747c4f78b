//! One file for each verb: from parsed arguments to an exit code.

pub mod engine;
mod hosts;
pub mod lab;
pub mod on_host;
pub mod provision;
