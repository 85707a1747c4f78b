//! When a line was written, and whether it tells of something that went wrong.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::resource::Host;

/// What Redis 7 says at each start and end in the voice of a warning.
const REDIS_STARTS: [&str; 6] = [
    "oO0OoO0OoO0Oo Redis is starting",
    "Redis version=",
    "Configuration loaded",
    "Server initialized",
    "User requested shutdown",
    "Redis is now ready to exit",
];
/// A line longer than this is cut.
pub(super) const MAX_LINE: usize = 16 << 10;

/// The host's time zone: nginx's error log and Redis write its time without naming it.
pub(super) struct Zone(TimeZone);

impl Zone {
    pub(super) fn of(host: &Host) -> Self {
        let bytes = std::fs::read(host.path(Path::new("/etc/localtime")));
        let zone = bytes.ok().and_then(|bytes| TimeZone::tzif("local", &bytes).ok());
        Self(zone.unwrap_or(TimeZone::UTC))
    }

    /// The time of a line of nginx's: `… [24/Nov/2026:04:06:16 +0000] …` in an access log,
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

/// What nginx logs as an error when it turns a client down as it is told to: answers below 500.
const REFUSALS: [&str; 5] = [
    " access forbidden by rule",
    " was not found in \"",
    ": password mismatch",
    " no user/password was provided for basic authentication",
    " limiting requests, excess:",
];

/// Whether a line of nginx's is of an error log and no refusal, or of an access log with an answer of 500 or more.
pub(super) fn nginx_error(line: &str) -> bool {
    if line.get(..19).is_some_and(|start| DateTime::strptime("%Y/%m/%d %H:%M:%S", start).is_ok()) {
        let is_quiet = [" [notice] ", " [info] "].iter().any(|level| line.contains(level));
        // What follows is the client's own: it could hide an error.
        let message = line.split_once(", client: ").map_or(line, |(message, _)| message);
        return !is_quiet && !REFUSALS.iter().any(|refusal| message.contains(refusal));
    }
    // After the quoted request; nginx escapes quotes within it.
    let status = line.split_once("] \"").and_then(|(_, rest)| rest.split_once("\" "));
    status.is_some_and(|(_, rest)| rest.starts_with('5'))
}

/// Whether a line of the API's, which is JSON, is a warning or an error, or tells of an answer of
/// 500 or more.
pub(super) fn api_error(line: &str) -> bool {
    let fields: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let is_bad = matches!(fields["level"].as_str(), Some("warn" | "error"));
    is_bad || fields["status"].as_u64().is_some_and(|status| status >= 500)
}

/// The time that a line of the API's tells.
pub(super) fn api_time(line: &str) -> Option<Timestamp> {
    let fields: serde_json::Value = serde_json::from_str(line).ok()?;
    fields["time"].as_str()?.parse().ok()
}

/// Whether a line of Redis's is a warning: `1:M 24 Nov 2026 04:06:16.123 # …`. What is none of
/// its own lines tells of a start that fails.
pub(super) fn redis_error(line: &str) -> bool {
    let mut fields = line.split(' ');
    let is_own = fields.next().is_some_and(|head| head.contains(':'));
    if !is_own {
        return line.contains("***");
    }
    let is_warning = fields.nth(4) == Some("#");
    is_warning && !REDIS_STARTS.iter().any(|usual| line.contains(&format!("# {usual}")))
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

    #[test]
    fn what_went_wrong_is_told_apart() {
        assert!(nginx_error(ACCESS) && nginx_error(ERROR));
        assert!(!nginx_error(&ACCESS.replace("502", "404")));
        assert!(!nginx_error("2026/11/24 04:06:16 [notice] 12#12: signal process started"));
        for refusal in [
            "access forbidden by rule, client: 192.0.2.1",
            "user \"x\": password mismatch, client: 192.0.2.1",
            "limiting requests, excess: 5.1 by zone \"login\", client: 192.0.2.1",
        ] {
            assert!(!nginx_error(&format!("2026/11/24 04:06:16 [error] 12#12: *1 {refusal}")));
        }
        assert!(api_error(r#"{"time":"2026-11-24T04:06:16.123Z","level":"warn","message":"x"}"#));
        assert!(api_error(r#"{"level":"info","message":"request","status":503}"#));
        assert!(!api_error(r#"{"level":"info","message":"request","status":401}"#));
        assert!(!api_error("Started flask-app.service"));
        assert!(redis_error("1:M 24 Nov 2026 04:06:16.123 # WARNING Memory overcommit"));
        assert!(!redis_error("1:M 24 Nov 2026 04:06:16.123 * Ready to accept connections"));
        assert!(!redis_error("1:M 24 Nov 2026 04:06:16.123 # Server initialized"));
        assert!(!redis_error("Redis 7.0"));
        assert!(redis_error("*** FATAL CONFIG FILE ERROR ***"));
    }
}
