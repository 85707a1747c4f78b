//! What systemd is told: ready, stopping, still alive.

use sd_notify::NotifyState;

use crate::log::{self, Level};

/// Tells systemd; without one this does nothing.
pub(crate) fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::line(Level::Warn, "systemd cannot be told", |line| {
            line.text("reason", &error.to_string());
        });
    }
}

/// Feeds the watchdog for as long as the runtime turns.
pub(crate) async fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(limit / 3);
    loop {
        beat.tick().await;
        tell(NotifyState::Watchdog);
    }
}
