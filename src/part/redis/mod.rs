//! Redis, in a container.

pub(super) mod host;
