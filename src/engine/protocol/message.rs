//! What the operator's side asks, and what the engine answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::client::{Expected, Pins};
use crate::event::{Check, Data, EventKind, Finding, LogLine, Planned, Run, Vitals};
use crate::failure::Failure;
use crate::resource::{Blob, CertificateInfo, Declared, Exposure, Facts, FolderDigest, Id, Secret};
use crate::spec::{Endpoint, Log, LogSource, PartSpec, Restart, Scope};

/// What the operator's side asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Read and compare; answered by [`Reply::Plan`].
    Plan(PlanRequest),
    /// A chunk of a blob that the plan wants; not answered.
    Chunk {
        /// The blob's key.
        key: String,
        /// The next bytes of it.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        /// Whether they are the last.
        last: bool,
    },
    /// Carry the plan out; answered by events, then [`Reply::Applied`] or [`Reply::Failed`].
    Apply {
        /// Of the plan that was shown.
        fingerprint: String,
    },
    /// Tell what the journal has; answered by [`Reply::History`].
    History,
    /// The run is good; answered by [`Reply::Closed`].
    Keep,
    /// The run failed, and the host stays as it is for a look; answered by [`Reply::Closed`].
    Leave {
        /// Why, for the journal.
        why: String,
    },
    /// Take the run back; answered by events, then [`Reply::Undone`].
    Undo {
        /// Why, for the journal.
        why: String,
    },
    /// The operator's side is still there; sent every [`super::HEARTBEAT`], not answered.
    Alive,
    /// End after the change in hand; needs no turn and has no answer of its own.
    Stop,
    /// A new login does not work since the last change: take it back. Needs no turn and has no
    /// answer of its own.
    LockedOut {
        /// What ssh says.
        why: String,
    },
    /// Restart something of a part; answered by [`Reply::Restarted`] once it says that it is ready.
    Restart(RestartRequest),
    /// Take parts out of service or back; answered by [`Reply::Switched`].
    Switch(SwitchRequest),
    /// Give a host behind a balancer no more work, or give it some again; answered by [`Reply::Turned`].
    Turn(TurnRequest),
    /// The last lines of a log; answered by [`Reply::Lines`].
    Tail {
        /// The log.
        source: LogSource,
        /// At most so many.
        lines: usize,
    },
    /// How the host is; answered by [`Reply::Status`].
    Status {
        /// The parts to look at where the host has kept no specs of its own.
        parts: Vec<PartSpec>,
        /// What the host should be: how far it is from that is told too.
        goal: Option<Goal>,
    },
    /// How much the host does; answered by [`Reply::Vitals`].
    Vitals,
    /// Which ports a client may find open; answered by [`Reply::Exposure`].
    Exposure,
    /// Lines of the logs; answered by [`Reply::Log`], again and again where they are followed.
    Logs(LogsRequest),
    /// Copy the data of a part; answered by [`Reply::Part`]s, then [`Reply::Copied`].
    Backup {
        /// The part.
        part: PartSpec,
        /// Who asks, for the lock.
        run: RunInfo,
        /// See [`PlanRequest::patience_s`].
        patience_s: u64,
    },
    /// The next bytes of a copy that [`Request::Restore`] will name; not answered.
    Part {
        /// The bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Put the copy that was sent in the place of the part's data; answered by [`Reply::Closed`].
    Restore(Restore),
    /// What the certificates of the host say of themselves; answered by [`Reply::Certificates`].
    Certificates,
    /// Find what is wrong; answered by [`Reply::Findings`].
    Examine(Examination),
}

