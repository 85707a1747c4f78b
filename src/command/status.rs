//! `hwctl status`: how hosts are, read on each in one go.

use std::path::Path;

use anyhow::Result;

use super::fleet::{self, Ended, Job};
use super::hosts::Work;
use super::provision::{load_templates, make_stack};
use super::vouch;
use super::watch;
use crate::cli::StatusArgs;
use crate::engine::Status;
use crate::engine::protocol::Goal;
use crate::event::{Outcome, What};
use crate::failure::{Exit, Failure};
use crate::remote::{Engine, Tell};
use crate::stack::{CERTIFICATE, TAGS};

/// Runs `hwctl status`.
pub fn run(args: StatusArgs) -> Result<Exit> {
    if args.watch {
        return watch::run(&args);
    }
    let hosts = args.hosts.clone();
    fleet::run_to(&hosts, fleet::health_report(args.json), false, args)
}

impl Job for StatusArgs {
    const CHANGES: bool = false;

    async fn on_host(&self, work: &Work, tell: Tell<'_>) -> Result<Ended, Failure> {
        let mut engine = Engine::start(&work.target, tell).await?;
        let goal = goal(work, &engine)?;
        let Status { checks, .. } = engine.status(Path::new(CERTIFICATE), Some(goal), tell).await?;
        engine.let_go().await;
        let outcome = match checks.iter().all(|check| check.ok) {
            true => Outcome::Answered,
            false => Outcome::Failed,
        };
        tell(What::Health { checks });
        Ok(outcome.into())
    }
}

/// What the host should be, for its drift.
pub(super) fn goal(work: &Work, engine: &Engine) -> Result<Goal, Failure> {
    let resources = make_stack(work, engine, &*load_templates(work)?)?.resources;
    Ok(Goal::Declared {
        resources,
        tags: TAGS.map(str::to_owned).to_vec(),
        vouch: vouch::key(work),
    })
}
