//! The operator's own apps on the host: why one of them does not serve.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::engine::{Case, Driver, Later, PackageContents, Symptoms, kept_parts, tail};
use crate::event::{Finding, Fix};
use crate::part::docker::host::{self as docker, PACKAGE, Subject};
use crate::resource::{
    Container, Health, HealthAddress, HealthFault, Resource, Unhealthy, Unit, listeners,
    restarts_of_unit,
};
use crate::spec::LogSource;

/// Lines of a log that findings show: systemd writes five about each new start, and what the app wrote comes before them.
const LOG_LINES: usize = 12;
/// What programs write when they cannot start, with the cause and what it is about.
const REASONS: [(&str, &str, &str); 5] = [
    (
        "error while loading shared libraries",
        "library",
        "a shared library that it needs is missing",
    ),
    ("Address already in use", "port", "another program has its port"),
    ("EADDRINUSE", "port", "another program has its port"),
    ("using more memory than it may", "memory", "it needs more memory than it may use"),
    ("ermission denied", "permission", "it may not use something that it needs"),
];

/// The driver of apps. All that it has to know is in their resources.
#[derive(Debug)]
pub(crate) struct Apps;

impl Driver for Apps {
    fn name(&self) -> &'static str {
        "apps"
    }

    fn package_contents(&self) -> &'static [PackageContents] {
        &[PACKAGE]
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        Box::pin(async move { diagnose(case, symptoms).await.map(Vec::from_iter) })
    }
}

