//! What resources are made of, as data: nothing here knows a host.

pub(in crate::resource) mod as_text;
pub(in crate::resource) mod blob;
pub(in crate::resource) mod change;
pub(in crate::resource) mod digest;
pub(in crate::resource) mod environment;
pub(in crate::resource) mod facts;
pub(in crate::resource) mod glob;
pub(in crate::resource) mod hint;
pub(in crate::resource) mod id;
pub(in crate::resource) mod own_folder;
pub(in crate::resource) mod password_hash;
pub(in crate::resource) mod profile;
pub(in crate::resource) mod saved;
pub(in crate::resource) mod secret;
