//! hwctl: one binary on both ends that brings a host to its declared state.
//!
//! The layers, and who may import whom, are described in `docs/architecture.md`
//! and held by `tests/layers.rs`.

// Text leaves the process through `report`, which makes it harmless last.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod bundle;
pub mod cli;
pub mod client;
pub mod command;
#[cfg(test)]
mod damaged;
pub mod engine;
pub mod event;
pub mod failure;
pub mod inventory;
pub mod lab;
pub mod packed;
pub mod part;
mod program;
pub mod remote;
pub mod report;
pub mod resource;
pub mod spec;
pub mod watch;

pub use program::run;
