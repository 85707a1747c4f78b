//! When the counts go to the disk.

use std::time::{Duration, Instant};

/// The most that a power cut takes.
const FSYNC_EVERY: Duration = Duration::from_secs(1);

/// When Redis brings its log to the disk.
///
/// It always hands a change to the kernel before it answers, so that no kill loses a number that was
/// told. (Its own `everysec` would not: it answers first whenever an fsync takes long.) To a power
/// cut, the first visit in a second is safe once its number is told, and in a rush the others within
/// that second: an fsync takes longer than all else of a visit, up to some milliseconds.
pub(super) struct Fsync {
    /// The setting in force; unknown after a failure.
    pub(super) mode: Option<&'static str>,
    /// When Redis last brought all to the disk.
    last: Option<Instant>,
}

const ALWAYS: &str = "always";
const RELAXED: &str = "no";

impl Fsync {
    pub(super) fn new() -> Self {
        // One who was killed in a rush leaves it so.
        Self { mode: Some(RELAXED), last: Some(Instant::now()) }
    }

    pub(super) fn is_relaxed(&self) -> bool {
        self.mode == Some(RELAXED)
    }

    /// When what was counted last has to go to the disk, if it is not there.
    pub(super) fn due(&self) -> Option<Instant> {
        self.last.filter(|_| self.is_relaxed()).map(|last| last + FSYNC_EVERY)
    }

    /// The setting for what is counted now.
    pub(super) fn wanted(&self) -> &'static str {
        let recent = self.last.is_some_and(|last| last.elapsed() < FSYNC_EVERY);
        if recent { RELAXED } else { ALWAYS }
    }

    pub(super) fn is_now(&mut self, mode: &'static str) {
        self.mode = Some(mode);
        if mode == ALWAYS {
            self.last = Some(Instant::now());
        }
    }
}
