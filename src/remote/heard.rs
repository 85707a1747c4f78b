//! What the operator's side takes from an engine. The host may be hostile or broken: it tells of its
//! own changes and nothing else, and it neither talks for ever nor falls silent for ever.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout_at};

use crate::engine::protocol::{Reply, Request, read_frame};
use crate::event::EventKind;
use crate::failure::{Exit, Failure};

/// An engine that says nothing for so long is taken for gone. It says that it is there every
/// [`crate::engine::protocol::HEARTBEAT`], but not while one long step of its own is under way, such
/// as the digest of a large file on a slow disk.
const SILENCE: Duration = Duration::from_mins(5);
/// The time for an answer that takes only reading.
const READING: Duration = Duration::from_mins(5);
/// The time for an answer that takes changes: packages, images and uploads over a slow line.
const CHANGING: Duration = Duration::from_hours(6);

/// When an answer has to be there; none where the operator listens for as long as they like.
pub(super) fn answer_by(request: &Request) -> Option<Instant> {
    let time = match request {
        Request::Logs(logs) if logs.follow => return None,
        Request::Plan(plan) => READING + Duration::from_secs(plan.patience_s),
        Request::Apply { .. }
        | Request::Keep
        | Request::Leave { .. }
        | Request::Undo { .. }
        | Request::Restart(_)
        | Request::Backup { .. }
        | Request::Restore(_) => CHANGING,
        _ => READING,
    };
    Some(Instant::now() + time)
}

/// When the engine has to say that it is there and what the host is.
pub(super) fn hello_by() -> Instant {
    Instant::now() + READING
}

/// The next frame, unless the engine is silent for too long or the answer is overdue.
pub(super) async fn next(
    stdout: &mut (impl AsyncRead + Unpin),
    answer_by: Option<Instant>,
) -> Result<Option<Reply>> {
    let silent_at = Instant::now() + SILENCE;
    let by = answer_by.map_or(silent_at, |by| by.min(silent_at));
    let overdue = if by == silent_at { "the engine is silent" } else { "the answer is overdue" };
    timeout_at(by, read_frame(stdout)).await.context(overdue)?
}

/// Whether such an event may come from a host. All others are this side's to tell: the end of the
/// work, the summary, what was seen from outside.
pub(super) fn is_of_host(what: &EventKind) -> bool {
    matches!(
        what,
        EventKind::Warning { .. }
            | EventKind::Step { .. }
            | EventKind::RunBegan { .. }
            | EventKind::ChangeStarted { .. }
            | EventKind::ChangeProgress { .. }
            | EventKind::ChangeDone { .. }
            | EventKind::ChangeUndone { .. }
    )
}

/// A failure as a host may report it. How hwctl was called, and whether the host was reached, is not
/// its to tell.
pub(super) fn failure_of_host(mut failure: Failure) -> Failure {
    if !matches!(failure.exit, Exit::Failed | Exit::Undone | Exit::Interrupted) {
        failure.exit = Exit::Failed;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{HostSummary, Outcome};

    #[tokio::test]
    async fn an_engine_that_says_nothing_is_not_waited_for_for_ever() {
        let (mut ours, _theirs) = tokio::io::duplex(64);
        let soon = Instant::now() + Duration::from_millis(20);

        let error = next(&mut ours, Some(soon)).await.unwrap_err();

        assert_eq!(error.to_string(), "the answer is overdue");
    }

    #[test]
    fn a_host_tells_of_its_own_work_only() {
        let summary = HostSummary {
            host: "another".to_owned(),
            outcome: Outcome::Unchanged,
            changes: 0,
            elapsed_ms: 0,
            urls: Vec::new(),
        };
        let check = EventKind::Check {
            name: "https://another/".to_owned(),
            ok: true,
            detail: String::new(),
        };
        let forged = [
            EventKind::Done(summary.clone()),
            EventKind::Summary { hosts: vec![summary] },
            EventKind::Failed { failure: Failure::new(Exit::Failed, "no") },
            EventKind::Output { is_error: false, text: "text".to_owned() },
            EventKind::Asking,
            check,
        ];

        assert!(forged.iter().all(|what| !is_of_host(what)));
        assert!(is_of_host(&EventKind::Warning { message: "low on memory".to_owned() }));
        for exit in [Exit::Done, Exit::Changes, Exit::Usage, Exit::Unreachable] {
            assert_eq!(failure_of_host(Failure::new(exit, "it failed")).exit, Exit::Failed);
        }
        assert_eq!(failure_of_host(Failure::new(Exit::Undone, "it failed")).exit, Exit::Undone);
    }
}
