//! nginx, in front of everything.

pub(super) mod host;
