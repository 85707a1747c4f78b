//! What only shows from one look to the next: a disk that fills, a service that is started again and again, an update
//! that waits.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::message::duration;

/// How often the space of a disk is noted, and for how long that counts.
const SAMPLE_S: i64 = 600;
const DISK_WINDOW_S: i64 = 6 * 3600;
/// Over a shorter time than this, a copy that runs looks like a disk that fills.
const MIN_SPAN_S: i64 = 3 * 3600;
/// A service that is started again this often within this time does not stay up.
const LOOP_STARTS: u64 = 3;
const LOOP_WINDOW_S: i64 = 1800;
/// One that was not started again for this long stays up.
const LOOP_CALM_S: i64 = 600;
/// How many updates a message names.
const NAMED: usize = 10;
const DAY_S: i64 = 86_400;

/// What was noted at earlier looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Samples {
    disks: BTreeMap<String, Vec<Amount>>,
    starts: BTreeMap<String, Starts>,
    /// What the list of updates was read from.
    updates_from: String,
    /// Updates by their package: the version, and since when it is known to wait.
    updates: BTreeMap<String, (String, i64)>,
}

/// What was free on a disk at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// When.
    pub at: i64,
    /// Bytes that could be written.
    pub bytes: u64,
    /// Files that could be made. None where their number has no limit.
    pub inodes: Option<u64>,
}

/// How often a unit or a container was started again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Starts {
    /// What systemd or Docker counted last.
    count: u64,
    /// By how much the count had grown at some looks.
    grown: Vec<(i64, u64)>,
}

impl Samples {
    /// Notes what is free on the disks, by their mount points.
    pub fn note_disks(&mut self, disks: Vec<(String, Amount)>) {
        self.disks.retain(|mount, _| disks.iter().any(|(known, _)| known == mount));
        for (mount, amount) in disks {
            let samples = self.disks.entry(mount).or_default();
            // The last one is replaced until its time is over, so that it is always the newest.
            let before_last = samples.len().checked_sub(2).and_then(|at| samples.get(at));
            if before_last.is_some_and(|before| amount.at - before.at < SAMPLE_S) {
                samples.pop();
            }
            samples.push(amount);
            // What comes from a clock that was ahead is of no use.
            samples.retain(|old| (0..=DISK_WINDOW_S).contains(&(amount.at - old.at)));
        }
    }

    /// Notes how often units and containers were started again since they were started.
    pub fn note_restarts(&mut self, counts: &BTreeMap<String, u64>, now: i64) {
        self.starts.retain(|name, _| counts.contains_key(name));
        for (name, count) in counts {
            let new = Starts { count: *count, grown: Vec::new() };
            let starts = self.starts.entry(name.clone()).or_insert(new);
            match count.cmp(&starts.count) {
                Ordering::Greater => starts.grown.push((now, count - starts.count)),
                Ordering::Equal => {}
                // The count begins anew where somebody has started it.
                Ordering::Less => {
                    starts.grown = Vec::from_iter((*count > 0).then_some((now, *count)));
                }
            }
            starts.count = *count;
            starts.grown.retain(|(at, _)| (0..LOOP_WINDOW_S).contains(&(now - at)));
        }
    }

    /// Whether the updates have to be read anew: what they were read from is another version.
    #[must_use]
    pub fn lacks_updates(&self, version: &str) -> bool {
        self.updates_from != version
    }

    /// Notes the security updates that wait. A newer version of one waits since the first was seen.
    pub fn note_updates(&mut self, version: String, pending: BTreeMap<String, String>, now: i64) {
        let known = std::mem::take(&mut self.updates);
        let since = |name: &str| known.get(name).map_or(now, |(_, since)| (*since).min(now));
        let all = pending.into_iter().map(|(name, version)| {
            let since = since(&name);
            (name, (version, since))
        });
        self.updates = all.collect();
        self.updates_from = version;
    }

    /// What is wrong, as far as it shows over time. A fault that `is_open` has to be further from its limit to end.
    #[must_use]
    pub fn faults(
        &self,
        (disk_hours, update_days): (u16, u16),
        now: i64,
        is_open: impl Fn(&str) -> bool,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (mount, samples) in &self.disks {
            let bytes = samples.iter().map(|amount| (amount.at, Some(amount.bytes)));
            let inodes = samples.iter().map(|amount| (amount.at, amount.inodes));
            for (what, left) in [("space", time_left(bytes)), ("inodes", time_left(inodes))] {
                let id = format!("disk-fills/{mount}/{what}");
                let limit = i64::from(disk_hours) * 3600;
                let limit = if is_open(&id) { limit + limit / 2 } else { limit };
                if let Some(left) = left.filter(|left| *left < limit) {
                    faults.push(disk_fills(id, mount, what, left));
                }
            }
        }
        faults.extend(self.updates_fault(update_days, now));
        let loops = self.starts.iter().filter_map(|(name, starts)| loop_fault(name, starts, now));
        faults.extend(loops);
        faults
    }

