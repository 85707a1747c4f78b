//! How far bytes on their way to a host are, and how fast they go.

use std::time::Instant;

/// Bytes on their way.
pub(super) struct Sending {
    what: String,
    all: u64,
    sent: u64,
    since: Instant,
}

impl Sending {
    /// Of so many bytes none is sent yet.
    pub(super) fn new(what: impl Into<String>, all: u64) -> Self {
        Self { what: what.into(), all, sent: 0, since: Instant::now() }
    }

    /// So many more are sent: what to say of it, and which part of all is sent.
    pub(super) fn more(&mut self, bytes: usize) -> (String, Option<f32>) {
        self.sent += bytes as u64;
        let Self { what, all, sent, since } = self;
        let rate = *sent as f64 / since.elapsed().as_secs_f64().max(0.001);
        let (unit, size) = if *all < 1_000_000 { ("kB", 1e3) } else { ("MB", 1e6) };
        let message = format!(
            "{what}: {:.1} of {:.1} {unit}, {:.1} {unit}/s",
            *sent as f64 / size,
            *all as f64 / size,
            rate / size
        );
        (message, Some(*sent as f32 / (*all).max(1) as f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_their_rate_are_told() {
        let mut sending = Sending::new("sending x.tar", 20_000_000);
        sending.since = Instant::now().checked_sub(std::time::Duration::from_secs(2)).unwrap();
        sending.more(4_000_000);
        let (message, fraction) = sending.more(1_000_000);
        assert_eq!(message, "sending x.tar: 5.0 of 20.0 MB, 2.5 MB/s");
        assert_eq!(fraction, Some(0.25));
    }
}
