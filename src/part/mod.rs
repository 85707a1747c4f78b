//! The kinds of parts that a host can have. So far these are their drivers: the code that runs on the host.

mod nginx;
mod redis;

use crate::engine::Drivers;

/// The drivers of all kinds of parts.
pub const DRIVERS: Drivers = Drivers(&[&nginx::host::Nginx, &redis::host::Redis]);
