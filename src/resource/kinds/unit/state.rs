//! What systemd says of a unit, and whether it runs with what is on disk.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Host, Unit};

/// What systemd says of the unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Whether systemd knows it.
    pub(super) loaded: bool,
    /// `active`, `inactive`, `failed`, …
    pub(super) active: String,
    /// `enabled`, `disabled`, `static`, `masked`, …
    pub(super) enabled: String,
    /// This start of it, and the time of its last change (a reload is one), in µs since boot.
    pub(super) start: (String, u64),
    /// The digest of the inputs, and the start it was taken at, as noted by hwctl.
    #[serde(rename = "stamp")]
    pub(super) started_with: Option<StartedWith>,
    /// Whether its package would have started it, had hwctl not held it back.
    #[serde(default)]
    pub(super) held: bool,
}

/// What a unit was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StartedWith {
    pub(super) digest: String,
    pub(super) start: (String, u64),
}

impl UnitState {
    pub(super) fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "activating")
    }

    /// The same, for a state of before a run: what its package starts goes back to that.
    pub(in crate::resource) fn was_active(&self) -> bool {
        self.is_active() || self.held
    }

    pub(super) fn is_enabled(&self) -> bool {
        // Static, generated and alias units have no switch of their own.
        !matches!(self.enabled.as_str(), "" | "disabled" | "masked" | "masked-runtime" | "linked")
    }

    /// Why what runs is not what is on disk; `None` when it is.
    pub(super) fn stale(&self, unit: &Unit, host: &Host) -> Option<String> {
        if unit.inputs.is_empty() {
            return None;
        }
        let wanted = host.digest_of(&unit.inputs);
        let started_with = self.started_with();
        if wanted.is_some() && started_with.map(|found| &found.digest) == wanted.as_ref() {
            return None;
        }
        if let Some(changed) = host.first_changed(&unit.inputs) {
            return Some(format!("{changed} changes"));
        }
        let because = || "its configuration changed since it started".to_owned();
        (!self.has_read_all(unit, host)).then(because)
    }

    /// What hwctl has noted of the start that it runs since.
    fn started_with(&self) -> Option<&StartedWith> {
        self.started_with.as_ref().filter(|found| found.start == self.start)
    }

    /// Whether somebody else, or a boot, started it after the last change on disk: it has read what is
    /// there.
    fn has_read_all(&self, unit: &Unit, host: &Host) -> bool {
        let changed = host.last_change_of(&unit.inputs).zip(since_boot(self.start.1));
        self.started_with().is_none() && changed.is_some_and(|(changed, started)| changed < started)
    }

    /// What it was started with then.
    pub(super) fn started_by_others(&self, unit: &Unit, host: &Host) -> Option<StartedWith> {
        let is_meant = unit.active && self.is_active() && !unit.inputs.is_empty();
        let digest = (is_meant && self.has_read_all(unit, host))
            .then(|| host.digest_before(&unit.inputs))??;
        Some(StartedWith { digest, start: self.start.clone() })
    }
}

/// The wall clock's time at `micros` after boot.
fn since_boot(micros: u64) -> Option<SystemTime> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.try_into().ok()?, now.tv_nsec.try_into().ok()?);
    SystemTime::now().checked_sub(now.checked_sub(Duration::from_micros(micros))?)
}
