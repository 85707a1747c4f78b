//! The engine's answers to the daily requests, which need no plan.

use std::path::Path;

use super::engine::{Engine, Tell};
use crate::engine::Status;
use crate::engine::protocol::{Goal, Reply, Request};
use crate::failure::Failure;

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
}
