//! `hwctl rollback`: a host as it was before a run.

use anyhow::Result;

use super::back::Back;
use super::fleet::{self, Ended, Job};
use super::hosts::{Needs, Work};
use crate::cli::RollbackArgs;
use crate::engine::protocol::Goal;
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::Tell;

/// Runs `hwctl rollback`.
pub fn run(kinds: Kinds, args: RollbackArgs) -> Result<Exit> {
    let hosts = args.back.plan.hosts.clone();
    let job = Rollback { run: args.run, back: Back::new(args.back, "rollback")? };
    fleet::run(kinds, &hosts, job.back.show(), job)
}

struct Rollback {
    run: Option<String>,
    back: Back,
}

impl Job for Rollback {
    const NEEDS: Needs = Needs::NoLookup;

    async fn on_host(&self, work: &Work, tell: Tell<'_>) -> Result<Ended, Failure> {
        self.back.on_host(work, Goal::Before { run: self.run.clone() }, tell).await
    }
}
