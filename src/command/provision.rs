//! `hwctl provision` and `hwctl plan`: plan, apply, verify from outside, keep or undo.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::hosts::{self, Work, template_folder};
use crate::bundle;
use crate::cli::{PlanArgs, ProvisionArgs};
use crate::engine::protocol::{PlanRequest, RunInfo};
use crate::event::{Event, HostSummary, Outcome, Sink, What};
use crate::failure::{Exit, Failure};
use crate::inventory::{Port, Protocol, Site, Vars};
use crate::remote::{Engine, Expected, Page, Planned, Tell, look};
use crate::report::{Json, Style, Terminal};
use crate::resource::{Blob, Facts};
use crate::stack::{Context, Stack, Templates, stack};

/// Ports that services of this and other stacks listen on: none of them may answer from outside
/// unless it is declared.
const PRIVATE_PORTS: [u16; 16] =
    [21, 25, 111, 2375, 2376, 3000, 3306, 5000, 5432, 6379, 8000, 8080, 8443, 9090, 9100, 11211];

/// How long services may take until they look right from outside.
const SETTLE: Duration = Duration::from_secs(8);

/// Runs `hwctl provision`.
pub fn run(args: &ProvisionArgs) -> Result<Exit> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(work(args))
}

/// Runs `hwctl plan`.
pub fn plan(args: PlanArgs) -> Result<Exit> {
    run(&ProvisionArgs { plan: args, check: true, diff: true, keep_on_failure: false })
}

async fn work(args: &ProvisionArgs) -> Result<Exit> {
    let sink = sink(args);
    sink.event(Event::of_run(What::Version { version: env!("CARGO_PKG_VERSION").to_owned() }));
    let lab_sink = Arc::clone(&sink);
    let step = move |line: &str| {
        lab_sink.event(Event::of_run(What::Step { message: line.to_owned(), fraction: None }));
    };
    let found = match hosts::find(&args.plan.hosts, step) {
        Ok(found) => found,
        Err(error) => {
            let failure = Failure::from(error);
            let exit = failure.exit;
            sink.event(Event::of_run(What::Failed { failure }));
            sink.event(Event::of_run(What::Summary { hosts: Vec::new() }));
            return Ok(exit);
        }
    };
    let args = Arc::new(args.clone());
    let mut tasks = Vec::new();
    for work in found {
        let (sink, args) = (Arc::clone(&sink), Arc::clone(&args));
        tasks.push(tokio::spawn(async move { host(&work, &args, &*sink).await }));
    }
    let mut summaries = Vec::new();
    for task in tasks {
        summaries.push(task.await?);
    }
    let exit = exit_of(&summaries, args.check);
    sink.event(Event::of_run(What::Summary { hosts: summaries }));
    Ok(exit)
}

fn sink(args: &ProvisionArgs) -> Arc<dyn Sink> {
    if args.plan.json {
        return Arc::new(Json::new(std::io::stdout()));
    }
    let style = Style {
        color: console::colors_enabled(),
        live: std::io::stderr().is_terminal(),
        diff: args.diff || args.check,
        check: args.check,
    };
    Arc::new(Terminal::new(std::io::stdout(), style))
}

/// The worst outcome decides.
fn exit_of(hosts: &[HostSummary], check: bool) -> Exit {
    let any = |outcome| hosts.iter().any(|host| host.outcome == outcome);
    if any(Outcome::Failed) {
        Exit::Failed
    } else if any(Outcome::Undone) {
        Exit::Undone
    } else if any(Outcome::Unreachable) {
        Exit::Unreachable
    } else if check && any(Outcome::Changed) {
        Exit::Changes
    } else {
        Exit::Done
    }
}

/// All the work on one host; never an error: that is told as an event.
async fn host(work: &Work, args: &ProvisionArgs, sink: &dyn Sink) -> HostSummary {
    let start = Instant::now();
    let name = work.target.name.clone();
    let tell = |what| sink.event(Event::on(name.clone(), what));
    for warning in &work.warnings {
        tell(What::Warning { message: warning.clone() });
    }
    let mut changes = 0;
    let result = one_run(work, args, &tell, &mut changes).await;
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(failure) => {
            let outcome = match failure.exit {
                Exit::Unreachable => Outcome::Unreachable,
                Exit::Undone => Outcome::Undone,
                _ => Outcome::Failed,
            };
            tell(What::Failed { failure });
            outcome
        }
    };
    let serves = !args.check && matches!(outcome, Outcome::Changed | Outcome::Unchanged);
    let urls = if serves { urls(&work.target.address, &work.vars) } else { Vec::new() };
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let summary = HostSummary { host: name.clone(), outcome, changes, elapsed_ms, urls };
    tell(What::Done(summary.clone()));
    summary
}

