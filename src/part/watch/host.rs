//! The watch on the host: whether it looks, and whether its messages arrive.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::engine::{Case, Driver, Later};
use crate::resource::Host;
use crate::watch::{State, duration, read_state};

/// The setting of the spec with the seconds between two looks.
pub(super) const EVERY: &str = "every_s";
/// A look that is later than three of its intervals, and than this, is missing.
const LATE_S: i64 = 600;

/// The driver of the watch.
#[derive(Debug)]
pub(crate) struct Watch;

impl Driver for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn inspect<'a>(&'a self, _: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        let every_s = case.part.settings.get(EVERY).and_then(|text| text.parse().ok());
        let state = read_state(case.host);
        let told = told(&state, every_s.unwrap_or(60), Timestamp::now().as_second(), up(case.host));
        Box::pin(async { told })
    }
}

/// For how many seconds the host has been up.
fn up(host: &Host) -> i64 {
    let text = std::fs::read_to_string(host.path("/proc/uptime".as_ref())).unwrap_or_default();
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().unwrap_or(i64::MAX)
}

/// What is known of the looks and of the channels.
fn told(state: &State, every_s: i64, now: i64, up: i64) -> Result<String> {
    let Some(at) = state.looked_at else { return Ok("it has not looked yet".to_owned()) };
    let (ago, late) = ((now - at).max(0), every_s.saturating_mul(3).max(LATE_S));
    let waiting = match state.queue.len() {
        0 => "no message waits".to_owned(),
        1 => "1 message waits".to_owned(),
        all => format!("{all} messages wait"),
    };
    let mut told = format!("looked {} ago, {waiting}", duration(ago));
    if state.queue.dropped() > 0 {
        let _ = write!(told, ", {} were dropped", state.queue.dropped());
    }
    // After a boot the first look is yet to come.
    if ago > late && up > late {
        bail!("no look for {}", duration(ago));
    }
    let channels = state.queue.failing();
    let mut failing: Vec<_> = channels.map(|(id, why, _)| format!("{id}: {why}")).collect();
    failing.extend(state.heartbeat_error.iter().map(|why| format!("heartbeat: {why}")));
    if failing.is_empty() { Ok(told) } else { bail!("{}; {told}", failing.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Delivery, Message};

    const NOON: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn tell(state: &State, now: i64, up: i64) -> Result<String, String> {
        told(state, 60, now, up).map_err(|error| error.to_string())
    }

    #[test]
    fn a_watch_that_looks_and_tells_is_well() {
        let mut state = State::default();
        assert_eq!(tell(&state, NOON, DAY), Ok("it has not looked yet".to_owned()));
        state.looked_at = Some(NOON);
        assert_eq!(
            tell(&state, NOON + 40, DAY),
            Ok("looked 40 s ago, no message waits".to_owned())
        );
    }

    #[test]
    fn a_watch_that_stopped_is_told_unless_the_host_has_just_started() {
        let state = State { looked_at: Some(NOON), ..State::default() };
        assert_eq!(tell(&state, NOON + 601, DAY), Err("no look for 10 min".to_owned()));
        assert!(tell(&state, NOON + DAY, 60).is_ok());
        assert!(told(&state, 3600, NOON + 3 * 3600, DAY).is_ok(), "it looks each hour");
    }

    #[test]
    fn a_channel_that_fails_is_named_with_what_waits() {
        let mut state = State { looked_at: Some(NOON), ..State::default() };
        state.queue.push(vec![Message::test("vm1", NOON)], &["notify[1]"], NOON);
        let error = Some("it answers 404".to_owned());
        let delivery = Delivery { channel: "notify[1]".to_owned(), taken: 0, error };
        state.queue.settle(&delivery, NOON);

        let told = tell(&state, NOON + 5, DAY).unwrap_err();

        assert_eq!(told, "notify[1]: it answers 404; looked 5 s ago, 1 message waits");
    }
}
