//! The requests that need no plan, and the engine's answers.

use super::engine::{Emit, Engine};
use super::sending::Sending;
use crate::engine::protocol::{CHUNK, Goal, Reply, Request, Restore, RunInfo};
use crate::engine::{Copied, LogsRequest, MAX_COPY_BYTES, Status, check_copy};
use crate::event::{EventKind, LogLine, Vitals};
use crate::failure::{Exit, Failure};
use crate::resource::Exposure;
use crate::spec::PartSpec;

impl Engine {
    /// How the host is, and with a goal how far it is from that. The host looks at `parts` where it has kept
    /// no specs of its own.
    pub async fn status(
        &mut self,
        parts: Vec<PartSpec>,
        goal: Option<Goal>,
        emit: Emit<'_>,
    ) -> Result<Status, Failure> {
        self.send(&Request::Status { parts, goal }).await?;
        match self.answer_unless_stopped(emit).await? {
            Reply::Status(status) => Ok(status),
            other => Err(self.nonsense(&other)),
        }
    }

    /// How much the host does.
    pub async fn vitals(&mut self, emit: Emit<'_>) -> Result<Vitals, Failure> {
        self.send(&Request::Vitals).await?;
        match self.answer_unless_stopped(emit).await? {
            Reply::Vitals(vitals) => Ok(vitals),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Which ports a client may find open. The operator does not interrupt this: the answer is there at once, and
    /// an unread one would be taken for that to the next request, such as to keep the run.
    pub async fn exposure(&mut self, emit: Emit<'_>) -> Result<Exposure, Failure> {
        self.send(&Request::Exposure).await?;
        match self.answer(emit).await? {
            Reply::Exposure(exposure) => Ok(exposure),
            other => Err(self.nonsense(&other)),
        }
    }

    /// A copy of Redis's data.
    pub async fn backup(
        &mut self,
        part: PartSpec,
        run: RunInfo,
        patience_s: u64,
        emit: Emit<'_>,
    ) -> Result<(Copied, Vec<u8>), Failure> {
        self.send(&Request::Backup { part, run, patience_s }).await?;
        let mut copy = Vec::new();
        loop {
            match self.answer_unless_stopped(emit).await? {
                Reply::Part { bytes } if (copy.len() + bytes.len()) as u64 <= MAX_COPY_BYTES => {
                    copy.extend_from_slice(&bytes);
                }
                Reply::Copied(copied) => {
                    check_copy(&copied, &copy)?;
                    return Ok((copied, copy));
                }
                other => return Err(self.nonsense(&other)),
            }
        }
    }

    /// Puts a copy in the place of Redis's data; once begun it goes to its end.
    pub async fn restore(
        &mut self,
        restore: Restore,
        bytes: &[u8],
        emit: Emit<'_>,
    ) -> Result<(), Failure> {
        let mut sending = Sending::new("sending the copy", bytes.len() as u64);
        for part in bytes.chunks(CHUNK) {
            self.send(&Request::Part { bytes: part.to_vec() }).await?;
            let (message, fraction) = sending.more(part.len());
            emit(EventKind::Step { message, fraction });
        }
        self.close(&Request::Restore(restore), emit).await
    }

    /// Lines of the logs: `take` gets them, and whether they are all that there are until now.
    /// Where they are followed it goes on until the operator stops it.
    pub async fn logs(
        &mut self,
        request: LogsRequest,
        take: impl Fn(Vec<LogLine>, bool),
        emit: Emit<'_>,
    ) -> Result<(), Failure> {
        let (follow, mut room) = (request.follow, request.lines);
        let mut are_all = false;
        self.send(&Request::Logs(request)).await?;
        loop {
            let reply = match self.answer_unless_stopped(emit).await {
                Err(failure) if follow && failure.exit == Exit::Interrupted => return Ok(()),
                reply => reply?,
            };
            match reply {
                // More than was asked for would have to be held until all hosts have answered.
                Reply::Log { lines, is_all } if are_all || lines.len() <= room => {
                    room = room.saturating_sub(lines.len());
                    are_all |= is_all;
                    take(lines, is_all);
                    if is_all && !follow {
                        return Ok(());
                    }
                }
                other => return Err(self.nonsense(&other)),
            }
        }
    }
}
