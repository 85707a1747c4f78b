//! A clock that is wrong makes certificates and tokens invalid that are not.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Finding;

/// What a request may take on its way, and clocks may differ.
const TOLERATED_MS: i64 = 10_000;

pub(super) fn examine(operator_ms: i64) -> Option<Finding> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    compare(i64::try_from(now.as_millis()).ok()?, operator_ms)
}

fn compare(host_ms: i64, operator_ms: i64) -> Option<Finding> {
    let ahead = host_ms.saturating_sub(operator_ms);
    if ahead.saturating_abs() <= TOLERATED_MS {
        return None;
    }
    let seconds = ahead.unsigned_abs() / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let distance = match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} days {hours} h"),
    };
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let time = |ms: i64| {
        let time = jiff::Timestamp::from_millisecond(ms);
        time.map_or_else(|_| ms.to_string(), |time| time.strftime("%F %T UTC").to_string())
    };
    Some(
        Finding::new("clock", format!("the host's clock is {distance} {direction} this machine's"))
            .evidence([format!("host {}, here {}", time(host_ms), time(operator_ms))])
            .next(
                "see `timedatectl` on both; `sudo timedatectl set-ntp true` on the one that is \
                 wrong",
            ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let now = 1_800_000_000_000;
        assert!(compare(now, now + 9_000).is_none());
        let behind = compare(now - 3_700_000, now).unwrap().what;
        assert_eq!(behind, "the host's clock is 1 h 1 min behind this machine's");
        let ahead = compare(now + 86_400_000 * 400, now).unwrap().what;
        assert!(ahead.contains("400 days 0 h ahead"), "{ahead}");
        assert!(compare(i64::MIN, i64::MAX).is_some());
    }
}
