//! `hwctl status`: how hosts are, read on each in one go.

mod watch;

use anyhow::Result;

use crate::cli::{StatusArgs, TopArgs};
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job};
use crate::command::provision::{load_templates, make_stack};
use crate::command::run::hash_key;
use crate::engine::Status;
use crate::engine::protocol::Goal;
use crate::event::{Check, EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine};
use crate::spec::Scope;
use watch::View;

/// Runs `hwctl status`.
pub fn run(kinds: Kinds, args: StatusArgs) -> Result<Exit> {
    if args.watch {
        return watch::run(kinds, &args.hosts.and(&args.named), View::Status, args.json);
    }
    let hosts = args.hosts.and(&args.named);
    fleet::run_to(kinds, &hosts, fleet::health_report(args.json), false, args)
}

/// Runs `hwctl top`.
pub fn top(kinds: Kinds, args: &TopArgs) -> Result<Exit> {
    watch::run(kinds, &args.hosts.and(&args.named), View::Top, args.json)
}

impl Job for StatusArgs {
    const CHANGES: bool = false;

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let mut engine = Engine::start(&work.target, emit).await?;
        let (goal, not_compared) = goal(work, &engine);
        let Status { mut checks, .. } = engine.status(work.parts(), goal, emit).await?;
        checks.extend(not_compared);
        engine.let_go().await;
        let outcome = match checks.iter().all(|check| check.ok) {
            true => Outcome::Answered,
            false => Outcome::Failed,
        };
        emit(EventKind::Health { checks });
        Ok(outcome.into())
    }
}

/// What the host should be, for its drift. When the inventory cannot say so, for example because a
/// password is not to be found now, there is a check instead that says why.
pub(super) fn goal(work: &Work, engine: &Engine) -> (Option<Goal>, Option<Check>) {
    match declared(work, engine) {
        Ok(goal) => (Some(goal), None),
        Err(failure) => {
            let why: Vec<_> = std::iter::once(failure.what).chain(failure.why).collect();
            let detail = format!("not compared: {}", why.join(": "));
            (None, Some(Check { name: "drift".to_owned(), ok: true, detail }))
        }
    }
}

fn declared(work: &Work, engine: &Engine) -> Result<Goal, Failure> {
    let work = &work.clone().look_up(&Scope::All)?;
    let made = make_stack(work, engine, &*load_templates(work)?)?;
    Ok(Goal::Declared {
        resources: made.resources,
        parts: made.parts,
        scope: Scope::All,
        hash_key: hash_key::of(work),
    })
}