    fn updates_fault(&self, days: u16, now: i64) -> Option<Fault> {
        let limit = i64::from(days) * DAY_S;
        let is_late = |(_, (_, since)): &(&String, &(String, i64))| now - since >= limit;
        let late: Vec<_> = self.updates.iter().filter(|_| days > 0).filter(is_late).collect();
        if late.is_empty() {
            return None;
        }
        let count = match late.len() {
            1 => "1 security update waits".to_owned(),
            all => format!("{all} security updates wait"),
        };
        let mut details: Vec<_> = late
            .iter()
            .take(NAMED)
            .map(|(name, (version, since))| {
                format!("{name} {version} for {}", duration(now - since))
            })
            .collect();
        if late.len() > NAMED {
            details.push(format!("and {} more", late.len() - NAMED));
        }
        Some(Fault {
            id: "security-updates".to_owned(),
            summary: format!("{count} for more than {days} days"),
            details,
            next: "`apt-get upgrade` on the host installs them; the package `unattended-upgrades` would do so by itself".to_owned(),
            is_symptom: false,
            began: None,
        })
    }
}

fn disk_fills(id: String, mount: &str, what: &str, left: i64) -> Fault {
    Fault {
        id,
        summary: format!("`{mount}` fills: it has no {what} left in about {}", duration(left)),
        details: vec!["as fast as it has filled within the last hours".to_owned()],
        next: format!(
            "on the host: `sudo du -xh --max-depth=2 {mount} | sort -h | tail` says what fills it"
        ),
        is_symptom: false,
        began: None,
    }
}

fn loop_fault(name: &str, starts: &Starts, now: i64) -> Option<Fault> {
    let last = starts.grown.last().map(|(at, _)| *at)?;
    if now - last >= LOOP_CALM_S {
        return None;
    }
    let count: u64 = starts.grown.iter().map(|(_, grown)| grown).sum();
    let log = match name.contains('.') {
        true => format!("`journalctl -u {name}` on the host says why it ends"),
        false => format!("`docker logs --tail 50 {name}` on the host says why it ends"),
    };
    (count >= LOOP_STARTS).then(|| Fault {
        id: format!("restarts/{name}"),
        summary: format!(
            "`{name}` does not stay up: it was started again {count} times within {}",
            duration(LOOP_WINDOW_S)
        ),
        details: Vec::new(),
        next: log,
        // Whatever ends it may be known as a cause.
        is_symptom: true,
        began: None,
    })
}

