//! `hwctl secret rotate`: another key for the API's tokens, as a run that can be rolled back.

use anyhow::Result;

use crate::cli::{RotateArgs, SecretArgs, SecretCommand};
use crate::command::fleet::hosts::{Work, require_part};
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::provision::{load_templates, make_stack};
use crate::command::run::Run;
use crate::command::run::expected::expected;
use crate::engine::protocol::Goal;
use crate::event::{Action, Outcome, Planned};
use crate::failure::{Exit, Failure};
use crate::part::{Api, JWT_KEY, Kinds};
use crate::remote::{Emit, Engine};
use crate::resource::Resource;
use crate::spec::Scope;

/// The part of the stack that uses the key.
const TAG: &str = "api";

/// Runs `hwctl secret`.
pub fn run(kinds: Kinds, args: SecretArgs) -> Result<Exit> {
    let SecretCommand::Rotate(args) = args.command;
    let show = Show { json: args.plan.json, diff: args.check, check: args.check };
    let hosts = args.plan.hosts.and(&args.named);
    fleet::run(kinds, &hosts, show, Rotate(args))
}

struct Rotate(RotateArgs);

/// Refuses a host whose key the operator gives: other hosts have the same one.
fn require_own_key(work: &Work) -> Result<(), Failure> {
    if work.part(TAG).is_err() || work.vars.get::<Api>().token_key.is_none() {
        return Ok(());
    }
    let path = ["api", "token_key"];
    let place = work.place(&path).map(|place| format!(" ({place})")).unwrap_or_default();
    Err(Failure::usage(format!("the token key of `{}` is set in the inventory, as `api.token_key`{place}", work.target.name))
        .why("`secret rotate` replaces only keys that the host generated")
        .not_done("no host was contacted")
        .hint("change it in the inventory; `hwctl help fleet` shows how to do that without invalidating tokens"))
}

impl Job for Rotate {
    fn needs(&self) -> Scope {
        Scope::Only(vec![TAG.to_owned()])
    }

    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        require_part(works, TAG)?;
        works.iter().try_for_each(require_own_key)
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let Self(args) = self;
        if work.part(TAG).is_err() {
            return Ok(Outcome::Unchanged.into());
        }
        let templates = load_templates(work)?;
        let mut engine = Engine::start(&work.target, emit).await?;
        let mut made = make_stack(work, &engine, &templates)?;
        for declared in &mut made.resources {
            if let Resource::HostSecret(secret) = &mut declared.resource {
                secret.renew = secret.name == JWT_KEY;
            }
        }
        let host = engine.route.host.clone();
        let outside = |facts: &_, exposure: &_, pins| expected(&host, work, facts, exposure, pins);
        let goal = Goal::Declared {
            resources: made.resources,
            parts: made.parts,
            scope: Scope::Only(vec![TAG.to_owned()]),
            hash_key: None,
        };
        let run = Run::with("secret rotate", goal, &args.plan)
            .only_planned(args.check)
            .uploads(made.uploads)
            .checked_from_outside(&outside, false);
        let planned = run.plan_unseen(&mut engine, emit).await?;
        // A host that was destroyed may still have the key, but no API that uses it.
        let is_new = |planned: &Planned| planned.change.action == Action::Create;
        if planned.changes().is_empty() || planned.changes().iter().any(is_new) {
            return Err(Failure::new(
                Exit::Failed,
                "the host has no API whose key could be renewed",
            )
            .not_done("nothing was changed on the host")
            .hint("`hwctl provision` installs the API and makes its key"));
        }
        planned.show(emit);
        planned.carry_out(&mut engine, emit).await?;
        engine.hang_up().await;
        Ok(Outcome::Changed.into())
    }
}
