//! What happened, typed: the contract between those who work and those who report.
//!
//! `--json` prints each event as one line; nothing here is text made for a screen.

mod finding;
mod planned;
mod run;
#[cfg(test)]
mod schema_tests;
mod vitals;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::failure::{Exit, Failure};
pub use crate::resource::{Action, CertificateInfo, Change, Detail, Facts, Id};
pub(crate) use crate::resource::{decode, encode};
pub use finding::{Finding, Fix};
pub use planned::{Differing, Planned};
pub use run::{Changed, Run, RunOutcome};
pub use vitals::{Measure, Sign, Vitals};

/// One thing that happened on one host, or to the whole run when `host` is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Event {
    /// The host's name in the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The first event: who speaks.
    Version {
        /// hwctl's version.
        version: String,
    },
    /// Something that the operator should know and that stops nothing.
    Warning {
        /// In one line.
        message: String,
    },
    /// A step before or between the changes, such as `connecting`.
    Step {
        /// In a few words, as a present participle.
        message: String,
        /// How far it is, 0 to 1, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fraction: Option<f32>,
    },
    /// How something was done, such as the command of ssh; told with `--verbose` alone.
    Trace {
        /// In one line.
        message: String,
    },
    /// A program asks the operator on the terminal: nothing may be drawn until the next step.
    Asking,
    /// What has to change, in order.
    Plan {
        /// The changes.
        changes: Vec<Planned>,
    },
    /// All hosts are planned.
    PlanDigest {
        /// What the plans of all hosts are known by; `hwctl provision --expect` takes it.
        digest: String,
        /// The file that the plans were written to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<PathBuf>,
    },
    /// The plan is not the one that was reviewed, so that nothing is changed. Without any change below, the
    /// same changes come in another order.
    PlanDiffers {
        /// Changes that were not in the reviewed plan.
        came: Vec<Planned>,
        /// Changes that were in the reviewed plan alone.
        went: Vec<Planned>,
        /// Changes that are in both plans and differ.
        differ: Vec<Differing>,
    },
    /// Something stays that the plan might be thought to take away.
    Kept {
        /// The resource.
        id: Id,
        /// Why it stays.
        because: String,
    },
    /// The run has begun and has this name in the host's journal.
    RunBegan {
        /// The run.
        run: String,
    },
    /// What the host's journal has, newest first.
    History {
        /// The runs.
        runs: Vec<Run>,
    },
    /// What a host's certificate says of itself.
    Certificate {
        /// The certificate.
        certificate: CertificateInfo,
        /// What is served.
        served: Served,
    },
    /// What is wrong with the host, the cause first; empty when no fault is found.
    Diagnosis {
        /// The findings.
        findings: Vec<Finding>,
    },
    /// What a host is.
    Facts {
        /// The facts.
        facts: Facts,
    },
    /// A file of the stack as it would be.
    Rendered {
        /// Its path on the host.
        path: PathBuf,
        /// What it holds, with secrets replaced by their names; none for bytes that are not shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// A change begins.
    ChangeStarted {
        /// Its place in the plan, from 0.
        index: usize,
        /// The resource.
        id: Id,
    },
    /// A change goes on.
    ChangeProgress {
        /// Its place in the plan, from 0.
        index: usize,
        /// How far it is, 0 to 1, where that is known.
        fraction: Option<f32>,
        /// What it does now.
        message: String,
    },
    /// A change is done.
    ChangeDone {
        /// Its place in the plan, from 0.
        index: usize,
        /// The resource.
        id: Id,
        /// Milliseconds.
        elapsed_ms: u64,
    },
    /// Something was looked at from outside, as a client would.
    Check {
        /// What was looked at, such as `https://203.0.113.7/open/`.
        name: String,
        /// Whether it was as it should be.
        ok: bool,
        /// What was seen.
        detail: String,
    },
    /// A change was taken back.
    ChangeUndone {
        /// The resource.
        id: Id,
    },
    /// The run failed on this host.
    Failed {
        /// Why.
        #[serde(flatten)]
        failure: Failure,
    },
    /// The work on this host is over.
    Done(HostSummary),
    /// The last event.
    Summary {
        /// One entry a host, in inventory order.
        hosts: Vec<HostSummary>,
    },
    /// The health of the host, or what a client sees of it.
    Health {
        /// All that was looked at.
        checks: Vec<Check>,
    },
    /// A line of one of the host's logs.
    Log(LogLine),
    /// A line that a command on the host printed.
    Output {
        /// Whether it was printed to standard error.
        is_error: bool,
        /// The line, without its end.
        text: String,
    },
    /// A command on the host has ended.
    Exited {
        /// Its exit code; none when a signal ended it.
        code: Option<i32>,
    },
    /// Redis's data was saved to a file of the operator.
    BackedUp {
        /// The file.
        file: String,
        /// What is in it.
        data: Data,
    },
    /// Redis's data was taken from a file of the operator, and counted there.
    Restored {
        /// The file.
        file: String,
        /// What was in it.
        data: Data,
    },
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// What it is, such as `nginx.service` or `https://203.0.113.7/open/`.
    pub name: String,
    /// Whether it was as it should be.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

impl Check {
    /// What was seen, or why it is not as it should be.
    pub fn of(name: impl Into<String>, seen: anyhow::Result<String>) -> Self {
        let (ok, detail) = match seen {
            Ok(detail) => (true, detail),
            Err(error) => (false, format!("{error:#}")),
        };
        Self { name: name.into(), ok, detail }
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogLine {
    /// When it was written, as RFC 3339 has it, in UTC with six digits: as text it sorts by time.
    pub time: String,
    /// Of which log: a site's name, `flask`, `nginx`, `api` or `redis`.
    pub log: String,
    /// Whether it reports something that went wrong.
    pub is_error: bool,
    /// The line as it was written.
    pub text: String,
}

/// What a copy of a part's data holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Data {
    /// How many there are of each thing that the part's driver counts, by the plural of its name, such as `keys`.
    #[serde(flatten)]
    pub counts: BTreeMap<String, u64>,
    /// The size of the copy.
    pub bytes: u64,
}

impl Data {
    /// A copy of so many bytes with these counts.
    pub fn new<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>, bytes: u64) -> Self {
        let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count));
        Self { counts: counts.collect(), bytes }
    }
}