/// The first thing that is wrong with an instance of the app.
async fn diagnose(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Result<Option<Finding>> {
    // After `deploy --rollback` another version than the declared one serves. That is told as a change by hand.
    let kept = kept_parts(case.host).unwrap_or_default();
    let kept = kept.iter().find(|part| part.name == case.part.name);
    if kept.is_some_and(|kept| kept.probes != case.part.probes) {
        return Ok(None);
    }
    for resource in symptoms.resources_of(case.part) {
        let found = match resource {
            Resource::Unit(unit) if unit.health.is_some() => of_unit(case, symptoms, unit).await,
            Resource::Container(container) => of_container(case, symptoms, container).await,
            _ => None,
        };
        if let Some(finding) = found {
            return Ok(Some(explained(case, finding)));
        }
    }
    Ok(None)
}

async fn of_unit(case: &Case<'_>, symptoms: &Symptoms<'_>, unit: &Unit) -> Option<Finding> {
    let (app, name) = (&case.part.name, &unit.name);
    let log = LogSource::Unit(name.clone());
    let state = symptoms.units.state(name);
    if symptoms.units.get(name, "LoadState") != "loaded" {
        let finding =
            Finding::new("app-absent", format!("this version of `{app}` is not on the host"));
        return Some(finding.evidence([state]).next(provision(app, "brings it")).fix(fix(case)));
    }
    let mut evidence = vec![state];
    if symptoms.units.get(name, "Result") == "oom-kill" {
        evidence.push("it was killed for using more memory than it may".to_owned());
    }
    let health = unit.health.as_ref()?;
    // It may run for a moment between two starts.
    let has_restarted = !matches!(symptoms.units.get(name, "NRestarts"), "" | "0");
    let is_between = has_restarted && is_absent(health.ask(case.host).await.err().as_ref());
    let has_failed = symptoms.units.get(name, "ActiveState") == "failed";
    if is_between || has_failed || symptoms.units.is_failing(name) {
        evidence.extend(tail(case.host, &log, LOG_LINES).await.unwrap_or_default());
        let finding = Finding::new("app-failing", format!("`{app}` ends as soon as it is started"));
        return Some(finding.evidence(evidence).next(back(app)));
    }
    if !symptoms.units.is_active(name) {
        let finding = Finding::new("app-stopped", format!("`{app}` does not run"));
        return Some(finding.evidence(evidence).next(provision(app, "starts it")).fix(fix(case)));
    }
    let listening = || {
        let ports = ports_of(case, name);
        match ports.as_slice() {
            [] => "it listens on no TCP port".to_owned(),
            ports => format!("it listens on port {}", ports.join(", ")),
        }
    };
    let counted = symptoms.units.get(name, "NRestarts").parse().unwrap_or_default();
    let recent = restarts_of_unit(case.host, name, counted).await;
    if recent.are_many() {
        evidence.push(recent.text());
        evidence.extend(tail(case.host, &log, LOG_LINES).await.unwrap_or_default());
        let finding = Finding::new("app-failing", format!("`{app}` does not stay up"));
        return Some(finding.evidence(evidence).next(back(app)));
    }
    of_health(case, health, &log, listening).await
}

async fn of_container(
    case: &Case<'_>,
    symptoms: &Symptoms<'_>,
    container: &Container,
) -> Option<Finding> {
    let app = &case.part.name;
    let subject = Subject { name: format!("`{app}`"), cause: "app", port: None };
    if let Some(finding) = docker::diagnose_one(case, symptoms, container, &subject).await {
        return Some(finding);
    }
    let inside = container.ports.first().map(|port| port.container_port).unwrap_or_default();
    let listening = || {
        format!(
            "nothing answers on port {inside} of the container: it has to listen there, on all addresses \
             (0.0.0.0)"
        )
    };
    let log = LogSource::Container(container.name.clone());
    of_health(case, container.health.as_ref()?, &log, listening).await
}

/// Whether nothing listens where an instance should.
fn is_absent(unhealthy: Option<&Unhealthy>) -> bool {
    unhealthy.is_some_and(|unhealthy| unhealthy.fault == HealthFault::Absent)
}

/// An instance that runs and does not answer, or not as it should. `listening` says where it listens.
async fn of_health(
    case: &Case<'_>,
    health: &Health,
    log: &LogSource,
    listening: impl FnOnce() -> String,
) -> Option<Finding> {
    let Unhealthy { fault, error } = health.ask(case.host).await.err()?;
    let (app, why) = (&case.part.name, format!("{error:#}"));
    let at = match &health.address {
        HealthAddress::Port(port) => format!("port {port}"),
        HealthAddress::Socket(path) => format!("`{}`", path.display()),
    };
    let restart = format!("`hwctl restart {app}` starts it anew; {}", back(app));
    let answered = format!("{} on {at}: {why}", health.path);
    let (cause, what, evidence) = match fault {
        HealthFault::Refusal => ("app-unhealthy", "is not healthy".to_owned(), answered),
        HealthFault::Absent => ("app-elsewhere", format!("does not listen on {at}"), listening()),
        HealthFault::Silence => ("app-silent", "does not answer".to_owned(), answered),
    };
    let finding = Finding::new(cause, format!("`{app}` runs and {what}"));
    let lines = tail(case.host, log, LOG_LINES).await.unwrap_or_default();
    Some(finding.evidence([evidence]).evidence(lines).next(restart))
}

/// The same with a headline and a next step of its own, where what the app wrote says why it does not start.
fn explained(case: &Case<'_>, mut finding: Finding) -> Finding {
    let app = &case.part.name;
    if !matches!(finding.cause.as_str(), "app-failing" | "app-stopped") {
        return finding;
    }
    let says = |text: &str| finding.evidence.iter().any(|line| line.contains(text));
    let reason = REASONS.iter().find(|(text, ..)| says(text));
    let Some((_, cause, what)) = reason else { return finding };
    finding.cause = format!("app-{cause}");
    finding.what = format!("`{app}` does not start: {what}");
    finding.fix = None;
    finding.next = match *cause {
        "memory" => {
            format!("give it more as `apps.{app}.memory`, then {}", provision(app, "starts it"))
        }
        "library" => format!(
            "add the package with that library to `apps.{app}.packages`, or build the program statically; {}",
            back(app)
        ),
        "port" => format!(
            "have the app listen where `PORT` says, or see with `ss -ltnp` on the host who has the port; {}",
            back(app)
        ),
        _ => format!(
            "what the app writes belongs into its `STATE_DIRECTORY` or a volume; {}",
            back(app)
        ),
    };
    finding
}

fn fix(case: &Case<'_>) -> Fix {
    Fix::Provision { tags: vec![case.part.name.clone()] }
}

fn provision(app: &str, what: &str) -> String {
    format!("`hwctl provision --only {app}` {what}")
}

fn back(app: &str) -> String {
    format!("`hwctl deploy {app} --rollback` goes back to the version before")
}

/// The TCP ports that the processes of a unit listen on.
fn ports_of(case: &Case<'_>, unit: &str) -> Vec<String> {
    let path = format!("/sys/fs/cgroup/system.slice/{unit}/cgroup.procs");
    let pids = fs::read_to_string(case.host.path(Path::new(&path))).unwrap_or_default();
    let pids: Vec<u32> = pids.lines().filter_map(|pid| pid.parse().ok()).collect();
    let own = listeners()
        .into_iter()
        .filter(|listener| listener.processes.iter().any(|(pid, _)| pids.contains(pid)));
    own.map(|listener| listener.port.to_string()).collect()
}
