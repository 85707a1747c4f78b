//! A message about a host: what it says, and the forms that it has for its receivers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The most lines of details, and the most characters of a line.
const MAX_LINES: usize = 20;
const MAX_LINE: usize = 400;

/// What has become of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// It has begun.
    Fault,
    /// It goes on.
    Reminder,
    /// It is over.
    Recovered,
    /// There is none: somebody tries the channels.
    Test,
}

impl MessageState {
    /// Whether somebody should look soon.
    pub(super) fn is_urgent(self) -> bool {
        matches!(self, Self::Fault)
    }
}

/// What is told of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The host's name.
    pub host: String,
    /// What has become of the fault.
    pub state: MessageState,
    /// What tells the fault from others.
    pub id: String,
    /// The cause in one line.
    pub summary: String,
    /// How that is known, a line each.
    pub details: Vec<String>,
    /// The next step; empty where there is none.
    pub next: String,
    /// When the fault began.
    pub since: i64,
}

impl Message {
    /// A message that says that the channel works.
    #[must_use]
    pub fn test(host: &str, now: i64) -> Self {
        Self {
            host: host.to_owned(),
            state: MessageState::Test,
            id: "test".to_owned(),
            summary: "this is a test: messages from this host arrive".to_owned(),
            details: vec!["`hwctl notify test` has sent it.".to_owned()],
            next: String::new(),
            since: now,
        }
    }

    /// The same with lines of a bounded length and number, without control characters.
    #[must_use]
    pub fn harmless(mut self) -> Self {
        self.host = line(&self.host);
        self.summary = line(&self.summary);
        self.next = line(&self.next);
        let lines = self.details.iter().flat_map(|detail| detail.lines()).map(line);
        let mut lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        if lines.len() > MAX_LINES {
            let more = lines.len() - MAX_LINES;
            lines.truncate(MAX_LINES);
            lines.push(format!("… {more} more lines"));
        }
        self.details = lines;
        self
    }

    /// The subject: the host and the cause.
    #[must_use]
    pub fn subject(&self) -> String {
        let word = match self.state {
            MessageState::Fault | MessageState::Test => "",
            MessageState::Reminder => "still: ",
            MessageState::Recovered => "recovered: ",
        };
        format!("{}: {word}{}", self.host, self.summary)
    }

    /// The message in one line, for a log.
    #[must_use]
    pub fn line(&self) -> String {
        match self.next.as_str() {
            "" => self.subject(),
            next => format!("{} (next: {next})", self.subject()),
        }
    }

    /// The text below the subject.
    #[must_use]
    pub fn body(&self) -> String {
        let mut lines = self.details.clone();
        if self.state != MessageState::Test {
            lines.push(format!("since {}", time(self.since)));
        }
        if !self.next.is_empty() {
            lines.push(format!("next: {}", self.next));
        }
        lines.join("\n")
    }

    /// The body of a webhook. The field `text` is the one that chat programs show.
    #[must_use]
    pub fn json(&self) -> String {
        let text = format!("{}\n{}", self.subject(), self.body());
        json!({
            "host": self.host,
            "state": self.state,
            "id": self.id,
            "summary": self.summary,
            "details": self.details,
            "next": self.next,
            "since": time(self.since),
            "text": text.trim_end(),
        })
        .to_string()
    }
}

/// A time as RFC 3339 has it.
fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// A text as one line that no receiver takes for anything else.
fn line(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') => {
            '\u{fffd}'
        }
        c => c,
    };
    let mut line: String = text.chars().take(MAX_LINE).map(shown).collect();
    if text.chars().nth(MAX_LINE).is_some() {
        line.push('…');
    }
    line.trim_end().to_owned()
}

/// A length of time in its two largest units, such as `3 d 4 h`.
#[must_use]
pub fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(details: &[&str]) -> Message {
        Message {
            host: "vm1".to_owned(),
            state: MessageState::Fault,
            id: "redis/redis-stopped".to_owned(),
            summary: "Redis does not run".to_owned(),
            details: details.iter().map(|line| (*line).to_owned()).collect(),
            next: "`hwctl provision --only redis` starts it".to_owned(),
            since: 1_800_000_000,
        }
    }

    #[test]
    fn a_webhook_gets_the_fields_and_a_text() {
        let body: serde_json::Value =
            serde_json::from_str(&message(&["container `redis` is exited"]).json()).unwrap();

        let expected = json!({
            "host": "vm1",
            "state": "fault",
            "id": "redis/redis-stopped",
            "summary": "Redis does not run",
            "details": ["container `redis` is exited"],
            "next": "`hwctl provision --only redis` starts it",
            "since": "2027-01-15T08:00:00Z",
            "text": "vm1: Redis does not run\ncontainer `redis` is exited\nsince 2027-01-15T08:00:00Z\n\
                     next: `hwctl provision --only redis` starts it",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_subject_says_what_became_of_the_fault() {
        let subject = |state| Message { state, ..message(&[]) }.subject();
        assert_eq!(subject(MessageState::Fault), "vm1: Redis does not run");
        assert_eq!(subject(MessageState::Reminder), "vm1: still: Redis does not run");
        assert_eq!(subject(MessageState::Recovered), "vm1: recovered: Redis does not run");
    }

    #[test]
    fn no_control_character_goes_out() {
        let long = "x".repeat(MAX_LINE + 1);
        let details = ["a b\x1b[31m", "one\r\nX-Header: two", &long, "\n\n"];
        let hostile = Message { summary: "lo\nst".to_owned(), ..message(&details) };

        let told = hostile.harmless();

        assert_eq!(told.summary, "lo\u{fffd}st");
        let short = format!("{}…", "x".repeat(MAX_LINE));
        let expected = ["a b\u{fffd}[31m", "one", "X-Header: two", &short];
        assert_eq!(told.details, expected);
        let many = Message { details: vec!["x".to_owned(); 30], ..message(&[]) };
        let many = many.harmless();
        assert_eq!((many.details.len(), many.details[20].as_str()), (21, "… 10 more lines"));
    }

    #[test]
    fn a_duration_has_two_units() {
        assert_eq!(
            [59, 60, 3660, 90_000, -1].map(duration),
            ["59 s", "1 min", "1 h 1 min", "1 d 1 h", "0 s"]
        );
    }
}
