//! Hosts, groups and variables as Ansible reads them: files, patterns, merging, connections.

mod arguments;
pub(in crate::inventory) mod connection;
pub(in crate::inventory) mod files;
pub(in crate::inventory) mod groups;
pub(in crate::inventory) mod merge;
pub(in crate::inventory) mod pattern;
mod range;
