//! The kinds of parts that a host can have. So far these are their drivers: the code that runs on the host.

mod api;
mod firewall;
mod nginx;
mod redis;
mod tls;
mod upkeep;

use crate::engine::Drivers;

/// The drivers of all kinds of parts.
pub const DRIVERS: Drivers = Drivers(&[
    &api::host::Api,
    &firewall::host::Firewall,
    &nginx::host::Nginx,
    &redis::host::Redis,
    &tls::host::Tls,
    &upkeep::host::Upkeep,
]);
