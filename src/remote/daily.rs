//! The engine's answers to the daily requests, which need no plan.

use std::path::Path;

use super::engine::{Engine, Tell};
use crate::engine::{LogsRequest, Status};
use crate::engine::protocol::{Goal, Reply, Request};
use crate::event::LogLine;
use crate::failure::{Exit, Failure};

impl Engine {
    /// How the host is, and with a goal how far it is from that.
    pub async fn status(
        &mut self,
        certificate: &Path,
        goal: Option<Goal>,
        tell: Tell<'_>,
    ) -> Result<Status, Failure> {
        let certificate = certificate.to_owned();
        self.send(&Request::Status { certificate, goal }).await?;
        match self.answer_unless_stopped(tell).await? {
            Reply::Status(status) => Ok(status),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Lines of the logs: `take` gets them, and whether they are all that there are until now.
    /// Where they are followed it goes on until the operator stops it.
    pub async fn logs(
        &mut self,
        request: LogsRequest,
        take: impl Fn(Vec<LogLine>, bool),
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        let follow = request.follow;
        self.send(&Request::Logs(request)).await?;
        loop {
            let reply = match self.answer_unless_stopped(tell).await {
                Err(failure) if follow && failure.exit == Exit::Interrupted => return Ok(()),
                reply => reply?,
            };
            match reply {
                Reply::Log { lines, is_all } => {
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
