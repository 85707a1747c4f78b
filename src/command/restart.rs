//! `hwctl restart`: restarts services and waits until the host is healthy from outside.

use anyhow::Result;

use crate::cli::RestartArgs;
use crate::command::fleet::hosts::{Work, require_part};
use crate::command::fleet::names;
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::roll::in_turn;
use crate::command::run::expected::{expected, urls};
use crate::command::run::vantage::{Vantage, web_ports};
use crate::command::run::{check_after, run_info};
use crate::engine::protocol::RestartRequest;
use crate::event::{Check, EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine};
use crate::spec::{PartSpec, Restart, endpoints_of, in_order, restart_of};

/// The name for all that is restarted together.
pub(super) const ALL: &str = "all";
/// How many lines of a log a failure shows.
const LOG_LINES: usize = 8;

/// Runs `hwctl restart`.
pub fn run(kinds: Kinds, args: RestartArgs) -> Result<Exit> {
    let show = Show { json: args.json, diff: false, check: false };
    let hosts = args.hosts.clone();
    fleet::run(kinds, &hosts, show, args)
}

impl Job for RestartArgs {
    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        let mut known = names::of_restarts(works.iter().flat_map(Work::parts));
        // A part that only other hosts have is told as such.
        let has_part = works.iter().flat_map(Work::parts).any(|part| part.name == self.what);
        let is_kind = works.iter().any(|work| work.knows_kind(&self.what));
        if !known.contains(&self.what) && is_kind && !has_part {
            return require_part(works, &self.what);
        }
        known.push(ALL.to_owned());
        names::require_known("there is nothing to restart called", [&self.what], &known)
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let parts = work.parts();
        let meant = meant(&self.what, &parts);
        if meant.is_empty() {
            return Ok(Outcome::Unchanged.into());
        }
        let mut engine = Engine::start(&work.target, emit).await?;
        let restarts = async {
            let mut restarted: Vec<&str> = Vec::new();
            for meant in meant {
                let done = restart(meant, self, work, &mut engine, emit).await;
                done.map_err(|failure| so_far(failure, &restarted, &meant.1.label))?;
                restarted.push(&meant.1.label);
            }
            Ok(())
        };
        if in_turn(work, true, Box::pin(restarts), emit).await?.is_none() {
            engine.hang_up().await;
            return Ok(Outcome::Skipped.into());
        }
        let host = engine.route.host.clone();
        engine.hang_up().await;
        let urls = urls(&host, work);
        Ok(Ended { outcome: Outcome::Restarted, urls })
    }
}

/// What is meant, in the order of who requires whom.
fn meant<'a>(what: &str, parts: &'a [PartSpec]) -> Vec<(&'a PartSpec, &'a Restart)> {
    if what != ALL {
        return restart_of(parts, what).into_iter().collect();
    }
    in_order(parts)
        .into_iter()
        .flat_map(|part| part.restarts.iter().map(move |restart| (part, restart)))
        .filter(|(_, restart)| restart.in_all)
        .collect()
}

/// Says what an interrupted restart has done. A request that the host already has is carried out.
fn so_far(failure: Failure, restarted: &[&str], label: &str) -> Failure {
    if failure.exit != Exit::Interrupted {
        return failure;
    }
    let unknown =
        format!("whether `{label}` has restarted is unknown: `hwctl status` shows its state");
    let failure = failure.not_done(unknown);
    match restarted.is_empty() {
        true => failure,
        false => failure.why(format!("restarted before: {}", restarted.join(", "))),
    }
}

async fn restart(
    (part, restart): (&PartSpec, &Restart),
    args: &RestartArgs,
    work: &Work,
    engine: &mut Engine,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let step = |message| emit(EventKind::Step { message, fraction: None });
    step(format!("restarting {}", restart.label));
    let request = RestartRequest {
        part: part.clone(),
        restart: restart.clone(),
        run: run_info("restart"),
        patience_s: args.wait.into(),
        endpoints: endpoints_of(&work.parts()),
    };
    let pins = engine.restart(request, emit).await?;
    let exposure = engine.exposure(emit).await?;
    let host = engine.route.host.clone();
    let expected = expected(&host, work, &engine.facts, &exposure, Some(pins));
    let vantage = Vantage::find(engine, &expected.endpoints).await;
    let mut wrong = check_after(&vantage, &expected, &[], emit).await;
    let ports = web_ports(&vantage, engine, &expected.endpoints, emit).await?;
    if let Some(Check { name, ok: false, detail }) = ports {
        wrong.push(format!("{name}: {detail}"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let what = format!("`{}` restarted, but the host is still unhealthy", restart.label);
    let mut failure =
        Failure::new(Exit::Failed, what).hint("`hwctl plan` shows what is not as it should be");
    failure.why = wrong;
    let lines = engine.tail(restart.log.clone(), LOG_LINES, emit).await?;
    failure.why.push(format!("the last lines of its log:\n{}", lines.join("\n")));
    Err(failure)
}
