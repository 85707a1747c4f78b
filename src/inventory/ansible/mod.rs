//! Hosts, groups and variables as Ansible reads them: files, patterns, merging, connections.

mod arguments;
pub(in crate::inventory) mod config;
pub(in crate::inventory) mod connection;
pub(in crate::inventory) mod escalation;
mod evaluation;
mod files;
mod filters;
pub(in crate::inventory) mod groups;
mod ini;
mod literal;
pub(in crate::inventory) mod merge;
mod numeral;
pub(in crate::inventory) mod pattern;
mod program;
mod program_output;
mod range;
pub(in crate::inventory) mod sources;
mod template;
mod template_value;
pub(in crate::inventory) mod vars_files;
pub(in crate::inventory) mod vault;
mod words;
pub(in crate::inventory) mod world;
mod yaml;
