//! The frames that the operator's side and the engine exchange: a big-endian `u32` length, then
//! that many bytes of `MessagePack`.
//!
//! Both ends are the same binary, found by its hash, so there are no versions to negotiate.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Service;
use crate::event::{Planned, What};
use crate::failure::Failure;
use crate::resource::{Blob, Declared, Facts};

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
/// The size of a blob's chunks, in bytes.
pub const CHUNK: usize = 256 << 10;

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
    /// The run is good; answered by [`Reply::Closed`].
    Keep,
    /// Take the run back; answered by events, then [`Reply::Closed`].
    Undo {
        /// Why, for the journal.
        why: String,
    },
    /// Restart a service; answered by [`Reply::Restarted`] once it says that it is ready.
    Restart(Restart),
    /// The last lines of a service's log; answered by [`Reply::Lines`].
    LastWords {
        /// Which.
        service: Service,
        /// At most so many.
        lines: usize,
    },
}

/// What a plan is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanRequest {
    /// What the host should have.
    pub declared: Vec<Declared>,
    /// Who will carry the plan out; `None` when it is only looked at. With it, the host's lock is
    /// taken first.
    pub run: Option<RunInfo>,
    /// How long something in the way (a held lock, a first boot) is waited for, in seconds.
    pub patience_s: u64,
    /// Leave the host as a failure left it instead of undoing the run.
    pub keep_on_failure: bool,
}

/// What a restart is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Restart {
    /// Of what.
    pub service: Service,
    /// Who asks, for the lock.
    pub run: RunInfo,
    /// See [`PlanRequest::patience_s`].
    pub patience_s: u64,
    /// Where the certificate is that nginx serves.
    pub certificate: PathBuf,
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
        /// Of the state that it was made from.
        fingerprint: String,
        /// Blobs to send before [`Request::Apply`].
        wants: Vec<Blob>,
    },
    /// Something happened.
    Event(What),
    /// The plan is carried out and waits to be kept.
    Applied {
        /// SHA-256 of the served certificate (DER), in hex, when the stack has one.
        certificate: Option<String>,
    },
    /// The run is kept, or taken back.
    Closed,
    /// The service runs again.
    Restarted {
        /// SHA-256 of the served certificate (DER), in hex.
        certificate: String,
    },
    /// Lines of a log, oldest first.
    Lines(Vec<String>),
    /// The request failed.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// Writes one frame and flushes it.
pub async fn write_frame<T: Serialize>(
    output: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<()> {
    let bytes = rmp_serde::to_vec_named(message)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_FRAME);
    let length = length.with_context(|| {
        format!("a message of {} bytes is longer than a frame may be", bytes.len())
    })?;
    output.write_all(&length.to_be_bytes()).await?;
    output.write_all(&bytes).await?;
    output.flush().await?;
    Ok(())
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
    if length > MAX_FRAME {
        bail!("a frame of {length} bytes is longer than {MAX_FRAME}: the stream is broken");
    }
    let mut bytes = Vec::new();
    input.take(length.into()).read_to_end(&mut bytes).await?;
    if bytes.len() != length as usize {
        bail!("the stream ends within a frame");
    }
    Ok(Some(rmp_serde::from_slice(&bytes).context("a frame that makes no sense")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_through_and_broken_ones_are_errors() {
        let mut stream = Vec::new();
        write_frame(&mut stream, &Request::Keep).await.unwrap();
        let whole = stream.clone();
        let read: Option<Request> = read_frame(&mut &stream[..]).await.unwrap();
        assert!(matches!(read, Some(Request::Keep)));
        assert!(read_frame::<Request>(&mut &whole[..0]).await.unwrap().is_none());
        for cut in 1..whole.len() {
            assert!(read_frame::<Request>(&mut &whole[..cut]).await.is_err(), "cut at {cut}");
        }
        let huge = [0xff, 0xff, 0xff, 0xff, 0];
        let error = read_frame::<Request>(&mut &huge[..]).await.unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
    }
}
