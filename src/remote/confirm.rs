//! The new login that a change which could lock the operator out waits for.

use tokio::io::AsyncRead;

use super::bootstrap::{self, CONFIRM};
use super::heard;
use super::ssh::Target;
use super::transport::last_line;
use crate::engine::protocol::Reply;
use crate::failure::Failure;

/// Logs in by a connection of its own, and confirms there the risky change of a run.
pub(super) async fn confirm(target: &Target, run: &str) -> Result<(), Failure> {
    let connection = target.connect(&|_| ()).await?;
    let mut child =
        bootstrap::start(&connection, target, &format!("{CONFIRM} {run}"), |_, _| ()).await?;
    let confirmed = if let Some(confirmed) = confirmed(child.stdout.as_mut()).await {
        confirmed
    } else {
        let failure = target.unreachable("the new login ends early");
        let last = match child.stderr.take() {
            Some(stderr) => last_line(stderr).await,
            None => None,
        };
        Err(last.into_iter().fold(failure, Failure::why))
    };
    drop(child);
    connection.close().await;
    confirmed
}

/// What `hwctl confirm` answers; None if it ends without an answer.
pub(super) async fn confirmed(
    stdout: Option<&mut (impl AsyncRead + Unpin)>,
) -> Option<Result<(), Failure>> {
    match heard::next(stdout?, Some(heard::hello_by())).await {
        Ok(Some(Reply::Closed)) => Some(Ok(())),
        Ok(Some(Reply::Failed { failure })) => Some(Err(heard::failure_of_host(failure))),
        _ => None,
    }
}
