//! How much a host does over the last minutes: rates made of counters, and lines of bars.

use std::collections::VecDeque;

use serde_json::{Value as Json, json};

use crate::event::{Measure, Sign, Vitals};

/// How many looks are remembered: two minutes, at two seconds each.
const REMEMBERED: usize = 60;
/// What a bar can be, from nothing to all.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The quantile that is shown of durations.
const QUANTILE: f64 = 0.99;

/// What was seen of a host, look by look.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    last: Option<Vitals>,
    /// The values of each sign, by its name in the order in which they came.
    values: Vec<(String, Unit, VecDeque<Option<f64>>)>,
}

/// What a value is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Times a second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// A share from 0 to 1.
    Share,
}

impl Trend {
    /// Takes in another look.
    pub fn add(&mut self, vitals: Vitals) {
        let last = self.last.as_ref();
        let seconds = last.and_then(|last| vitals.at_ms.checked_sub(last.at_ms));
        let seconds = seconds.filter(|elapsed| *elapsed > 0).map(as_seconds);
        let before = |name: &str| {
            let signs = &last?.signs;
            signs.iter().find(|sign| sign.name == name).map(|sign| &sign.measure)
        };
        let seen: Vec<_> = vitals
            .signs
            .iter()
            .map(|Sign { name, measure }| {
                let (unit, value) = value(measure, before(name), seconds);
                (name.clone(), unit, value)
            })
            .collect();
        // A sign that is missing this time leaves a gap.
        for (name, _, values) in &mut self.values {
            let value = seen.iter().find(|(seen, ..)| seen == name).and_then(|(.., value)| *value);
            push(values, value);
        }
        for (name, unit, value) in seen {
            if !self.values.iter().any(|(known, ..)| *known == name) {
                self.values.push((name, unit, VecDeque::from([value])));
            }
        }
        self.last = Some(vitals);
    }

    /// The names of the signs, in the order in which they came.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, ..)| name.as_str())
    }

    /// The latest value of a sign.
    #[must_use]
    pub fn now(&self, name: &str) -> Option<f64> {
        *self.values.iter().find(|(known, ..)| known == name)?.2.back()?
    }

    /// The latest value of a sign, as people read it; `-` where it is not known.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let unit = self.values.iter().find(|(known, ..)| known == name).map(|(_, unit, _)| *unit);
        let known = unit.zip(self.now(name));
        known.map_or_else(|| "-".to_owned(), |(unit, value)| shown(unit, value))
    }

    /// The last values of a sign as a line of bars, at most `width` of them.
    #[must_use]
    pub fn bars(&self, name: &str, width: usize) -> String {
        let Some((_, unit, values)) = self.values.iter().find(|(known, ..)| known == name) else {
            return String::new();
        };
        let skipped = values.len().saturating_sub(width);
        let most = match unit {
            Unit::Share => 1.0,
            Unit::PerSecond | Unit::Seconds => values.iter().flatten().copied().fold(0.0, f64::max),
        };
        values
            .iter()
            .skip(skipped)
            .map(|value| value.map_or(' ', |value| bar(value, most)))
            .collect()
    }

    /// A line for each sign: its name, its last values as bars, its latest value.
    #[must_use]
    pub fn lines(&self, width: usize) -> Vec<String> {
        let widest = self.values.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let room = width.saturating_sub(widest + 4 + 16).clamp(8, REMEMBERED);
        let line = |name: &String| {
            let bars = self.bars(name, room);
            format!("    {name:<widest$}  {bars:>room$}  {}", self.text(name))
        };
        self.values.iter().map(|(name, ..)| line(name)).collect()
    }

    /// The latest values for programs.
    #[must_use]
    pub fn document(&self) -> Json {
        let value = |(name, unit, values): &(String, Unit, VecDeque<Option<f64>>)| {
            let unit = match unit {
                Unit::PerSecond => "per_second",
                Unit::Seconds => "seconds",
                Unit::Share => "ratio",
            };
            let now = values.back().copied().flatten();
            (name.to_lowercase(), json!({ "value": now, "unit": unit }))
        };
        Json::Object(self.values.iter().map(value).collect())
    }
}

fn push(values: &mut VecDeque<Option<f64>>, value: Option<f64>) {
    if values.len() == REMEMBERED {
        values.pop_front();
    }
    values.push_back(value);
}

/// The value that a sign has now. Of counters there is none before the second look, nor after one was set back.
fn value(now: &Measure, before: Option<&Measure>, seconds: Option<f64>) -> (Unit, Option<f64>) {
    match (now, before) {
        (Measure::Count(now), Some(Measure::Count(before))) => {
            let grown = now.checked_sub(*before);
            (Unit::PerSecond, grown.zip(seconds).map(|(grown, seconds)| real(grown) / seconds))
        }
        (Measure::Count(_), _) => (Unit::PerSecond, None),
        (Measure::Busy { busy, all }, Some(Measure::Busy { busy: old, all: old_all })) => {
            let grown = busy.checked_sub(*old).zip(all.checked_sub(*old_all));
            (Unit::Share, grown.and_then(|(busy, all)| (all > 0).then(|| real(busy) / real(all))))
        }
        (Measure::Busy { .. }, _) => (Unit::Share, None),
        (Measure::Fill { used, all }, _) => {
            (Unit::Share, (*all > 0).then(|| real(*used) / real(*all)))
        }
        (Measure::Durations(now), Some(Measure::Durations(before))) => {
            (Unit::Seconds, quantile(now, before))
        }
        (Measure::Durations(_), _) => (Unit::Seconds, None),
    }
}

