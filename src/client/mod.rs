//! A client of a host: how it reaches endpoints and recognizes them, and what it should see of them.
//!
//! It is used from the operator's machine and on the host itself. It knows neither ssh nor the protocol
//! of the engine, and nothing of what a part is.

mod endpoint;
mod https;
mod probe;
mod way;

pub use endpoint::{Pins, url, url_host};
pub use https::{Answer, HttpsConnection, served_certificate};
pub use probe::{Expected, Seen, is_maintained, probe, served, status};
pub use way::{Program, Way};
