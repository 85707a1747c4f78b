//! `hwctl facts`: what a host is.

use anyhow::Result;

use crate::cli::FactsArgs;
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job, Show};
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine};

/// Runs `hwctl facts`.
pub fn run(kinds: Kinds, args: FactsArgs) -> Result<Exit> {
    let hosts = args.hosts.and(&args.named);
    fleet::run(kinds, &hosts, Show { json: args.json, diff: false, check: false }, args)
}

impl Job for FactsArgs {
    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let engine = Engine::start(&work.target, emit).await?;
        emit(EventKind::Facts { facts: engine.facts.clone() });
        engine.hang_up().await;
        Ok(Outcome::Answered.into())
    }
}
