//! The operator's own commands before and after a run. They run on this machine, in the inventory's folder.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::command::fleet::hosts::Work;
use crate::event::Outcome;
use crate::failure::{Exit, Failure};
use crate::part::Hooks;

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_mins(10);
/// As much of its output as a message shows, in lines.
const SHOWN_LINES: usize = 5;

/// Runs the command before a run. One that fails stops it.
pub(super) async fn before_provision(work: &Work) -> Result<(), Failure> {
    let words = &work.vars.get::<Hooks>().before_provision;
    let not_done = || format!("`{}` was not contacted", work.target.name);
    run("hooks.before_provision", words, work, None).await.map_err(|f| f.not_done(not_done()))
}

/// Runs the command after a run that ended so.
pub(super) async fn after_provision(work: &Work, outcome: Outcome) -> Result<(), Failure> {
    let words = &work.vars.get::<Hooks>().after_provision;
    run("hooks.after_provision", words, work, Some(outcome)).await
}

/// How a run ended that failed this way.
pub(super) fn outcome_of(failure: &Failure) -> Outcome {
    match failure.exit {
        Exit::Undone => Outcome::Undone,
        Exit::Unreachable => Outcome::Unreachable,
        Exit::Interrupted => Outcome::Interrupted,
        Exit::Done | Exit::Failed | Exit::Usage | Exit::Changes => Outcome::Failed,
    }
}

async fn run(
    key: &str,
    words: &[String],
    work: &Work,
    outcome: Option<Outcome>,
) -> Result<(), Failure> {
    let [program, arguments @ ..] = words else { return Ok(()) };
    let wrong = |why: String| {
        let place = work.place(&key.split('.').collect::<Vec<_>>());
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        Failure::new(Exit::Failed, format!("`{key}`{place} failed")).why(why)
    };
    // The folder of `inventory.yaml` has no name.
    let folder = Some(work.folder.as_path()).filter(|folder| !folder.as_os_str().is_empty());
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .current_dir(folder.unwrap_or(Path::new(".")))
        .env("HWCTL_HOST", &work.target.name)
        .env("HWCTL_ADDRESS", &work.target.address)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(outcome) = outcome {
        let word = serde_json::to_value(outcome).unwrap_or_default();
        command.env("HWCTL_OUTCOME", word.as_str().unwrap_or_default());
    }
    let output = tokio::time::timeout(TIMEOUT, command.output()).await;
    let output = output
        .map_err(|_| wrong(format!("`{program}` took more than {} s", TIMEOUT.as_secs())))?
        .map_err(|error| wrong(format!("run `{program}`: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let lines: Vec<_> = told.lines().collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    Err(wrong(format!("`{program}`: {}\n{}", output.status, last.join("\n"))))
}
