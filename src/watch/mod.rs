//! Who is told of faults, and when: the faults of a look become messages, which wait in a queue until each channel has
//! taken them. How faults are found is not known here.
//!
//! Nothing here reads the clock, so that tests hand it in. Times are in seconds since 1970.

mod curl;
mod fault;
mod incidents;
mod mail;
mod message;
mod queue;
mod samples;
mod settings;
mod store;

pub use curl::Curl;
pub use fault::Fault;
pub use incidents::{Incidents, Rules};
pub use message::{Message, MessageState, duration};
pub use queue::{Delivery, MAX_WAITING, Queue};
pub use samples::{Amount, Samples};
pub use settings::{Channel, Email, Settings, Way};
pub use store::{State, read_state, write_state};

/// The folder with what the host remembers from look to look.
pub const STATE_FOLDER: &str = "/var/lib/hwctl/watch";
/// The folder with the settings.
pub const SETTINGS_FOLDER: &str = "/etc/hwctl/watch";
/// The settings, with the secrets of the channels.
pub const SETTINGS: &str = "/etc/hwctl/watch/settings.json";
