//! `hwctl restart`: restarts services and waits until the host is healthy from outside.

use anyhow::Result;

use super::fleet::{self, Ended, Job, Show};
use super::hosts::Work;
use super::outside::{expected, urls};
use super::run::{look_after, run_info};
use super::sight::{Sight, web_ports};
use crate::cli::{RestartArgs, RestartWhat};
use crate::engine::Service;
use crate::engine::protocol::Restart;
use crate::event::{Check, Outcome, What};
use crate::failure::{Exit, Failure};
use crate::inventory::Vars;
use crate::remote::{Engine, Tell};
use crate::stack::endpoints;

/// How many lines of a log a failure shows.
const LAST_WORDS: usize = 8;

/// Runs `hwctl restart`.
pub fn run(args: RestartArgs) -> Result<Exit> {
    let show = Show { json: args.json, diff: false, check: false };
    let hosts = args.hosts.clone();
    fleet::run(&hosts, show, args)
}

impl Job for RestartArgs {
    async fn on_host(&self, work: &Work, tell: Tell<'_>) -> Result<Ended, Failure> {
        let mut engine = Engine::start(&work.target, tell).await?;
        for service in services(self.what, &work.vars) {
            restart(&service, self, work, &mut engine, tell).await?;
        }
        let host = engine.route.host.clone();
        engine.hang_up().await;
        let urls = urls(&host, &work.vars);
        Ok(Ended { outcome: Outcome::Restarted, urls })
    }
}

/// In the order of who needs whom.
fn services(what: RestartWhat, vars: &Vars) -> Vec<Service> {
    let redis = Service::Container(vars.redis.container.clone());
    match what {
        RestartWhat::Api => vec![Service::Api],
        RestartWhat::Nginx => vec![Service::Nginx],
        RestartWhat::Redis => vec![redis],
        RestartWhat::All => vec![redis, Service::Api, Service::Nginx],
    }
}

async fn restart(
    service: &Service,
    args: &RestartArgs,
    work: &Work,
    engine: &mut Engine,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let step = |message| tell(What::Step { message, fraction: None });
    step(format!("restarting {}", service.name()));
    let request = Restart {
        service: service.clone(),
        run: run_info("restart"),
        patience_s: args.wait.into(),
        endpoints: endpoints(),
    };
    let pins = engine.restart(request, tell).await?;
    let exposure = engine.exposure(tell).await?;
    let host = engine.route.host.clone();
    let expected = expected(&host, &work.vars, &engine.facts, &exposure, Some(pins));
    let sight = Sight::find(engine).await;
    let mut wrong = look_after(&sight, &expected, &[], tell).await;
    if let Some(Check { name, ok: false, detail }) = web_ports(&sight, engine, tell).await? {
        wrong.push(format!("{name}: {detail}"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let what = format!("`{}` is restarted, and the host is not healthy", service.name());
    let mut failure =
        Failure::new(Exit::Failed, what).hint("`hwctl plan` shows what is not as it should be");
    failure.why = wrong;
    let words = engine.last_words(service.clone(), LAST_WORDS, tell).await?;
    failure.why.push(format!("the last lines of its log:\n{}", words.join("\n")));
    Err(failure)
}
