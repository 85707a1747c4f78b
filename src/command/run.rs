//! A run on one host: what was planned is carried out, looked at from outside, and kept or undone.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::engine::protocol::RunInfo;
use crate::event::{Check, What};
use crate::failure::{Exit, Failure};
use crate::remote::{Engine, Expected, Look, Planned, Route, Tell, WebPorts, look, look_by};
use crate::resource::{Blob, Facts, user_name};
use crate::stack::Upload;

/// How long services may take until they look right from outside.
const SETTLE: Duration = Duration::from_secs(8);

/// How long a host that may not serve at all is looked at before a run of a part.
const GLANCE: Duration = Duration::from_secs(3);

/// What the host should look like from outside, given what it is and its certificate.
pub(super) type Outside<'a> = &'a (dyn Fn(&Facts, Option<String>) -> Expected + Sync);

/// How a plan is carried out.
#[derive(Clone, Copy)]
pub(super) struct Carry<'a> {
    /// The local files that the host may ask for.
    pub(super) uploads: &'a [Upload],
    /// Leave the host as a failure left it.
    pub(super) keep_on_failure: bool,
    /// Whether only a part of the stack is meant: what is wrong from outside before the run may
    /// still be so after it.
    pub(super) is_part: bool,
    /// What is looked at before the run is kept.
    pub(super) outside: Option<Outside<'a>>,
}

/// Tells what is planned, and what stays where hwctl's own is taken away.
pub(super) fn show_plan(planned: &Planned, tell: Tell<'_>) {
    tell(What::Plan { changes: planned.changes.clone() });
    for (id, because) in planned.kept.clone() {
        tell(What::Kept { id, because });
    }
}

/// Applies, looks from outside, keeps; or has it undone.
pub(super) async fn carry_out(
    engine: &mut Engine,
    planned: Planned,
    carry: Carry<'_>,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let ours = carry.uploads.iter().map(|upload| (&upload.blob, &upload.path));
    let ours: HashMap<&Blob, &PathBuf> = ours.collect();
    let mut uploads = Vec::new();
    for blob in planned.wants {
        let path = ours.get(&blob).ok_or_else(|| {
            let what = format!("the host asks for `{}`, which is not ours", blob.key);
            Failure::new(Exit::Failed, what)
        })?;
        uploads.push((blob, (*path).clone()));
    }
    let wrong_before = match carry.outside {
        Some(outside) if carry.is_part => {
            wrong_now(&engine.route, &outside(&engine.facts, None)).await
        }
        _ => Vec::new(),
    };
    let before = match carry.outside {
        Some(_) => say_what_is_seen(&engine.route, tell).await,
        None => WebPorts::Answer,
    };
    let certificate = engine.apply(planned.fingerprint, &uploads, tell).await?;
    let (Some(certificate), Some(outside)) = (certificate, carry.outside) else {
        return engine.keep(tell).await;
    };
    let expected = outside(&engine.facts, Some(certificate));
    let wrong = match before {
        WebPorts::Silent if engine.route.web_ports().await == WebPorts::Silent => {
            look_inside(engine, expected, tell).await
        }
        _ => look_after(&engine.route, &expected, &wrong_before, tell).await,
    };
    if wrong.is_empty() {
        return engine.keep(tell).await;
    }
    let mut failure = Failure::new(Exit::Undone, "the host is not as it should be from outside")
        .hint("`--keep-on-failure` leaves the host as it is for a look");
    failure.why = wrong;
    let why = failure.what.clone();
    if carry.keep_on_failure {
        engine.leave(&why, tell).await?;
        let failure = Failure { exit: Exit::Failed, ..failure };
        return Err(failure
            .not_done("the run was not undone (`--keep-on-failure`)")
            .hint("`hwctl rollback` takes it back"));
    }
    let left = engine.undo(&why, tell).await?;
    Err(left.into_iter().fold(failure, Failure::why))
}

