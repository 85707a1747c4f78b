//! `hwctl rollback`: a host as it was before a run.

use anyhow::Result;

use crate::cli::RollbackArgs;
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job};
use crate::command::run::back::Back;
use crate::engine::protocol::Goal;
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::Emit;

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
    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        self.back.on_host(work, Goal::Before { run: self.run.clone() }, emit).await
    }
}
