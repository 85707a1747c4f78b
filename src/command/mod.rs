//! One file for each verb: from parsed arguments to an exit code.

pub mod lab;