/// The time within which [`QUANTILE`] of what ended between two looks did, in seconds: within a bucket it is taken to grow
/// evenly, as Prometheus's `histogram_quantile` has it. None if nothing ended.
fn quantile(now: &[(u64, u64)], before: &[(u64, u64)]) -> Option<f64> {
    let old = |bound: u64| before.iter().find(|(known, _)| *known == bound).map_or(0, |(_, n)| *n);
    let grown: Option<Vec<(u64, u64)>> =
        now.iter().map(|(bound, count)| Some((*bound, count.checked_sub(old(*bound))?))).collect();
    let grown = grown?;
    let all = grown.last().map_or(0, |(_, count)| *count);
    if all == 0 {
        return None;
    }
    let wanted = QUANTILE * real(all);
    let at = grown.iter().position(|(_, count)| real(*count) >= wanted)?;
    let (below, counted) = if at == 0 { (0, 0) } else { grown[at - 1] };
    let (bound, count) = grown[at];
    if bound == u64::MAX {
        // Longer than the last bound: that is all that is known.
        return Some(real(below) / 1e6);
    }
    let share = (wanted - real(counted)) / real(count - counted).max(1.0);
    Some((real(below) + share * real(bound - below)) / 1e6)
}

fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::PerSecond if value >= 100.0 => format!("{value:.0}/s"),
        Unit::PerSecond => format!("{value:.1}/s"),
        Unit::Seconds if value >= 1.0 => format!("{value:.1} s"),
        Unit::Seconds => format!("{:.1} ms", value * 1000.0),
        Unit::Share => format!("{:.0} %", value * 100.0),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place from 0 to 7")]
fn bar(value: f64, most: f64) -> char {
    let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    BARS[(share * 7.0).round() as usize]
}

#[allow(clippy::cast_precision_loss, reason = "a number that people look at")]
fn real(number: u64) -> f64 {
    number as f64
}

fn as_seconds(milliseconds: u64) -> f64 {
    real(milliseconds) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_ms: u64, requests: u64, durations: &[(u64, u64)], busy: u64) -> Vitals {
        let signs = vec![
            Sign::new("requests", Measure::Count(requests)),
            Sign::new("p99", Measure::Durations(durations.to_vec())),
            Sign::new("CPU", Measure::Busy { busy, all: at_ms }),
            Sign::new("memory", Measure::Fill { used: 1, all: 4 }),
        ];
        Vitals { at_ms, signs }
    }

    #[test]
    fn rates_are_made_of_two_looks() {
        let mut trend = Trend::default();
        trend.add(look(10_000, 100, &[(1000, 50), (5000, 90), (u64::MAX, 90)], 1000));
        assert_eq!((trend.now("requests"), trend.now("memory")), (None, Some(0.25)));

        trend.add(look(12_000, 150, &[(1000, 50), (5000, 190), (u64::MAX, 190)], 2000));

        assert_eq!(trend.text("requests"), "25.0/s");
        assert_eq!(trend.text("p99"), "5.0 ms");
        assert_eq!((trend.text("CPU"), trend.text("memory")), ("50 %".into(), "25 %".into()));
        assert_eq!(trend.bars("memory", 8), "▃▃");
        assert_eq!(trend.bars("CPU", 8), " ▅");
        assert_eq!(trend.text("other"), "-");
        let document = trend.document();
        assert_eq!(document["requests"], json!({ "value": 25.0, "unit": "per_second" }));
    }

    #[test]
    fn a_counter_that_begins_anew_and_a_sign_that_is_missing_leave_gaps() {
        let mut trend = Trend::default();
        for (at, requests) in [(0, 10), (2000, 30), (4000, 5), (6000, 9)] {
            trend.add(look(at, requests, &[], 0));
        }
        trend.add(Vitals { at_ms: 8000, signs: Vec::new() });
        assert_eq!(trend.bars("requests", 8), " █ ▂ ");
    }

    #[test]
    fn only_the_last_minutes_are_remembered_and_lines_fit() {
        let mut trend = Trend::default();
        for at in 0..200 {
            trend.add(look(at * 2000, at * at, &[], at));
        }
        for line in trend.lines(80) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert_eq!(trend.bars("requests", 500).chars().count(), REMEMBERED);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let none = [(1000, 0), (5000, 0), (u64::MAX, 0)];
        assert_eq!(quantile(&none, &none), None);
        assert_eq!(quantile(&[(1000, 0), (5000, 100), (u64::MAX, 100)], &none), Some(0.00496));
        assert_eq!(quantile(&[(1000, 0), (5000, 10), (u64::MAX, 100)], &none), Some(0.005));
    }
}
