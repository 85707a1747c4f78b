//! Whether a line of a log reports a fault.

use crate::engine::driver::{Driver, Drivers};
use crate::spec::LogFormat;

/// How the faults of one log are told from its other lines.
#[derive(Clone, Debug)]
pub(super) enum Faults {
    /// Of answers of 500 or more in the combined format.
    Combined,
    /// Of warnings, errors and answers of 500 or more in JSON.
    Json,
    /// By its source alone.
    Plain,
    /// By a driver.
    Driver(&'static dyn Driver),
}

impl Faults {
    /// A format that only a driver can read is plain where this build lacks the driver.
    pub(super) fn of(format: &LogFormat, drivers: Drivers) -> Self {
        match format {
            LogFormat::Combined => Self::Combined,
            LogFormat::Json => Self::Json,
            LogFormat::Plain => Self::Plain,
            LogFormat::Driver(name) => drivers.find(name).map_or(Self::Plain, Self::Driver),
        }
    }

    /// Whether a line reports a fault, by its text.
    pub(super) fn has(&self, line: &str) -> bool {
        match self {
            Self::Combined => is_server_error(line),
            Self::Json => is_json_fault(line),
            Self::Plain => false,
            Self::Driver(driver) => driver.is_fault(line),
        }
    }
}

fn is_server_error(line: &str) -> bool {
    // The status comes after the quoted request, in which quotes are escaped.
    let rest = line.split_once("] \"").and_then(|(_, rest)| rest.split_once("\" "));
    rest.is_some_and(|(_, rest)| rest.starts_with('5'))
}

fn is_json_fault(line: &str) -> bool {
    let fields: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let is_bad = matches!(fields["level"].as_str(), Some("warn" | "error"));
    is_bad || fields["status"].as_u64().is_some_and(|status| status >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_500_or_more_is_a_fault() {
        let line = r#"192.0.2.1 - - [24/Nov/2026:05:06:16 +0100] "GET /a\x22] HTTP/1.1" 502 150 "-" "curl""#;
        assert!(Faults::Combined.has(line));
        assert!(!Faults::Combined.has(&line.replace("502", "404")));
    }

    #[test]
    fn json_tells_its_level_or_status() {
        let has = |line| Faults::Json.has(line);
        assert!(has(r#"{"time":"2026-11-24T04:06:16.123Z","level":"warn","message":"x"}"#));
        assert!(has(r#"{"level":"info","message":"request","status":503}"#));
        assert!(!has(r#"{"level":"info","message":"request","status":401}"#));
        assert!(!has("Started flask-app.service"));
    }

    #[test]
    fn a_format_without_its_driver_is_plain() {
        let format = LogFormat::Driver("of-a-newer-build".to_owned());
        assert!(!Faults::of(&format, Drivers(&[])).has("*** ERROR ***"));
    }
}