/// What a plan is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanRequest {
    /// What the host is to become.
    pub goal: Goal,
    /// Who will carry the plan out; `None` when it is only looked at. With it, the host's lock is
    /// taken first.
    pub run: Option<RunInfo>,
    /// How long something in the way (a held lock, a first boot) is waited for, in seconds.
    pub patience_s: u64,
    /// Leave the host as a failure left it instead of undoing the run.
    pub keep_on_failure: bool,
    /// How long a change that could lock the operator out waits for a new login, in seconds,
    /// before it is taken back. See [`super::CONFIRM_TIMEOUT_S`].
    pub confirm_timeout_s: u64,
    /// How clients reach the host and recognize it: [`Reply::Applied`] has the certificates.
    pub endpoints: Vec<Endpoint>,
    /// What a client should see of nginx: a changed configuration is tried with it before it goes live.
    pub outside: Option<Expected>,
    /// Whether the changes are sealed, to be compared with those of another plan.
    pub seal: bool,
    /// Folders of many files. The resources of those that say nothing of what is declared in them are not among the goal's;
    /// where the host has no such folder, it answers [`Reply::FoldersDiffer`].
    pub folders: Vec<FolderDigest>,
}

/// Which parts are taken out of service or back.
#[derive(Debug, Serialize, Deserialize)]
pub struct SwitchRequest {
    /// The names of the parts.
    pub parts: Vec<String>,
    /// Whether they are in maintenance from now on.
    pub is_on: bool,
    /// Who asks, for the lock.
    pub run: RunInfo,
    /// See [`PlanRequest::patience_s`].
    pub patience_s: u64,
}

/// Which host gets no more work from a balancer, or some again.
#[derive(Debug, Serialize, Deserialize)]
pub struct TurnRequest {
    /// The part that gives the work.
    pub part: PartSpec,
    /// The name of the host in the inventory.
    pub host: String,
    /// What is to become of it.
    pub turn: Turn,
    /// How long it may take, in seconds.
    pub patience_s: u64,
}

/// What is to become of a host behind a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// It gets no new work, and what it has comes to its end. Where the session ends before [`Turn::Back`], it gets work
    /// again.
    Away,
    /// It gets work again as soon as it can do it.
    Back,
}

/// What became of a host behind a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turned {
    /// The balancer sends it no new connections.
    Away {
        /// Connections that did not end in time.
        left: u64,
    },
    /// It got no work before, and still gets none.
    HadNoWork,
    /// No other host can do its work, so it goes on.
    IsOnlyOne,
    /// The balancer sends it connections again.
    Back,
    /// Its check still fails, so the balancer sends it no connections.
    NotBack {
        /// How the last check ended.
        why: String,
    },
}

/// What a restart is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestartRequest {
    /// The part.
    pub part: PartSpec,
    /// What of it.
    pub restart: Restart,
    /// Who asks, for the lock.
    pub run: RunInfo,
    /// See [`PlanRequest::patience_s`].
    pub patience_s: u64,
    /// How clients reach the host and recognize it.
    pub endpoints: Vec<Endpoint>,
}

/// What a restore is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Restore {
    /// The part.
    pub part: PartSpec,
    /// What the copy is known by.
    pub copied: Copied,
    /// Who asks, for the lock and the journal.
    pub run: RunInfo,
    /// See [`PlanRequest::patience_s`].
    pub patience_s: u64,
}

/// What an examination is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Examination {
    /// All that the host should have.
    pub resources: Vec<Declared>,
    /// What is said of its parts beyond their resources.
    pub parts: Vec<PartSpec>,
    /// The operator's clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// A token that an application does not take.
    pub token: Option<Secret>,
}

/// What lines of the logs are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsRequest {
    /// The logs.
    pub logs: Vec<Log>,
    /// At most so many of the newest lines.
    pub lines: usize,
    /// None from before this time: seconds since 1970.
    pub since: Option<i64>,
    /// Only what went wrong.
    pub errors: bool,
    /// Go on with what is written from now on, until the session ends.
    pub follow: bool,
}

