//! A histogram of durations, which many threads fill without a lock.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds in microseconds. An answer takes between 0.2 ms (a ping) and 100 ms (a login, whose password is hashed) on
/// an idle host; what waits for Redis takes seconds.
const BOUNDS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000,
];

#[derive(Default)]
pub(super) struct Histogram {
    /// The last one is for all that is longer than the greatest bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, elapsed: Duration) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS.partition_point(|bound| *bound < micros)].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// Writes the samples of a series, whose buckets count all that is no longer than their bound.
    pub(super) fn render(&self, out: &mut String, metric: &str, labels: &str) {
        let mut total = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            total += bucket.load(Relaxed);
            let bound = BOUNDS.get(at).map(|bound| (*bound as f64 / 1e6).to_string());
            let bound = bound.as_deref().unwrap_or("+Inf");
            let _ = writeln!(out, "{metric}_bucket{{{labels},le=\"{bound}\"}} {total}");
        }
        let seconds = self.micros.load(Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{metric}_sum{{{labels}}} {seconds}");
        let _ = writeln!(out, "{metric}_count{{{labels}}} {total}");
    }
}
