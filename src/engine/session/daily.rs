//! The daily requests, which need no plan: they come at any time and have one answer each.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::Session;
use crate::engine::goal;
use crate::engine::journal;
use crate::engine::lock::Lock;
use crate::engine::plan::Plan;
use crate::engine::protocol::{Goal, Reply, Request, Restart};
use crate::engine::status::{Status, status};
use crate::event::Check;
use crate::failure::Failure;
use crate::resource::fingerprint;

/// How many changes are named where the host is not as it should be.
const NAMED: usize = 3;

impl Session {
    /// Answers one.
    pub(super) async fn daily(&mut self, request: Request) -> Result<Option<Reply>, Failure> {
        match request {
            Request::History => Ok(Some(self.history()?)),
            Request::Restart(restart) => self.restart(&restart).await.map(Some),
            Request::LastWords { service, lines } => {
                Ok(Some(Reply::Lines(service.last_words(&self.host, lines).await?)))
            }
            Request::Status { certificate, goal } => {
                Ok(Some(Reply::Status(self.status(&certificate, goal.as_ref()).await)))
            }
            _ => Err(anyhow!("that is no request of this kind").into()),
        }
    }

    async fn restart(&mut self, restart: &Restart) -> Result<Reply, Failure> {
        self.lock(&restart.run, Duration::from_secs(restart.patience_s)).await?;
        restart.service.restart(&self.host).await?;
        let certificate = fingerprint(&self.host.path(&restart.certificate))?;
        Ok(Reply::Restarted { certificate })
    }

    /// Who holds the host does not matter to those who only look at its journal.
    fn history(&self) -> Result<Reply> {
        let mut runs = journal::runs(&self.host, Lock::is_held(&self.host))?;
        runs.reverse();
        Ok(Reply::History { runs })
    }

    async fn status(&self, certificate: &Path, goal: Option<&Goal>) -> Status {
        let Some(goal) = goal else { return status(&self.host, certificate).await };
        let (mut found, drift) = tokio::join!(status(&self.host, certificate), self.drift(goal));
        found.checks.push(Check::of("drift", drift.map_err(Into::into)));
        found
    }

    /// How far the host is from what it should be. That alone makes no host sick: the inventory
    /// may be ahead of it.
    async fn drift(&self, goal: &Goal) -> Result<String, Failure> {
        let plan = Plan::make(&goal::wanted(goal, &self.host)?, &self.host).await?;
        let ids: Vec<_> = plan.changes.iter().map(|planned| planned.change.id.as_str()).collect();
        let named = ids[..ids.len().min(NAMED)].join(", ");
        Ok(match ids.len() {
            0 => "none".to_owned(),
            1 => format!("1 change to make: {named}"),
            all if all > NAMED => format!("{all} changes to make: {named}, …"),
            all => format!("{all} changes to make: {named}"),
        })
    }
}
