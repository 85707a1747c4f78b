//! When a line was written, and its text in bounds.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::resource::Host;

/// A line longer than this is cut.
pub(super) const MAX_LINE: usize = 16 << 10;

/// The host's time zone: nginx's error log writes its time without naming it.
pub(super) struct Zone(TimeZone);

impl Zone {
    pub(super) fn of(host: &Host) -> Self {
        let bytes = std::fs::read(host.path(Path::new("/etc/localtime")));
        let zone = bytes.ok().and_then(|bytes| TimeZone::tzif("local", &bytes).ok());
        Self(zone.unwrap_or(TimeZone::UTC))
    }

    /// The time of a line in a web server's file: `… [24/Nov/2026:04:06:16 +0000] …` in an access log,
    /// `2026/11/24 04:06:16 [error] …` in an error log.
    pub(super) fn time(&self, line: &str) -> Option<Timestamp> {
        if let Some(start) = line.get(..19)
            && let Ok(local) = DateTime::strptime("%Y/%m/%d %H:%M:%S", start)
        {
            return self.0.to_timestamp(local).ok();
        }
        let (text, _) = line.split_once('[')?.1.split_once(']')?;
        Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok()
    }
}

/// As RFC 3339 has it, so that texts sort by time.
pub(super) fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The same, of seconds since 1970.
pub(super) fn text_of(seconds: i64) -> String {
    text(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The time in the field `time` of a line that is a JSON object.
pub(super) fn json_time(line: &str) -> Option<Timestamp> {
    let fields: serde_json::Value = serde_json::from_str(line).ok()?;
    fields["time"].as_str()?.parse().ok()
}

/// Without its end, and not without end.
pub(super) fn tidy(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(MAX_LINE)];
    String::from_utf8_lossy(cut).trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: &str =
        r#"192.0.2.1 - - [24/Nov/2026:05:06:16 +0100] "GET /a\x22] HTTP/1.1" 502 150 "-" "curl""#;
    const ERROR: &str = "2026/11/24 04:06:16 [error] 12#12: *1 connect() failed (111: Connection refused), \
         client: 192.0.2.1, request: \"GET / access forbidden by rule\"";

    #[test]
    fn nginx_writes_its_time_in_two_ways() {
        let zone = |zone| Zone(zone);
        let utc = zone(TimeZone::UTC);
        let told = |zone: &Zone, line| zone.time(line).map(text);
        let expected = Some("2026-11-24T04:06:16.000000Z".to_owned());
        assert_eq!(told(&utc, ACCESS), expected);
        assert_eq!(told(&utc, ERROR), expected);
        let east = zone(TimeZone::fixed(jiff::tz::offset(3)));
        assert_eq!(told(&east, ERROR), Some("2026-11-24T01:06:16.000000Z".to_owned()));
        assert_eq!(told(&utc, "  the rest of a message [1]"), None);
    }
}
