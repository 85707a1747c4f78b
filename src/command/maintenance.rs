//! `hwctl maintenance`: takes apps out of service, with a page that says so, and puts them back.

use anyhow::Result;

use crate::cli::{MaintenanceArgs, Switch};
use crate::command::fleet::hosts::Work;
use crate::command::fleet::names::{of_apps, require_known};
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::run::run_info;
use crate::engine::protocol::SwitchRequest;
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine};

/// Runs `hwctl maintenance`.
pub fn run(kinds: Kinds, args: MaintenanceArgs) -> Result<Exit> {
    let show = Show { json: args.json, diff: false, check: false };
    let hosts = args.hosts.clone();
    fleet::run(kinds, &hosts, show, args)
}

impl Job for MaintenanceArgs {
    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        let known = of_apps(works.iter().flat_map(Work::parts));
        if known.is_empty() {
            return Err(Failure::usage("no host has an app that could be out of service")
                .not_done("no host was contacted")
                .hint("`apps` in the inventory declares apps"));
        }
        require_known("there is no app", &self.apps, &known)
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let mut parts = of_apps(work.parts());
        parts.retain(|part| self.apps.is_empty() || self.apps.contains(part));
        if parts.is_empty() {
            return Ok(Outcome::Unchanged.into());
        }
        let is_on = self.state == Switch::On;
        let mut engine = Engine::start(&work.target, emit).await?;
        let run = run_info("maintenance");
        let asked = SwitchRequest { parts, is_on, run, patience_s: self.wait.into() };
        let switched = engine.switch(asked, emit).await?;
        engine.hang_up().await;
        let told = if is_on { "out of service: clients get 503" } else { "back in service" };
        for part in &switched {
            emit(EventKind::Step { message: format!("{part} is {told}"), fraction: None });
        }
        let is_changed = !switched.is_empty();
        Ok(if is_changed { Outcome::Changed } else { Outcome::Unchanged }.into())
    }
}
