//! A run on one host: what was planned is carried out, looked at from outside, and kept or undone.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use super::sight::Sight;
use crate::client::{Expected, Pins};
use crate::engine::protocol::RunInfo;
use crate::event::What;
use crate::failure::{Exit, Failure};
use crate::part::{Upload, endpoints};
use crate::remote::{Engine, Planned, Tell};
use crate::resource::{Blob, Exposure, Facts, user_name};

/// How long a host that may not serve at all is looked at before a run of a part.
const GLANCE: Duration = Duration::from_secs(3);

/// What a client should see of the host, given what it is, what others open on it, and the certificates of
/// its endpoints as far as they are known.
pub(super) type Outside<'a> = &'a (dyn Fn(&Facts, &Exposure, Option<Pins>) -> Expected + Sync);

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
    let (before, wrong_before) = match carry.outside {
        Some(outside) => look_before(engine, outside, carry.is_part, tell).await,
        None => (None, Vec::new()),
    };
    let pins = engine.apply(planned.fingerprint, &uploads, tell).await?;
    // A run of a part may come before the one that makes the host serve.
    let Some(outside) = carry.outside.filter(|_| pins.recognize_any(&endpoints())) else {
        return engine.keep(tell).await;
    };
    // What cannot be told of others fails no run.
    let exposure = engine.exposure(tell).await.unwrap_or_default();
    let expected = outside(&engine.facts, &exposure, Some(pins));
    let sight = match before {
        // Ports that this run has shut are its fault.
        Some(Sight::AsClient(_)) => Sight::as_client(engine).await,
        _ => Sight::find(engine).await,
    };
    let wrong = look_after(&sight, &expected, &wrong_before, tell).await;
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

/// Finds the way to look by before anything is changed, and says what cannot be looked at from here. A run
/// must not be undone for where the operator is. Before a run of a part, what is wrong already is named.
async fn look_before(
    engine: &mut Engine,
    outside: Outside<'_>,
    is_part: bool,
    tell: Tell<'_>,
) -> (Option<Sight>, Vec<String>) {
    if let Some(through) = &engine.route.through {
        let message = format!(
            "pages are looked at the way that ssh goes, through `{through}`. Whether other ports are \
             closed is not looked at from outside"
        );
        tell(What::Warning { message });
    }
    let sight = Sight::find(engine).await;
    if !matches!(sight, Sight::AsClient(_)) {
        let message = format!(
            "the web ports of `{}` do not answer here. If this run does not open them, a firewall on \
             the way does not let this machine through: then pages are looked at through ssh",
            engine.route.host
        );
        tell(What::Warning { message });
    }
    let mut wrong = Vec::new();
    if is_part {
        let exposure = engine.exposure(tell).await.unwrap_or_default();
        wrong = wrong_now(&sight, outside(&engine.facts, &exposure, None)).await;
    }
    (Some(sight), wrong)
}

/// The names of what is not as it should be from outside before a run.
async fn wrong_now(sight: &Sight, expected: Expected) -> Vec<String> {
    let names = expected.names();
    match timeout(GLANCE, sight.look(expected)).await {
        Ok(checks) => {
            checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
        }
        Err(_) => names,
    }
}

/// Looks from outside and says what is wrong that was not `wrong_before`.
pub(super) async fn look_after(
    sight: &Sight,
    expected: &Expected,
    wrong_before: &[String],
    tell: Tell<'_>,
) -> Vec<String> {
    sight.tell(tell);
    let (mut wrong, mut still) = (Vec::new(), Vec::new());
    for check in sight.settled(expected, wrong_before).await {
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
