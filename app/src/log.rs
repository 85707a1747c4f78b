//! The log: one JSON object a line, written to stdout by a thread of its own so that no request waits.
//!
//! A general logging crate spends more on a line than the whole ping handler does, and this log has
//! one shape; so lines are formatted straight into the buffer that the thread writes out.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed that an operator should look at.
    Error = 3,
    /// Something is wrong that the service copes with.
    Warn = 4,
    /// What happened: a line for each request.
    Info = 6,
    /// What helps to find a fault.
    Debug = 7,
}

impl Level {
    /// The level with this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "error" => Some(Self::Error),
            "warn" | "warning" => Some(Self::Warn),
            "info" => Some(Self::Info),
            "debug" => Some(Self::Debug),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Lines wait here at most this long.
const GATHER: Duration = Duration::from_millis(50);
/// Beyond so many info and debug lines within a while, lines are dropped and counted.
const MOST: u32 = 10_000;
const WINDOW: Duration = Duration::from_secs(10);
/// Beyond this, when stdout takes nothing, lines are dropped and counted.
const FULL: usize = 256 * 1024;

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static PREFIX: AtomicU8 = AtomicU8::new(0);
static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    lines: String::new(),
    dropped: 0,
    burst: Burst { began: None, lines: 0 },
});
static ARRIVED: Condvar = Condvar::new();
/// Held while lines go out, so that they keep their order.
static OUTPUT: Mutex<String> = Mutex::new(String::new());

struct Waiting {
    lines: String,
    dropped: u64,
    burst: Burst,
}

/// How many everyday lines there were lately. The journal throws most of a flood away as well, and
/// spends more on it than the requests cost; nginx's own log has a line for each of them.
struct Burst {
    began: Option<Instant>,
    lines: u32,
}

impl Burst {
    /// Whether one more fits.
    fn admits(&mut self, now: Instant) -> bool {
        if self.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            *self = Self { began: Some(now), lines: 0 };
        }
        self.lines += 1;
        self.lines <= MOST
    }
}

/// Sets the level and starts the thread that writes.
pub fn start(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    // The journal reads a line's priority from such a prefix and takes it off.
    PREFIX.store(u8::from(std::env::var_os("JOURNAL_STREAM").is_some()), Ordering::Relaxed);
    let spawned = thread::Builder::new().name("log".into()).stack_size(64 * 1024).spawn(|| {
        loop {
            let mut waiting = lock(&WAITING);
            while waiting.lines.is_empty() {
                waiting = ARRIVED.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            drop(waiting);
            thread::sleep(GATHER);
            flush();
        }
    });
    if spawned.is_err() {
        eprintln!("flask-app: the log has no thread; lines come out at the end only");
    }
}

/// Writes out what waits; called by the log's thread, and once before the process ends.
pub fn flush() {
    let mut output = lock(&OUTPUT);
    {
        let mut waiting = lock(&WAITING);
        std::mem::swap(&mut waiting.lines, &mut *output);
        let dropped = std::mem::take(&mut waiting.dropped);
        drop(waiting);
        if dropped > 0 {
            Line::format(&mut output, Level::Warn, "lines dropped", |line| {
                line.number("count", dropped);
            });
        }
    }
    // Nobody is left to tell when stdout is gone.
    let _ = std::io::stdout().lock().write_all(output.as_bytes());
    output.clear();
    output.shrink_to(FULL / 4);
}

/// Whether lines of this level are wanted.
#[must_use]
pub fn wants(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Logs one line: `message`, and what `fields` adds to it.
pub fn line(level: Level, message: &str, fields: impl FnOnce(&mut Line<'_>)) {
    if !wants(level) {
        return;
    }
    let everyday = level >= Level::Info;
    let mut waiting = lock(&WAITING);
    if waiting.lines.len() >= FULL || (everyday && !waiting.burst.admits(Instant::now())) {
        waiting.dropped += 1;
        return;
    }
    let first = waiting.lines.is_empty();
    Line::format(&mut waiting.lines, level, message, fields);
    drop(waiting);
    if first {
        ARRIVED.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line being written.
pub struct Line<'a>(&'a mut String);

impl Line<'_> {
    fn format(out: &mut String, level: Level, message: &str, fields: impl FnOnce(&mut Line<'_>)) {
        if PREFIX.load(Ordering::Relaxed) == 1 {
            let _ = write!(out, "<{}>", level as u8);
        }
        let _ = write!(
            out,
            "{{\"time\":\"{:.3}\",\"level\":\"{}\",\"message\":",
            jiff::Timestamp::now(),
            level.name()
        );
        let mut line = Line(out);
        line.quoted(message);
        fields(&mut line);
        line.0.push_str("}\n");
    }

    /// Adds a text.
    pub fn text(&mut self, key: &'static str, value: &str) -> &mut Self {
        self.key(key);
        self.quoted(value);
        self
    }

    /// Adds a number.
    pub fn number(&mut self, key: &'static str, value: impl fmt::Display) -> &mut Self {
        self.key(key);
        let _ = write!(self.0, "{value}");
        self
    }

    fn key(&mut self, key: &'static str) {
        self.0.push_str(",\"");
        self.0.push_str(key);
        self.0.push_str("\":");
    }

    fn quoted(&mut self, value: &str) {
        self.0.push('"');
        if value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\') {
            self.0.push_str(value);
        } else {
            for c in value.chars() {
                match c {
                    '"' => self.0.push_str("\\\""),
                    '\\' => self.0.push_str("\\\\"),
                    c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => {
                        let _ = write!(self.0, "\\u{:04x}", u32::from(c));
                    }
                    c => self.0.push(c),
                }
            }
        }
        self.0.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_it_holds() {
        let mut out = String::new();
        let hostile = "a\"b\\c\nd\u{7f}\u{85}\u{2028}é\0";
        Line::format(&mut out, Level::Warn, hostile, |line| {
            line.text("path", hostile).number("status", 200);
        });
        assert_eq!(out.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(value["message"], hostile);
        assert_eq!(value["path"], hostile);
        assert_eq!(value["status"], 200);
        assert_eq!(value["level"], "warn");
    }

    #[test]
    fn a_flood_is_cut_and_the_next_while_begins_anew() {
        let mut burst = Burst { began: None, lines: 0 };
        let now = Instant::now();
        assert_eq!((0..2 * MOST).filter(|_| burst.admits(now)).count(), MOST as usize);
        assert!(!burst.admits(now + WINDOW / 2));
        assert!(burst.admits(now + WINDOW));
    }

    #[test]
    fn levels_are_known_by_name() {
        assert_eq!(Level::parse("INFO"), Some(Level::Info));
        assert_eq!(Level::parse("loud"), None);
        assert!(Level::Error < Level::Debug);
    }
}
