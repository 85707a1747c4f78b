//! What comes from a host and its files is shown and never obeyed: no text steers the terminal.

use anyhow::Result;
use serde_json::Value;

use crate::event::{Event, decode, encode};

/// The event with characters that a terminal obeys, or that turn the order of others around,
/// written as escapes.
pub(super) fn harmless(event: &Event) -> Result<Event> {
    // In the protocol's encoding, which reads and writes events anyway.
    let mut what: Value = decode(&encode(&event.what)?)?;
    escape_all(&mut what);
    let host = event.host.as_deref().map(escape);
    Ok(Event { host, what: decode(&encode(&what)?)? })
}

fn escape_all(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(is_obeyed) => *text = escape(text),
        Value::Array(values) => values.iter_mut().for_each(escape_all),
        Value::Object(fields) => fields.values_mut().for_each(escape_all),
        _ => {}
    }
}

fn escape(text: &str) -> String {
    let escaped = text.chars().map(|c| match is_obeyed(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    escaped.collect()
}

fn is_obeyed(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        Action, Change, Detail, Exit, Failure, HostSummary, Id, Outcome, Planned, What,
    };

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let hostile = "a\x1b]0;title\x07\x1b[2J\r\u{9b}31m\u{202e}b\tc\nd é✓";
        let change = Change::new(Id::new("file", hostile), Action::Update)
            .detail(Detail::Text { before: hostile.to_owned(), after: hostile.to_owned() })
            .attribute("mode", Some(hostile.to_owned()), None)
            .because(hostile);
        let planned = vec![Planned { tag: "x".to_owned(), change }];
        let failure = Failure::new(Exit::Failed, hostile).why(hostile).hint(hostile);
        for what in [What::Plan { changes: planned }, What::Failed { failure }] {
            let shown = format!("{:?}", harmless(&Event::on(hostile, what)).unwrap());
            // `Debug` doubles the backslashes of our escapes, and writes its own with one.
            let ours = r"a\\u{1b}]0;title\\u{7}\\u{1b}[2J\\r\\u{9b}31m\\u{202e}b\tc\nd é✓";
            assert_eq!(shown.matches("title").count(), shown.matches(ours).count(), "{shown}");
        }
    }

    #[test]
    fn all_else_stays_as_it_is() {
        let summary = HostSummary {
            host: "vm1".to_owned(),
            outcome: Outcome::Undone,
            changes: 3,
            elapsed_ms: u64::MAX,
            urls: vec!["https://vm1/".to_owned()],
        };
        for what in [
            What::Asking,
            What::ChangeProgress {
                index: 1,
                fraction: Some(0.25),
                message: "two\nlines".to_owned(),
            },
            What::Done(summary.clone()),
            What::Summary { hosts: vec![summary] },
        ] {
            let event = Event::on("vm1", what);
            assert_eq!(harmless(&event).unwrap(), event);
        }
    }
}
