//! `hwctl deploy`: a new version of the API or of an app beside the old one, switched to once it is healthy.

use std::path::PathBuf;

use anyhow::Result;

use crate::cli::{DeployArgs, NamedHosts, PartArgs, ProvisionArgs};
use crate::command::fleet::hosts;
use crate::command::fleet::hosts::{Work, require_part};
use crate::command::fleet::names::{of_apps, require_known};
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::provision::Provision;
use crate::command::roll::in_turn;
use crate::command::run::Run;
use crate::command::run::expected::{expected, urls};
use crate::engine::protocol::Goal;
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::Api;
use crate::part::{API_LINK, Kinds};
use crate::remote::{Emit, Engine};
use crate::spec::Scope;

/// The part with the API.
const API: &str = "api";

/// Runs `hwctl deploy`.
pub fn run(kinds: Kinds, args: DeployArgs) -> Result<Exit> {
    let show = Show { json: args.plan.json, diff: args.check, check: args.check };
    let hosts = args.plan.hosts.clone();
    if args.binary.is_some() && args.app != API {
        return Err(Failure::usage("`--binary` is for the API")
            .not_done("no host was contacted")
            .hint(format!("`apps.{}` in the inventory says what the app is made of", args.app))
            .into());
    }
    let binary = args.binary.as_ref().map(std::path::absolute).transpose()?;
    if let Some(path) = binary.as_ref().filter(|path| !path.is_file()) {
        return Err(Failure::usage(format!("`{}` is not a file", path.display())).into());
    }
    fleet::run(kinds, &hosts, show, Deploy { args, binary })
}

struct Deploy {
    args: DeployArgs,
    binary: Option<PathBuf>,
}

impl Job for Deploy {
    fn needs(&self) -> Scope {
        match self.args.rollback {
            true => hosts::nothing(),
            false => Scope::Only(vec![self.args.app.clone()]),
        }
    }

    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        let app = &self.args.app;
        let has_api = works.iter().any(|work| work.part(API).is_ok());
        let mut known = of_apps(works.iter().flat_map(Work::parts));
        // A host without the API is told as such.
        if has_api || app == API {
            known.push(API.to_owned());
        }
        if known.is_empty() {
            return Err(Failure::usage(format!("there is no app `{app}`"))
                .not_done("no host was contacted")
                .hint(format!("`apps.{app}` in the inventory declares one")));
        }
        require_known("there is no app", [app], &known)?;
        require_part(works, app)?;
        works.iter().try_for_each(|work| {
            work.check_parts().map_err(|failure| failure.not_done("no host was contacted"))
        })
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let Self { args, binary } = self;
        if work.part(&args.app).is_err() {
            return Ok(Outcome::Unchanged.into());
        }
        let declared = work.vars.get::<Api>().binary.as_ref().map(|path| work.folder.join(path));
        let lasts = match binary {
            None => !args.rollback,
            Some(path) => declared.as_ref() == Some(path),
        };
        let ended = match args.rollback {
            true => self.back(work, emit).await?,
            false => self.forth(work, emit).await?,
        };
        if !lasts && ended.outcome == Outcome::Changed {
            let keep = match args.app.as_str() {
                API => "name the one to keep as `api.binary` in the inventory".to_owned(),
                app => format!("declare the one to keep as `apps.{app}` in the inventory"),
            };
            let message = format!("the next `provision` goes back to the declared version: {keep}");
            emit(EventKind::Warning { message });
        }
        Ok(ended)
    }
}

impl Deploy {
    async fn forth(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let mut work = work.clone();
        if let Some(path) = &self.binary {
            let api = work.vars.get::<Api>().clone();
            work.vars.set(Api { binary: Some(path.clone()), ..api });
        }
        let scope = Scope::Only(vec![self.args.app.clone()]);
        let args = ProvisionArgs {
            named: NamedHosts::default(),
            plan: self.args.plan.clone(),
            parts: PartArgs::default(),
            check: self.args.check,
            diff: false,
            reviewed: None,
            expect: None,
            keep_on_failure: false,
        };
        let provision = Provision::new(args, scope, "deploy");
        provision.on_host(&work, emit).await
    }

    /// To the version before.
    async fn back(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let mut engine = Engine::start(&work.target, emit).await?;
        let host = engine.route.host.clone();
        let outside = |facts: &_, exposure: &_, pins| {
            let mut expected = expected(&host, work, facts, exposure, pins);
            expected.closed.clear();
            expected
        };
        let goal = match self.args.app.as_str() {
            API => Goal::PreviousVersion { link: API_LINK.into() },
            app => Goal::VersionBefore { part: app.to_owned() },
        };
        let run = Run::with("deploy --rollback", goal, &self.args.plan)
            .only_planned(self.args.check)
            .checked_from_outside(&outside, true);
        let planned = run.plan(&mut engine, emit).await?;
        let is_due = planned.is_due();
        let change = Box::pin(planned.carry_out(&mut engine, emit));
        let carried = in_turn(work, is_due, change, emit).await?;
        engine.hang_up().await;
        let outcome = carried.map_or(Outcome::Skipped, |()| Outcome::Changed);
        Ok(Ended { outcome, urls: urls(&host, work) })
    }
}
