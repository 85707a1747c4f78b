//! Carries out a plan: tries what is new, makes the changes, takes them back.

pub(super) mod apply;
pub(super) mod concurrent;
pub(super) mod deadman;
pub(super) mod rehearsal;
pub(super) mod restart;
mod steps;
mod together;
pub(super) mod undo;
pub(super) mod validate;
