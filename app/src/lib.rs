//! The API behind `/flask/`, as a library so that tests can drive its parts.

pub mod auth;
pub mod counter;
pub mod edge;
pub mod error;
pub mod log;
pub mod metrics;
pub mod openapi;
pub mod request_id;
pub mod routes;
pub mod serve;
pub mod settings;
pub mod state;
mod systemd;
