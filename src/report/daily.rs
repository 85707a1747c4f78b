//! What the daily verbs tell, as a person reads it.

use super::terminal::{Style, count, count_bytes, host_line};
use crate::event::{Check, Data, LogLine, What};

/// The text of such an event; none for what is only for programs.
pub(super) fn daily_text(style: Style, host: &str, what: &What) -> Option<String> {
    match what {
        What::Health { checks } => {
            let failing = checks.iter().filter(|check| !check.ok);
            let texts = failing.map(|Check { name, detail, .. }| format!("{name}: {detail}"));
            Some(host_line(host, &texts.collect::<Vec<_>>().join("\n")))
        }
        What::Log(LogLine { log, is_error, text, .. }) => {
            let text = if *is_error { style.paint(text, "31") } else { text.clone() };
            Some(format!("{} {text}", style.paint(&format!("{host} {log}:"), "36")))
        }
        What::Output { text, .. } => Some(host_line(host, text)),
        What::BackedUp { file, data } => {
            Some(host_line(host, &format!("{} in {file}", data_text(data))))
        }
        What::Restored { file, data } => {
            Some(host_line(host, &format!("{} from {file}, counted again", data_text(data))))
        }
        _ => None,
    }
}

/// Such as `3 keys, 41 visits (212 bytes)`.
fn data_text(data: &Data) -> String {
    let number = |number: u64, thing| count(usize::try_from(number).unwrap_or(usize::MAX), thing);
    let Data { keys, visits, bytes } = data;
    let size = count_bytes(*bytes);
    format!("{}, {} ({size})", number(*keys, "key"), number(*visits, "visit"))
}
