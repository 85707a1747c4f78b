//! What a host remembers from run to run, to be faster: a host that loses it is slower once.

pub(in crate::resource) mod digest_cache;
pub(in crate::resource) mod hash_vouchers;
pub(in crate::resource) mod kept_lines;
pub(in crate::resource) mod settled_folders;
