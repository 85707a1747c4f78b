//! The commands that Redis was asked, by name and outcome, and how long their answers took.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{heading, histogram::Histogram, single};

/// The commands of the service, as labels. The last one is for any other.
const COMMANDS: [&str; 5] = ["incrby", "get", "ping", "config", "other"];
const OUTCOMES: [&str; 2] = ["error", "ok"];

/// What is counted of Redis. Its own exporter has names that begin with `redis_`.
#[derive(Default)]
pub struct RedisMetrics {
    commands: [[AtomicU64; OUTCOMES.len()]; COMMANDS.len()],
    durations: [Histogram; COMMANDS.len()],
}

impl RedisMetrics {
    /// Counts a command and whether Redis carried it out.
    pub fn record(&self, command: &[u8], is_done: bool, elapsed: Duration) {
        let is_it = |known: &str| known.as_bytes().eq_ignore_ascii_case(command);
        let at = COMMANDS.iter().position(|known| is_it(known)).unwrap_or(COMMANDS.len() - 1);
        self.commands[at][usize::from(is_done)].fetch_add(1, Relaxed);
        self.durations[at].observe(elapsed);
    }

    pub(super) fn render(&self, out: &mut String, is_up: bool) {
        single(out, "flask_redis_up", "gauge", "Whether Redis answers.", u8::from(is_up));
        let metric = "flask_redis_commands_total";
        heading(out, metric, "counter", "Commands to Redis by name and outcome.");
        for (command, counts) in COMMANDS.iter().zip(&self.commands) {
            for (outcome, count) in OUTCOMES.iter().zip(counts) {
                let count = count.load(Relaxed);
                let labels = format!("command=\"{command}\",outcome=\"{outcome}\"");
                let _ = writeln!(out, "{metric}{{{labels}}} {count}");
            }
        }
        let metric = "flask_redis_command_duration_seconds";
        heading(out, metric, "histogram", "Time until Redis answered, or was given up.");
        let asked = COMMANDS.iter().zip(&self.durations);
        for (command, durations) in asked.filter(|(_, durations)| durations.count() > 0) {
            durations.render(out, metric, &format!("command=\"{command}\""));
        }
    }
}
