//! The answers of verbs that change nothing by a plan, as a person reads them.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::safe_text::escape_line;
use super::text::{Style, count, count_bytes, host_line};
use crate::event::{Check, Data, EventKind, LogLine};

/// The text of such an event; none for what is only for programs.
pub(super) fn answer_text(style: Style, host: &str, what: &EventKind) -> Option<String> {
    match what {
        EventKind::Health { checks } => {
            let failing = checks.iter().filter(|check| !check.ok);
            let texts = failing.map(|Check { name, detail, .. }| format!("{name}: {detail}"));
            Some(host_line(host, &texts.collect::<Vec<_>>().join("\n")))
        }
        EventKind::Log(LogLine { log, is_error, text, .. }) => {
            // Decoding brings back what JSON had escaped, so it comes first.
            let text = flat(text).unwrap_or_else(|| text.clone());
            let text = escape_line(&text);
            let text = if *is_error { style.paint(&text, "31") } else { text.into_owned() };
            let names = [host, log].into_iter().filter(|name| !name.is_empty());
            let names = names.collect::<Vec<_>>().join(" ");
            Some(match names.as_str() {
                "" => text,
                names => format!("{} {text}", style.paint(&format!("{names}:"), "36")),
            })
        }
        EventKind::Output { text, .. } => Some(host_line(host, text)),
        EventKind::BackedUp { file, data } => {
            Some(host_line(host, &format!("{} in {file}", data_text(data))))
        }
        EventKind::Restored { file, data } => {
            Some(host_line(host, &format!("{} from {file}, counted again", data_text(data))))
        }
        _ => None,
    }
}

/// Such as `3 keys, 41 visits (212 bytes)`.
fn data_text(data: &Data) -> String {
    let counts = data.counts.iter().map(|(things, number)| {
        let thing = things.strip_suffix('s').unwrap_or(things);
        count(usize::try_from(*number).unwrap_or(usize::MAX), thing)
    });
    let counts: Vec<_> = counts.collect();
    format!("{} ({})", counts.join(", "), count_bytes(data.bytes))
}

/// A line that is one JSON object with a time, as `04:06:16.123 info request method=GET …`.
fn flat(text: &str) -> Option<String> {
    let fields: Map<String, Value> =
        text.starts_with('{').then(|| serde_json::from_str(text).ok())??;
    let time = fields.get("time")?.as_str()?.split_once('T')?.1.trim_end_matches('Z');
    let mut flat = time.to_owned();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "time") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = match name.as_str() {
            "level" | "message" => write!(flat, " {value}"),
            name if value.contains([' ', '"']) => write!(flat, " {name}={value:?}"),
            name => write!(flat, " {name}={value}"),
        };
    }
    Some(flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(host: &str, what: &EventKind) -> String {
        answer_text(Style::PLAIN, host, what).unwrap_or_default()
    }

    fn line(log: &str, text: &str) -> EventKind {
        let time = "2026-11-24T04:06:16.123000Z".to_owned();
        EventKind::Log(LogLine {
            time,
            log: log.to_owned(),
            is_error: false,
            text: text.to_owned(),
        })
    }

    #[test]
    fn lines_of_logs() {
        let api = r#"{"time":"2026-11-24T04:06:16.123Z","level":"info","message":"request","method":"GET","path":"/flask/a b","status":200}"#;
        let redis = "1:M 24 Nov 2026 04:06:16.123 * Ready to accept connections";
        let lines = [
            shown("web1", &line("api", api)),
            shown("web2", &line("redis", redis)),
            shown("", &line("redis", redis)),
            shown("", &line("", r#"{"no":"time"}"#)),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_the_decoded_line_holds_is_not_obeyed() {
        let api = r#"{"time":"2026-11-24T04:06:16.123Z","message":"request","path":"/\u009b31m\u001b[2J\u202e\u200b\u007f","reason":"two\nlines"}"#;

        let shown = shown("web1", &line("api", api));

        let path = r"/\u{9b}31m\u{1b}[2J\u{202e}\u{200b}\u{7f}";
        let expected = format!("web1 api: 04:06:16.123 request path={path} reason=two\\nlines");
        assert_eq!(shown, expected);
    }

    #[test]
    fn data_saved_and_put_back() {
        let data = Data::new([("keys", 1), ("visits", 4100)], 104);
        let file = "visits.backup".to_owned();
        let lines = [
            shown("vm1", &EventKind::BackedUp { file: file.clone(), data: data.clone() }),
            shown("vm1", &EventKind::Restored { file, data }),
            shown("vm1", &EventKind::Output { is_error: false, text: "4100".to_owned() }),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
