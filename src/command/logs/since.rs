//! A point in time as the operator names it: so long ago, or a date in the operator's own time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::failure::Failure;

/// `10m`, `2h`, `2026-11-24`, `2026-11-24 04:06`, or a time of RFC 3339; in seconds since 1970.
pub(in crate::command) fn parse(text: &str) -> Result<i64, Failure> {
    let zone = std::fs::read("/etc/localtime").ok();
    let zone = zone.and_then(|bytes| TimeZone::tzif("local", &bytes).ok());
    let time = read(text.trim(), Timestamp::now(), &zone.unwrap_or(TimeZone::UTC));
    time.map(Timestamp::as_second).ok_or_else(|| {
        Failure::usage(format!("`{text}` is not a time"))
            .not_done("no host was contacted")
            .hint("write 45s, 10m, 2h, 3d, 2026-11-24 or '2026-11-24 04:06'")
    })
}

fn read(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let unit = text.chars().next_back().and_then(|unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86400),
        _ => None,
    });
    if let Some(seconds) = unit {
        let number: u32 = text[..text.len() - 1].parse().ok()?;
        return now.checked_sub(SignedDuration::from_secs(i64::from(number) * seconds)).ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let local = text.parse::<DateTime>().ok().or_else(|| {
        // Hours and minutes alone.
        DateTime::strptime("%Y-%m-%d %H:%M", text.replacen('T', " ", 1)).ok()
    })?;
    zone.to_timestamp(local).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_so_long_ago_or_dates() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let told = |text| read(text, now, &zone).map(|time| time.to_string());
        for (text, expected) in [
            ("45s", "2026-11-24T11:59:15Z"),
            ("10m", "2026-11-24T11:50:00Z"),
            ("2h", "2026-11-24T10:00:00Z"),
            ("3d", "2026-11-21T12:00:00Z"),
            ("2026-11-24", "2026-11-23T23:00:00Z"),
            ("2026-11-24 04:06", "2026-11-24T03:06:00Z"),
            ("2026-11-24T04:06", "2026-11-24T03:06:00Z"),
            ("2026-11-24 04:06:07", "2026-11-24T03:06:07Z"),
            ("2026-11-24T04:06:07Z", "2026-11-24T04:06:07Z"),
        ] {
            assert_eq!(told(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in ["", "m", "10", "-5m", "yesterday", "10 m", "1w", "99999999999d", "é"] {
            assert_eq!(told(wrong), None, "{wrong}");
        }
    }
}
