//! Events in, pixels or JSON out; to a given writer, so that both are tested without a terminal.

mod answer;
mod certificate;
mod diagnosis;
mod diff;
mod difference;
mod facts;
mod harmless;
mod health;
mod history;
mod json;
mod markdown;
mod narrow;
mod output;
mod pager;
mod safe_text;
#[cfg(test)]
mod screens;
mod terminal;
mod text;
mod top;
mod vitals;
mod wrap;

use crate::event::Failure;
pub use health::{HealthReport, HostHealth, document, lines as health_lines};
pub use json::Json;
pub use markdown::markdown;
pub use output::{print, print_error};
pub use pager::Paged;
pub use safe_text::for_json as json_text;
pub use terminal::Terminal;
pub use text::{Style, Volume, failure_text};
pub use top::lines as top_lines;
pub use vitals::Trend;
pub use wrap::width;
