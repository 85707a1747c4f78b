//! All hosts in a table, those in trouble first.

use super::health::HostHealth;
use super::safe_text::escape_line;
use super::text::Style;
use super::vitals::Trend;

/// The width of a column of values.
const COLUMN: usize = 8;
/// Fewer bars than this say nothing.
const NARROWEST: usize = 8;

/// The lines of the table. Below a host are the checks of it that fail.
#[must_use]
pub fn lines(style: Style, hosts: &[(&HostHealth, &Trend)]) -> Vec<String> {
    let mut sorted: Vec<_> = hosts.to_vec();
    sorted.sort_by(|one, other| {
        trouble(other).partial_cmp(&trouble(one)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let names = hosts.iter().map(|(health, _)| health.host.chars().count());
    let widest = names.max().unwrap_or(0).clamp(4, 24);
    let mut signs: Vec<&str> = Vec::new();
    for sign in hosts.iter().flat_map(|(_, trend)| trend.names()) {
        if !signs.contains(&sign) {
            signs.push(sign);
        }
    }
    let titles: Vec<_> = signs.iter().map(|sign| format!(" {sign:>COLUMN$}")).collect();
    let head = format!("  {:<widest$}{}", "host", titles.concat());
    let used = head.chars().count();
    let room = style.width.saturating_sub(used + 2).min(30);
    let mut lines = vec![style.paint(&head, "2")];
    for (health, trend) in sorted {
        let sign =
            if health.healthy { style.paint("✓", "32") } else { style.paint("✗", "31;1") };
        let name: String = escape_line(&health.host).chars().take(widest).collect();
        let value = |sign: &&str| format!(" {:>COLUMN$}", trend.text(sign));
        let values: Vec<_> = signs.iter().map(value).collect();
        let bars = if room >= NARROWEST { trend.bars("requests", room) } else { String::new() };
        let line = format!("{sign} {name:<widest$}{}  {bars}", values.concat());
        lines.push(line.trim_end().to_owned());
        for check in health.checks.iter().filter(|check| !check.ok) {
            let text = format!("{}: {}", escape_line(&check.name), escape_line(&check.detail));
            lines.push(format!("    {text}"));
        }
    }
    lines
}

/// How much a host is in trouble: checks that fail, errors, how busy it is.
fn trouble((health, trend): &(&HostHealth, &Trend)) -> (usize, f64, f64) {
    let failing = health.checks.iter().filter(|check| !check.ok).count();
    let of = |name| trend.now(name).unwrap_or_default();
    (failing, of("errors"), of("CPU"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Check, Measure, Sign, Vitals};

    fn trend(requests: u64, errors: u64) -> Trend {
        let mut trend = Trend::default();
        for (at_ms, requests, errors) in [(0, 0, 0), (2000, requests, errors)] {
            let signs = vec![
                Sign::new("requests", Measure::Count(requests)),
                Sign::new("errors", Measure::Count(errors)),
            ];
            trend.add(Vitals { at_ms, signs });
        }
        trend
    }

    #[test]
    fn who_is_in_trouble_comes_first() {
        let check = |ok| Check { name: "disk".to_owned(), ok, detail: "full".to_owned() };
        let host = |name: &str, ok| HostHealth::new(name, vec![check(ok)]);
        let (calm, busy, broken) = (host("calm", true), host("busy", true), host("broken", false));
        let (little, much) = (trend(20, 0), trend(2000, 4));

        let lines = lines(Style::PLAIN, &[(&calm, &little), (&busy, &much), (&broken, &little)]);

        insta::assert_snapshot!(lines.join("\n"), @"
          host   requests   errors
        ✗ broken   10.0/s    0.0/s   █
            disk: full
        ✓ busy     1000/s    2.0/s   █
        ✓ calm     10.0/s    0.0/s   █
        ");
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }
}
