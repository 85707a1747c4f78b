//! One event, one line of JSON.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use super::safe_text::for_json;
use crate::event::{Event, EventKind, Sink};

/// Writes each event as a line of JSON.
#[derive(Debug)]
pub struct Json<W> {
    writer: Mutex<W>,
    has_traces: bool,
}

impl<W: Write + Send> Json<W> {
    /// To this writer.
    pub fn new(writer: W) -> Self {
        Self { writer: Mutex::new(writer), has_traces: false }
    }

    /// The same with the events that tell how something was done, if so wanted.
    #[must_use]
    pub fn with_traces(self, has_traces: bool) -> Self {
        Self { has_traces, ..self }
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn event(&self, event: Event) {
        if matches!(event.what, EventKind::Trace { .. }) && !self.has_traces {
            return;
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that went away (`| head`) is no error of the run.
        if let Ok(line) = serde_json::to_string(&event) {
            let line = for_json(&line);
            let _ = writeln!(writer, "{line}").and_then(|()| writer.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LogLine;
    use crate::event::{HostSummary, Outcome};

    #[test]
    fn a_program_gets_the_whole_text_and_a_terminal_obeys_none_of_it() {
        let text = "a\u{9b}31m\u{7f}\u{202e}\u{200b}\x1b[2J\u{e0001}é✓\n";
        let (time, log) = (String::new(), "api".to_owned());
        let line = LogLine { time, log, is_error: false, text: text.to_owned() };
        let json = Json::new(Vec::new());

        json.event(Event::on("vm1\u{9b}", EventKind::Log(line.clone())));

        let written = String::from_utf8(json.writer.into_inner().unwrap()).unwrap();
        let escaped = r"a\u009b31m\u007f\u202e\u200b\u001b[2J\udb40\udc01é✓\n";
        assert!(written.contains(escaped), "{written}");
        let read: Event = serde_json::from_str(&written).unwrap();
        assert_eq!(read, Event::on("vm1\u{9b}", EventKind::Log(line)));
    }

    #[test]
    fn the_summary_has_the_documented_shape() {
        let json = Json::new(Vec::new());
        let host = "vm1".to_owned();
        let summary = HostSummary {
            host,
            outcome: Outcome::Unchanged,
            changes: 0,
            elapsed_ms: 7,
            urls: vec![],
        };
        json.event(Event::of_run(EventKind::Summary { hosts: vec![summary] }));
        let text = String::from_utf8(json.writer.into_inner().unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"event\":\"summary\",\"hosts\":[{\"host\":\"vm1\",\"outcome\":\"unchanged\",\
             \"changes\":0,\"elapsed_ms\":7}]}\n"
        );
    }
}
