//! The firewall of the host.

pub(super) mod host;