/// In how many seconds nothing is left, if it goes on as in the whole time and as in its second half, whichever is
/// slower: one copy of something large is no trend. None where it does not fill.
fn time_left(samples: impl Iterator<Item = (i64, Option<u64>)>) -> Option<i64> {
    let samples: Vec<(i64, u64)> = samples.filter_map(|(at, free)| Some((at, free?))).collect();
    let (first, last) = (*samples.first()?, *samples.last()?);
    let (span, free) = (last.0 - first.0, last.1);
    if span < MIN_SPAN_S {
        return None;
    }
    let middle = *samples.iter().rev().find(|(at, _)| last.0 - at >= span / 2)?;
    let rate = |from: (i64, u64)| {
        let gone = from.1.checked_sub(free).filter(|gone| *gone > 0)?;
        Some(gone as f64 / (last.0 - from.0) as f64)
    };
    let rate = rate(first)?.min(rate(middle)?);
    #[expect(clippy::cast_possible_truncation, reason = "a rate so small has no time that counts")]
    Some((free as f64 / rate) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_000_000;
    const HOUR: i64 = 3600;
    const GB: u64 = 1_000_000_000;

    /// Looks at a disk each minute for some hours. `free` has the gigabytes after so many hours.
    fn filled(hours: i64, free: impl Fn(f64) -> f64) -> (Samples, i64) {
        let mut samples = Samples::default();
        for minute in 0..=hours * 60 {
            let free = free(minute as f64 / 60.0).max(0.0) * 1e9;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "of a test"
            )]
            let amount = Amount { at: NOON + minute * 60, bytes: free as u64, inodes: None };
            samples.note_disks(vec![("/var".to_owned(), amount)]);
        }
        (samples, NOON + hours * HOUR)
    }

    fn ids(samples: &Samples, now: i64) -> Vec<String> {
        samples.faults((24, 7), now, |_| false).into_iter().map(|fault| fault.id).collect()
    }

    #[test]
    fn a_disk_that_fills_within_a_day_is_told_with_the_time_left() {
        let (samples, now) = filled(4, |hours| 20.0 - hours);
        let faults = samples.faults((24, 7), now, |_| false);
        assert_eq!(faults[0].summary, "`/var` fills: it has no space left in about 16 h 0 min");
        assert_eq!(ids(&samples, now), ["disk-fills//var/space"]);

        let (slow, now) = filled(6, |hours| 100.0 - hours);
        assert!(ids(&slow, now).is_empty(), "94 hours are left");
        let (soon, now) = filled(2, |hours| 10.0 - hours);
        assert!(ids(&soon, now).is_empty(), "two hours show no trend");
        let (off, now) = filled(4, |hours| 20.0 - hours);
        assert!(off.faults((0, 7), now, |_| false).is_empty(), "nobody wants to know");
    }

    #[test]
    fn one_large_copy_is_no_trend() {
        let (early, now) = filled(6, |hours| if hours < 1.0 { 30.0 - hours * 10.0 } else { 20.0 });
        assert!(ids(&early, now).is_empty());
        let (cleaned, now) = filled(6, |hours| if hours < 5.0 { 20.0 - hours * 2.0 } else { 30.0 });
        assert!(ids(&cleaned, now).is_empty());
        let (steady, now) = filled(6, |_| 1.0);
        assert!(ids(&steady, now).is_empty());
    }

    #[test]
    fn a_fault_ends_only_well_beyond_its_limit() {
        let (samples, now) = filled(6, |hours| 36.0 - hours);
        let faults = |open: bool| samples.faults((24, 7), now, |_| open).len();
        assert_eq!((faults(false), faults(true)), (0, 1), "30 hours are left");
    }

    #[test]
    fn inodes_run_out_too() {
        let mut samples = Samples::default();
        for step in 0..=24 {
            let inodes = Some(100_000 - 3_000 * u64::try_from(step).unwrap());
            let amount = Amount { at: NOON + step * SAMPLE_S, bytes: 50 * GB, inodes };
            samples.note_disks(vec![("/".to_owned(), amount)]);
        }
        assert_eq!(ids(&samples, NOON + 4 * HOUR), ["disk-fills///inodes"]);
    }

    #[test]
    fn what_is_noted_of_disks_is_bounded() {
        let (samples, _) = filled(48, |_| 1.0);
        let (noted, most) = (samples.disks["/var"].len(), 2 * DISK_WINDOW_S / SAMPLE_S);
        assert!(i64::try_from(noted).unwrap() <= most, "{noted} are more than {most}");
        let mut gone = samples;
        gone.note_disks(Vec::new());
        assert!(gone.disks.is_empty());
    }

    #[test]
    fn a_service_that_is_started_again_and_again_does_not_stay_up() {
        let mut samples = Samples::default();
        let mut note = |count: u64, minute: i64| {
            let counts = BTreeMap::from([("app.service".to_owned(), count)]);
            samples.note_restarts(&counts, NOON + minute * 60);
            ids(&samples, NOON + minute * 60)
        };
        assert!(note(7, 0).is_empty(), "that was before anybody looked");
        assert!(note(8, 5).is_empty());
        assert!(note(9, 10).is_empty());
        assert_eq!(note(10, 15), ["restarts/app.service"]);
        assert_eq!(note(10, 24), ["restarts/app.service"]);
        assert!(note(10, 25).is_empty(), "it has stayed up for ten minutes");
        assert_eq!(note(11, 26), ["restarts/app.service"]);
        assert!(note(0, 27).is_empty(), "somebody has started it");
        assert_eq!(note(3, 28), ["restarts/app.service"], "and it ended again");
        let mut slow = Samples::default();
        for (count, minute) in [(0, 0), (1, 15), (2, 30), (3, 46)] {
            let counts = BTreeMap::from([("app.service".to_owned(), count)]);
            slow.note_restarts(&counts, NOON + minute * 60);
            assert!(ids(&slow, NOON + minute * 60).is_empty(), "not within half an hour");
        }
    }

    #[test]
    fn an_update_that_waits_for_long_is_told() {
        let mut samples = Samples::default();
        assert!(samples.lacks_updates("1"));
        let pending = |version: &str| BTreeMap::from([("openssl".to_owned(), version.to_owned())]);
        samples.note_updates("1".to_owned(), pending("3.1"), NOON);
        assert!(!samples.lacks_updates("1"));
        assert!(ids(&samples, NOON + 7 * DAY_S - 1).is_empty());
        samples.note_updates("2".to_owned(), pending("3.2"), NOON + 6 * DAY_S);

        let faults = samples.faults((24, 7), NOON + 7 * DAY_S, |_| false);

        assert_eq!(faults[0].summary, "1 security update waits for more than 7 days");
        assert_eq!(faults[0].details, ["openssl 3.2 for 7 d 0 h"]);
        assert!(samples.faults((24, 0), NOON + 70 * DAY_S, |_| false).is_empty());
        samples.note_updates("3".to_owned(), BTreeMap::new(), NOON + 8 * DAY_S);
        assert!(ids(&samples, NOON + 70 * DAY_S).is_empty());
    }
}
