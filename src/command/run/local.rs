//! On the host itself: a run without an operator's side, as a timer starts it.

use std::time::Duration;

use anyhow::Result;

use crate::client::{Expected, Pins};
use crate::command::cert::RENEW;
use crate::command::on_host::this_host;
use crate::command::run::Run;
use crate::engine::kept_parts;
use crate::engine::protocol::Goal;
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::remote::Engine;
use crate::report::print;
use crate::spec::{Endpoint, Pin, Question, Wanted, endpoints_of};

/// How long another run is waited for.
const PATIENCE: Duration = Duration::from_mins(5);

/// Brings this host to `goal` as a run, and looks at what nginx serves before it is kept.
pub(in crate::command) fn renew(goal: Goal) -> Result<Exit> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::usage("`--here` is for root on the host itself")
            .hint("leave it out to renew the certificates of the inventory's hosts")
            .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(goal))
}

async fn run(goal: Goal) -> Result<Exit> {
    let endpoints = endpoints_of(&kept_parts(&this_host())?);
    let mut engine = Engine::here(&emit).await?;
    let outcome = renewed(&mut engine, goal, &endpoints).await;
    engine.hang_up().await;
    print(match outcome? {
        Outcome::Unchanged => "nothing to do",
        _ => "the new certificate is served",
    });
    Ok(Exit::Done)
}

async fn renewed(
    engine: &mut Engine,
    goal: Goal,
    endpoints: &[Endpoint],
) -> Result<Outcome, Failure> {
    let served = |_: &_, _: &_, pins| served(endpoints, pins);
    let run = Run::new(RENEW, goal, PATIENCE).checked_from_outside(&served, false).failing_with(
        "nginx does not serve the new certificate",
        "`journalctl -u nginx` has more; the old certificate is in its place again",
    );
    let planned = run.plan(engine, &emit).await?;
    let outcome = planned.outcome();
    planned.carry_out(engine, &emit).await?;
    Ok(outcome)
}

/// Each endpoint with a certificate serves the one that the host has now, whatever the answer.
fn served(endpoints: &[Endpoint], pins: Option<Pins>) -> Expected {
    let secure = endpoints.iter().filter(|endpoint| matches!(endpoint.pin, Pin::File(_)));
    let question = |endpoint: &Endpoint| Question {
        endpoint: endpoint.name.clone(),
        path: "/".to_owned(),
        host: None,
        wanted: Wanted::Certificate,
    };
    Expected {
        address: "127.0.0.1".to_owned(),
        endpoints: endpoints.to_vec(),
        pins,
        questions: secure.map(question).collect(),
        closed: Vec::new(),
    }
}

/// Prints what happens, a line each.
fn emit(what: EventKind) {
    match what {
        EventKind::Warning { message } | EventKind::Step { message, .. } => print(&message),
        EventKind::Plan { changes } => {
            for planned in changes {
                print(&format!("{:?} {}", planned.change.action, planned.change.id));
            }
        }
        _ => {}
    }
}
