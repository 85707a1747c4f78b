//! The kinds of resources, one folder each, and what they have in common.

pub(in crate::resource) mod certificate;
pub mod container;
pub(in crate::resource) mod directory;
pub(in crate::resource) mod file;
pub(in crate::resource) mod firewall;
pub(in crate::resource) mod health;
pub(in crate::resource) mod host_secret;
pub(in crate::resource) mod image;
pub(in crate::resource) mod kind;
pub(in crate::resource) mod link;
pub(in crate::resource) mod login;
pub(in crate::resource) mod network;
pub(in crate::resource) mod nginx_reload;
pub(in crate::resource) mod packages;
pub(in crate::resource) mod path_back;
pub(in crate::resource) mod ssh_keys;
pub(in crate::resource) mod sysctl;
pub(in crate::resource) mod task;
pub(in crate::resource) mod unit;
pub(in crate::resource) mod user;
pub(in crate::resource) mod volume;
