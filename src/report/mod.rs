//! Events in, pixels or JSON out; to a given writer, so that both are tested without a terminal.

mod certificate;
mod diagnosis;
mod facts;
mod harmless;
mod history;
mod json;
mod terminal;

pub use json::Json;
pub use terminal::{Style, Terminal, failure_text};
