//! Certificates and their renewal.

pub(super) mod host;
