//! The frames that the operator's side and the engine exchange: a big-endian `u32` length, then
//! that many bytes of `MessagePack`, deflated where the length's first bit is set.
//!
//! Both ends are the same binary, found by its hash, so there are no versions to negotiate.

mod elements;

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Copied, Examination, LogsRequest, Status};
use crate::client::{Expected, Pins};
use crate::event::{Finding, LogLine, Planned, Run, What};
use crate::failure::Failure;
use crate::resource::{
    Blob, CertificateInfo, Declared, Exposure, Facts, Id, Secret, decode, encode,
};
use crate::spec::{Endpoint, LogSource, PartSpec, Restart, Scope};

/// The line that the operator's side begins with. What comes before it (a password that sudo did
/// not want) is passed over.
pub const CLIENT_GREETING: &str = "hwctl client";
/// The line that the engine begins with. What comes before it (a login shell's chatter) is passed
/// over.
pub const ENGINE_GREETING: &str = "hwctl engine";
/// The folder on the host that holds hwctl's own binary, once for each version.
pub const BINARY_FOLDER: &str = "/usr/local/lib/hwctl";
/// The longest frame, in bytes: a larger one is a broken or hostile stream.
pub const MAX_FRAME: u32 = 32 << 20;
/// The bit of a frame's length that says that it is deflated.
const DEFLATED: u32 = 1 << 31;
/// A shorter message travels in one packet anyway.
const WORTH_DEFLATING: usize = 1200;
/// The size of a blob's chunks, in bytes.
pub const CHUNK: usize = 256 << 10;

/// How often each side says that it is still there.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// After so long without a word from the operator's side the engine takes it for gone.
pub const SILENCE: Duration = Duration::from_secs(30);
/// How long a change that could lock the operator out waits for a new login by default, in seconds:
/// ten times what a login over a slow network takes.
pub const CONFIRM_TIMEOUT_S: u64 = 30;

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
    /// The operator's side is still there; sent every [`HEARTBEAT`], not answered.
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
    /// before it is taken back. See [`CONFIRM_TIMEOUT_S`].
    pub confirm_timeout_s: u64,
    /// How clients reach the host and recognize it: [`Reply::Applied`] has the certificates.
    pub endpoints: Vec<Endpoint>,
    /// What a client should see of nginx: a changed configuration is tried with it before it goes live.
    pub outside: Option<Expected>,
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
        vouch: Option<Secret>,
    },
    /// As it was before a run.
    Before {
        /// The run; when it is not named, the last one whose changes are still there.
        run: Option<String>,
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
    },
    /// Answers [`Request::History`]: newest first.
    History {
        /// The runs.
        runs: Vec<Run>,
    },
    /// Something happened.
    Event(What),
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
    /// The engine is still there; sent after each [`HEARTBEAT`] without another reply.
    Alive,
}

/// Reads up to the greeting of the operator's side, passing over the little that may come before.
pub async fn skip_to_greeting(input: &mut (impl AsyncBufReadExt + Unpin)) -> Result<()> {
    for _ in 0..3 {
        let mut line = Vec::new();
        let mut bounded = (&mut *input).take(4096);
        bounded.read_until(b'\n', &mut line).await?;
        if line.ends_with(b"\n") && line.trim_ascii() == CLIENT_GREETING.as_bytes() {
            return Ok(());
        }
    }
    bail!("the other end is not hwctl")
}

/// Writes one frame and flushes it.
pub async fn write_frame<T: Serialize>(
    output: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<()> {
    write_frames(output, std::slice::from_ref(message)).await
}

/// Writes a frame for each message, and flushes them together.
pub async fn write_frames<T: Serialize>(
    output: &mut (impl AsyncWrite + Unpin),
    messages: &[T],
) -> Result<()> {
    let mut frames = Vec::new();
    for message in messages {
        append_frame(&mut frames, message)?;
    }
    output.write_all(&frames).await?;
    output.flush().await?;
    Ok(())
}

fn append_frame<T: Serialize>(frames: &mut Vec<u8>, message: &T) -> Result<()> {
    let bytes = encode(message)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_FRAME);
    let length = length.with_context(|| {
        format!("a message of {} bytes is longer than a frame may be", bytes.len())
    })?;
    let (length, bytes) = match deflated(&bytes)? {
        Some(small) => (u32::try_from(small.len())? | DEFLATED, small),
        None => (length, bytes),
    };
    frames.extend_from_slice(&length.to_be_bytes());
    frames.extend_from_slice(&bytes);
    Ok(())
}

/// The bytes deflated, where that makes them much fewer: a new connection has room for few.
fn deflated(bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    if bytes.len() < WORTH_DEFLATING {
        return Ok(None);
    }
    let mut small = Vec::new();
    DeflateEncoder::new(bytes, Compression::fast()).read_to_end(&mut small)?;
    Ok((small.len() < bytes.len() / 4 * 3).then_some(small))
}

fn inflated(small: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::from(MAX_FRAME);
    DeflateDecoder::new(small).take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        bail!("a frame of more than {MAX_FRAME} bytes: the stream is broken");
    }
    Ok(bytes)
}

/// Reads one frame; `None` at the end of the stream between frames.
pub async fn read_frame<T: DeserializeOwned>(
    input: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>> {
    let mut length = [0; 4];
    if input.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut length[1..]).await.context("the stream ends within a frame")?;
    let length = u32::from_be_bytes(length);
    let (is_deflated, length) = (length & DEFLATED != 0, length & !DEFLATED);
    if length > MAX_FRAME {
        bail!("a frame of {length} bytes is longer than {MAX_FRAME}: the stream is broken");
    }
    let mut bytes = Vec::new();
    input.take(length.into()).read_to_end(&mut bytes).await?;
    if bytes.len() != length as usize {
        bail!("the stream ends within a frame");
    }
    if is_deflated {
        bytes = inflated(&bytes).context("a frame that cannot be inflated")?;
    }
    elements::require_few(&bytes)?;
    decode(&bytes).context("a frame that makes no sense").map(Some)
}

#[cfg(test)]
mod tests;
