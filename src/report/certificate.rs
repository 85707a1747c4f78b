//! A certificate in five lines of at most 80 columns.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::event::{CertificateInfo, Served};

/// What it says, and whether it is what is served.
pub(super) fn text(info: &CertificateInfo, served: &Served) -> String {
    let left = (info.until - Timestamp::now().as_second()).div_euclid(24 * 3600);
    let left = match left {
        ..0 => "expired".to_owned(),
        days => format!("{days} days left"),
    };
    let mut text = format!("certificate {}", info.path.display());
    let mut line = |label: &str, value: &str| {
        let _ = write!(text, "\n  {label:<8} {value}");
    };
    line("names", &info.names.join(", "));
    line("valid", &format!("{} to {} UTC, {left}", time(info.from), time(info.until)));
    line("SHA-256", &info.sha256);
    line("key", if info.key_matches { "matches" } else { "belongs to another certificate" });
    match served {
        Served::This => line("served", "this certificate"),
        Served::Other { sha256 } => {
            line("served", &format!("another certificate\n           {sha256}"));
        }
        Served::NotLookedAt { why } => line("served", &format!("not looked at: {why}")),
        Served::Nothing { why } => line("served", &format!("nothing: {why}")),
    }
    text
}

fn time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds);
    time.map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}
