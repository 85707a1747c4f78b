//! The new login that a change which could lock the operator out waits for.

use super::bootstrap::{self, CONFIRM};
use super::engine::last_line;
use super::heard;
use super::ssh::Target;
use crate::engine::protocol::Reply;
use crate::failure::Failure;

/// Logs in by a connection of its own, and confirms there the risky change of a run.
pub(super) async fn confirm(target: &Target, run: &str) -> Result<(), Failure> {
    let connection = target.connect(&|_| ()).await?;
    let mut child =
        bootstrap::start(&connection, target, &format!("{CONFIRM} {run}"), |_, _| ()).await?;
    let reply = match child.stdout().as_mut() {
        Some(stdout) => heard::next(stdout, Some(heard::hello_by())).await,
        None => Ok(None),
    };
    let confirmed = match reply {
        Ok(Some(Reply::Closed)) => Ok(()),
        Ok(Some(Reply::Failed { failure })) => Err(heard::failure_of_host(failure)),
        _ => {
            let failure = target.unreachable("the new login ends early");
            Err(last_line(&mut child).await.into_iter().fold(failure, Failure::why))
        }
    };
    drop(child);
    connection.close().await;
    confirmed
}