/// Says before anything is changed what cannot be looked at from here. A run must not be undone for
/// where the operator is.
async fn say_what_is_seen(route: &Route, tell: Tell<'_>) -> WebPorts {
    if let Some(through) = &route.through {
        let message = format!(
            "pages are looked at the way that ssh goes, through `{through}`. Whether other ports are \
             closed is not looked at from outside"
        );
        tell(What::Warning { message });
    }
    let ports = route.web_ports().await;
    if ports == WebPorts::Silent {
        let message = format!(
            "ports 80 and 443 of `{}` do not answer here. If this run does not open them, a firewall on \
             the way does not let this machine through: then pages are looked at through ssh",
            route.host
        );
        tell(What::Warning { message });
    }
    ports
}

/// Looks through the session's own connection, since the web ports do not let this machine in.
/// Returns what is wrong; where the host forwards nothing, nothing can be said.
async fn look_inside(engine: &Engine, expected: Expected, tell: Tell<'_>) -> Vec<String> {
    let ssh_port = engine.facts.ssh_ports.first().copied().unwrap_or(22);
    let Some(way) = engine.route.way_inside(ssh_port).await else {
        let message = "not looked at from outside: the web ports do not answer here, and the \
                       host's sshd forwards nothing"
            .to_owned();
        tell(What::Warning { message });
        return Vec::new();
    };
    tell(What::Step { message: "looking through ssh".to_owned(), fraction: None });
    let expected = expected.from_the_host_itself();
    let deadline = Instant::now() + SETTLE;
    let checks = loop {
        let looks = look_by(&way, &expected).await;
        if looks.iter().all(|look| look.check.ok) || Instant::now() >= deadline {
            break looks;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    };
    let mut wrong = Vec::new();
    for Look { check, .. } in checks {
        if !check.ok {
            wrong.push(format!("{}: {}", check.name, check.detail));
        }
        let detail = format!("{}, through ssh", check.detail);
        tell(What::Check { name: check.name, ok: check.ok, detail });
    }
    wrong
}

/// The names of what is not as it should be from outside before a run.
async fn wrong_now(route: &Route, expected: &Expected) -> Vec<String> {
    match timeout(GLANCE, look(route, expected)).await {
        Ok(checks) => {
            checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
        }
        Err(_) => expected.names(),
    }
}

/// Looks from outside and says what is wrong that was not `wrong_before`.
async fn look_after(
    route: &Route,
    expected: &Expected,
    wrong_before: &[String],
    tell: Tell<'_>,
) -> Vec<String> {
    tell(What::Step { message: "looking from outside".to_owned(), fraction: None });
    let (mut wrong, mut still) = (Vec::new(), Vec::new());
    for check in settled(route, expected, wrong_before).await {
        if !check.ok && wrong_before.contains(&check.name) {
            still.push(format!("{} ({})", check.name, check.detail));
            continue;
        }
        if !check.ok {
            wrong.push(format!("{}: {}", check.name, check.detail));
        }
        tell(What::Check { name: check.name, ok: check.ok, detail: check.detail });
    }
    if !still.is_empty() {
        let message = format!("wrong before this run, and still: {}", still.join(", "));
        tell(What::Warning { message });
    }
    wrong
}

/// Services that were just started may need a moment: the API finds Redis again within 2 s. What
/// was `wrong_before` is not waited for.
pub(super) async fn settled(
    route: &Route,
    expected: &Expected,
    wrong_before: &[String],
) -> Vec<Check> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let checks = look(route, expected).await;
        let settled = |check: &Check| check.ok || wrong_before.contains(&check.name);
        if checks.iter().all(settled) || Instant::now() >= deadline {
            return checks;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Who runs it, for the host's lock and journal.
pub(super) fn run_info(verb: &str) -> RunInfo {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    RunInfo {
        operator: format!("{}@{machine}", user(|name| std::env::var(name).ok())),
        verb: verb.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The person, also behind sudo; a timer and a service have no such variables.
fn user(variable: impl Fn(&str) -> Option<String>) -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(variable);
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| user_name(rustix::process::getuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_it_is_known_behind_sudo_and_without_variables() {
        let sudo = |name: &str| (name == "SUDO_USER").then(|| "alice".to_owned());
        assert_eq!(user(|name| sudo(name).or_else(|| Some("root".to_owned()))), "alice");
        let own = user_name(rustix::process::getuid().as_raw());
        assert_eq!(user(|_| None), own);
        assert_eq!(user(|_| Some(String::new())), own);
    }
}