async fn one_run(
    work: &Work,
    args: &ProvisionArgs,
    tell: Tell<'_>,
    changes: &mut usize,
) -> Result<Outcome, Failure> {
    // A broken template is known before the host is contacted.
    let templates = Templates::load(&template_folder(&work.folder))
        .map_err(|error| Failure::from_error(Exit::Usage, &error))?;
    let mut engine = Engine::start(&work.target, tell).await?;
    let made = make_stack(work, &engine, &templates)?;
    tell(What::Step { message: "reading the host".to_owned(), fraction: None });
    let request = PlanRequest {
        declared: made.resources.clone(),
        run: (!args.check).then(run_info),
        patience_s: args.plan.wait.into(),
        keep_on_failure: args.keep_on_failure,
    };
    let planned = engine.plan(request, tell).await?;
    *changes = planned.changes.len();
    tell(What::Plan { changes: planned.changes.clone() });
    if planned.changes.is_empty() || args.check {
        engine.hang_up().await;
        let none = planned.changes.is_empty();
        return Ok(if none { Outcome::Unchanged } else { Outcome::Changed });
    }
    carry_out(work, args, &mut engine, &made, planned, tell).await?;
    engine.hang_up().await;
    Ok(Outcome::Changed)
}

/// Applies, looks from outside, keeps; or has it undone.
async fn carry_out(
    work: &Work,
    args: &ProvisionArgs,
    engine: &mut Engine,
    made: &Stack,
    planned: Planned,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    for blob in &planned.wants {
        let upload = made.uploads.iter().find(|upload| upload.blob == *blob);
        let upload = upload.ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                format!("the host asks for `{}`, which is not ours", blob.key),
            )
        })?;
        engine.send_blob(blob, &upload.path, tell).await?;
    }
    let certificate = engine.apply(planned.fingerprint, tell).await?;
    let Some(certificate) = certificate else { return engine.keep(tell).await };
    tell(What::Step { message: "looking from outside".to_owned(), fraction: None });
    let expected = expected(&work.target.address, &work.vars, &engine.facts, certificate);
    let mut checks = look(&expected).await;
    // Services that were just started may need a moment: the API finds Redis again within 2 s.
    let deadline = Instant::now() + SETTLE;
    while checks.iter().any(|check| !check.ok) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(250)).await;
        checks = look(&expected).await;
    }
    let mut wrong = Vec::new();
    for check in checks {
        if !check.ok {
            wrong.push(format!("{}: {}", check.name, check.detail));
        }
        tell(What::Check { name: check.name, ok: check.ok, detail: check.detail });
    }
    if wrong.is_empty() {
        return engine.keep(tell).await;
    }
    let mut failure = Failure::new(Exit::Undone, "the host is not as it should be from outside")
        .hint("`--keep-on-failure` leaves the host as it is for a look");
    failure.why = wrong;
    if args.keep_on_failure {
        engine.keep(tell).await?;
        let failure = Failure { exit: Exit::Failed, hint: None, ..failure };
        return Err(failure.not_done("the run was not undone (`--keep-on-failure`)"));
    }
    let why = failure.what.clone();
    engine.undo(&why, tell).await?;
    Err(failure)
}

fn make_stack(work: &Work, engine: &Engine, templates: &Templates) -> Result<Stack, Failure> {
    let api = bundle::API.map(|api| Blob { key: api.key.to_owned(), size: api.size });
    let api = api.ok_or_else(|| Failure::usage("this build of hwctl carries no API binary"))?;
    let context = Context {
        address: &work.target.address,
        folder: &work.folder,
        binary: &engine.binary,
        api: &api,
    };
    stack(&work.vars, &engine.facts, context, templates)
        .map_err(|error| Failure::from_error(Exit::Usage, &error))
}

fn run_info() -> RunInfo {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    RunInfo {
        operator: format!("{}@{machine}", user.unwrap_or_else(|_| "someone".to_owned())),
        verb: "provision".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn with_slash(path: &str) -> String {
    if path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

fn urls(address: &str, vars: &Vars) -> Vec<String> {
    let paths = vars.sites.values().map(|site| with_slash(&site.path));
    paths.chain(["/flask/swagger/".to_owned()]).map(|p| format!("https://{address}{p}")).collect()
}

/// What a client sees of such a host.
fn expected(address: &str, vars: &Vars, facts: &Facts, certificate: String) -> Expected {
    let mut pages: Vec<_> = vars.sites.values().map(|site| site_page(site, facts)).collect();
    let page = |path: &str, status, holds: Option<&str>| Page {
        path: path.to_owned(),
        statuses: vec![status],
        holds: holds.map(str::to_owned),
    };
    pages.push(page("/flask/api/ping", 200, Some("{\"status\":\"ok\"}")));
    pages.push(page("/flask/api/health", 200, None));
    pages.push(page("/flask/api/count", 401, None));
    pages.push(page("/flask/swagger/", 200, None));
    let declared = |port: &u16| {
        let tcp = Port { number: *port, protocol: Protocol::Tcp };
        vars.firewall.allow.contains(&tcp) || facts.ssh_ports.contains(port)
    };
    let mut closed: Vec<u16> = PRIVATE_PORTS.into_iter().chain([vars.redis.port]).collect();
    closed.sort_unstable();
    closed.dedup();
    closed.retain(|port| !declared(port));
    Expected { address: address.to_owned(), certificate, pages, closed }
}

/// A closed site answers 403 to those who are not on its list, and asks the others who they are.
fn site_page(site: &Site, facts: &Facts) -> Page {
    let listed = facts.ssh_client.map(|us| site.allow.iter().any(|network| network.contains(us)));
    let let_in = if site.users.is_empty() { 200 } else { 401 };
    let statuses = match listed {
        _ if site.allow.is_empty() => vec![let_in],
        Some(true) => vec![let_in],
        Some(false) => vec![403],
        None => vec![let_in, 403],
    };
    Page { path: with_slash(&site.path), statuses, holds: None }
}
