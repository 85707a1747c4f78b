//! `hwctl secret rotate`: another key for the API's tokens, as a run that can be rolled back.

use anyhow::Result;

use super::fleet::{self, Ended, Job, Show};
use super::hosts::Work;
use super::outside::expected;
use super::provision::{load_templates, make_stack};
use super::run::{Carry, carry_out, run_info, show_plan};
use crate::cli::{RotateArgs, SecretArgs, SecretCommand};
use crate::engine::protocol::{Goal, PlanRequest};
use crate::event::{Action, Outcome, Planned, What};
use crate::failure::{Exit, Failure};
use crate::part::{JWT_KEY, endpoints};
use crate::remote::{Engine, Tell};
use crate::resource::Resource;
use crate::spec::Scope;

/// The part of the stack that uses the key.
const TAG: &str = "api";

/// Runs `hwctl secret`.
pub fn run(args: SecretArgs) -> Result<Exit> {
    let SecretCommand::Rotate(args) = args.command;
    let show = Show { json: args.plan.json, diff: args.check, check: args.check };
    let hosts = args.plan.hosts.and(&args.named);
    fleet::run(&hosts, show, Rotate(args))
}

struct Rotate(RotateArgs);

impl Job for Rotate {
    async fn on_host(&self, work: &Work, tell: Tell<'_>) -> Result<Ended, Failure> {
        let Self(args) = self;
        let templates = load_templates(work)?;
        let mut engine = Engine::start(&work.target, tell).await?;
        let mut made = make_stack(work, &engine, &templates)?;
        for declared in &mut made.resources {
            if let Resource::HostSecret(secret) = &mut declared.resource {
                secret.renew = secret.name == JWT_KEY;
            }
        }
        tell(What::Step { message: "reading the host".to_owned(), fraction: None });
        let request = PlanRequest {
            goal: Goal::Declared {
                resources: made.resources,
                parts: made.parts,
                scope: Scope::Only(vec![TAG.to_owned()]),
                vouch: None,
            },
            run: (!args.check).then(|| run_info("secret rotate")),
            patience_s: args.plan.wait.into(),
            keep_on_failure: false,
            confirm_timeout_s: args.plan.confirm_timeout.into(),
            endpoints: endpoints(),
            outside: None,
        };
        let planned = engine.plan(request, tell).await?;
        // A host that was destroyed may still have the key, but no API that uses it.
        let is_new = |planned: &Planned| planned.change.action == Action::Create;
        if planned.changes.is_empty() || planned.changes.iter().any(is_new) {
            return Err(Failure::new(
                Exit::Failed,
                "the host has no API whose key could be renewed",
            )
            .not_done("nothing was changed on the host")
            .hint("`hwctl provision` installs the API and makes its key"));
        }
        show_plan(&planned, tell);
        if !args.check {
            let host = engine.route.host.clone();
            let outside =
                |facts: &_, exposure: &_, pins| expected(&host, &work.vars, facts, exposure, pins);
            let carry = Carry {
                uploads: &made.uploads,
                keep_on_failure: false,
                is_part: false,
                outside: Some(&outside),
            };
            carry_out(&mut engine, planned, carry, tell).await?;
        }
        engine.hang_up().await;
        Ok(Outcome::Changed.into())
    }
}
