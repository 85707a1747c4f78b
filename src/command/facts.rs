//! `hwctl facts`: what a host is.

use anyhow::Result;

use super::fleet::{self, Ended, Job, Show};
use super::hosts::{Needs, Work};
use crate::cli::FactsArgs;
use crate::event::{Outcome, What};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Engine, Tell};

/// Runs `hwctl facts`.
pub fn run(kinds: Kinds, args: FactsArgs) -> Result<Exit> {
    let hosts = args.hosts.and(&args.named);
    fleet::run(kinds, &hosts, Show { json: args.json, diff: false, check: false }, args)
}

impl Job for FactsArgs {
    const NEEDS: Needs = Needs::NoLookup;

    async fn on_host(&self, work: &Work, tell: Tell<'_>) -> Result<Ended, Failure> {
        let engine = Engine::start(&work.target, tell).await?;
        tell(What::Facts { facts: engine.facts.clone() });
        engine.hang_up().await;
        Ok(Outcome::Answered.into())
    }
}