/// What a host is to become.
#[derive(Debug, Serialize, Deserialize)]
pub enum Goal {
    /// As declared. What hwctl made in these parts of the stack and is no longer declared goes.
    Declared {
        /// What the host should have, the whole stack.
        resources: Vec<Declared>,
        /// What is said of its parts beyond their resources.
        parts: Vec<PartSpec>,
        /// The parts that are meant; the others stay as they are.
        scope: Scope,
        /// The operator's key to what this host knows of password hashes, if there is one.
        #[serde(default)]
        hash_key: Option<Secret>,
    },
    /// As it was before a run.
    Before {
        /// The run; when it is not named, the last one whose changes are still there.
        run: Option<String>,
    },
    /// With the version of a part that ran before the present one.
    VersionBefore {
        /// The part.
        part: String,
    },
    /// As it was before hwctl first came.
    Original {
        /// Whether data goes too.
        purge_data: bool,
    },
    /// With a new certificate and key in the place of those that hwctl made.
    NewCertificate {
        /// Life of the new one, in days; that of the last one when not given.
        days: Option<u16>,
        /// Only if the old one ends within so many days.
        if_expires_within: Option<u16>,
    },
    /// With a program's version before the present one, which is still on the host.
    PreviousVersion {
        /// The link that makes a version the one that runs.
        link: PathBuf,
    },
}

/// Who runs it, for the lock and the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// `user@machine` of the operator.
    pub operator: String,
    /// The verb.
    pub verb: String,
    /// hwctl's version.
    pub version: String,
}

/// What the engine says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// First of all.
    Hello {
        /// What the host is.
        facts: Facts,
    },
    /// Answers [`Request::Plan`].
    Plan {
        /// The changes, in order.
        changes: Vec<Planned>,
        /// What stays where hwctl's own is taken away, and why.
        kept: Vec<(Id, String)>,
        /// Of the state that it was made from.
        fingerprint: String,
        /// Blobs to send before [`Request::Apply`].
        wants: Vec<Blob>,
        /// The parts that are asked for by name, and that the host neither has nor had.
        lacking: Vec<String>,
        /// A seal for each change, where the request asks for them; see `engine/plan/seal.rs`.
        seals: Vec<String>,
    },
    /// Answers [`Request::Plan`] where the resources of folders were left out that the host does not have like that: the
    /// digests of those folders. The request has to come again with their resources.
    FoldersDiffer(Vec<String>),
    /// Answers [`Request::History`]: newest first.
    History {
        /// The runs.
        runs: Vec<Run>,
    },
    /// Something happened.
    Event(EventKind),
    /// A change was made that could lock the operator out: log in anew and confirm it there
    /// (`hwctl confirm RUN`), or say here that it does not work ([`Request::LockedOut`]).
    LogInAnew {
        /// The run's id.
        run: String,
    },
    /// The plan is carried out and waits to be kept.
    Applied {
        /// The certificates that the endpoints of the request serve now.
        pins: Pins,
    },
    /// The run is kept, or taken back.
    Closed,
    /// The run is taken back.
    Undone {
        /// What of it cannot be taken back.
        left: Vec<String>,
    },
    /// It runs again.
    Restarted {
        /// The certificates that the endpoints of the request serve.
        pins: Pins,
    },
    /// The names of the parts that were not so before.
    Switched(Vec<String>),
    /// Answers [`Request::Turn`].
    Turned(Turned),
    /// Lines of a log, oldest first.
    Lines(Vec<String>),
    /// Answers [`Request::Certificates`].
    Certificates(Vec<CertificateInfo>),
    /// Answers [`Request::Examine`]: the cause first.
    Findings(Vec<Finding>),
    /// The request failed.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Answers [`Request::Status`].
    Status(Status),
    /// Answers [`Request::Vitals`].
    Vitals(Vitals),
    /// Answers [`Request::Exposure`].
    Exposure(Exposure),
    /// Answers [`Request::Logs`].
    Log {
        /// Oldest first.
        lines: Vec<LogLine>,
        /// Whether there are no more, save for those that are written from now on.
        is_all: bool,
    },
    /// The next bytes of a copy of a part's data.
    Part {
        /// The bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The copy is whole.
    Copied(Copied),
    /// The engine is still there; sent after each [`super::HEARTBEAT`] without another reply.
    Alive,
}

/// How a host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// All that was looked at.
    pub checks: Vec<Check>,
    /// The certificates that the endpoints serve.
    pub pins: Pins,
}

/// The contents and the checksum of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// What it holds.
    pub data: Data,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}
