//! The API binary that hwctl carries for its hosts.

use crate::engine::Bundle;

#[expect(clippy::unreadable_literal, reason = "the size is written by the build script")]
/// The API for hosts of this binary's own architecture; `None` in a build for a system that is
/// not Linux.
pub const API: Option<Bundle> = include!(concat!(env!("OUT_DIR"), "/bundle.rs"));