/// The certificate that a client gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Served {
    /// This one.
    This,
    /// Another one.
    Other {
        /// SHA-256 of it (DER), in hex.
        sha256: String,
    },
    /// None.
    Nothing {
        /// Why.
        why: String,
    },
    /// It is unknown, since the operator's machine is not let through to the host's port.
    NotLookedAt {
        /// What is in the way.
        why: String,
    },
}

/// How the work on one host ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostSummary {
    /// The host's name in the inventory.
    pub host: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Number of changes that were made and stay, or that `plan` found. What was taken back does not count.
    pub changes: usize,
    /// Milliseconds.
    pub elapsed_ms: u64,
    /// Where the host serves, when it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// How the work on one host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing had to change.
    Unchanged,
    /// Changes were made; after `plan`: would be made.
    Changed,
    /// A service was restarted and is healthy.
    Restarted,
    /// It was asked something and has answered.
    Answered,
    /// It failed.
    Failed,
    /// It failed and what it had done was taken back.
    Undone,
    /// The host could not be reached.
    Unreachable,
    /// Its plan, or that of another host, is not the one that was reviewed.
    Refused,
    /// The operator stopped it.
    Interrupted,
    /// It was not begun, since too many others failed.
    Skipped,
}

/// Takes events as they happen.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

impl Event {
    /// An event of the whole run.
    #[must_use]
    pub fn of_run(what: EventKind) -> Self {
        Self { host: None, what }
    }

    /// An event on one host.
    pub fn on(host: impl Into<String>, what: EventKind) -> Self {
        Self { host: Some(host.into()), what }
    }
}
