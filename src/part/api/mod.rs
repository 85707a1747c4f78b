//! The API behind nginx.

pub(super) mod host;
