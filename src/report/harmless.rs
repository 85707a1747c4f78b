//! What comes from a host and its files is shown and never obeyed: no text steers the terminal, and
//! none looks like a line of hwctl's own.

use anyhow::Result;
use serde_json::Value;

use super::safe_text::{escape, escape_line};
use crate::event::{Event, EventKind, decode, encode};

/// The event with characters that a terminal obeys or hides written as escapes. What is decoded from
/// its texts later has to be made harmless again.
pub(super) fn harmless(event: &Event) -> Result<Event> {
    // In the protocol's encoding, which reads and writes events anyway.
    let mut what: Value = decode(&encode(&event.what)?)?;
    escape_all(&mut what, has_lines(&event.what));
    let host = event.host.as_deref().map(|host| escape(host).into_owned());
    Ok(Event { host, what: decode(&encode(&what)?)? })
}

/// Whether texts of such an event may have several lines. Where they are printed as a table or one in
/// a line, they may not.
fn has_lines(what: &EventKind) -> bool {
    !matches!(
        what,
        EventKind::History { .. }
            | EventKind::Certificate { .. }
            | EventKind::Facts { .. }
            | EventKind::Diagnosis { .. }
            | EventKind::Log(_)
            | EventKind::Output { .. }
            | EventKind::Done(_)
            | EventKind::Summary { .. }
    )
}

fn escape_all(value: &mut Value, has_lines: bool) {
    match value {
        Value::String(text) => {
            let escaped = if has_lines { escape(text) } else { escape_line(text) };
            *text = escaped.into_owned();
        }
        Value::Array(values) => values.iter_mut().for_each(|value| escape_all(value, has_lines)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| escape_all(value, has_lines));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        Action, Change, Detail, EventKind, Exit, Failure, HostSummary, Id, Outcome, Planned,
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
        for what in [EventKind::Plan { changes: planned }, EventKind::Failed { failure }] {
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
            EventKind::Asking,
            EventKind::ChangeProgress {
                index: 1,
                fraction: Some(0.25),
                message: "two\nlines".to_owned(),
            },
            EventKind::Done(summary.clone()),
            EventKind::Summary { hosts: vec![summary] },
        ] {
            let event = Event::on("vm1", what);
            assert_eq!(harmless(&event).unwrap(), event);
        }
    }
}
