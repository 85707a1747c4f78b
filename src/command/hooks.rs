//! The operator's own commands before and after a run. They run on this machine, in the inventory's folder.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::command::fleet::hosts::Work;
use crate::event::Outcome;
use crate::failure::{Exit, Failure};
use crate::part::Hooks;

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_mins(10);
/// As much of its output as a message shows, in lines and in bytes.
const SHOWN_LINES: usize = 5;
const SHOWN_BYTES: u64 = 4096;

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
    // A file, since a process that the command leaves behind, such as a tunnel, would hold a pipe open.
    let (mut output, both) = output_file().map_err(|error| wrong(format!("{error}")))?;
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .current_dir(folder.unwrap_or(Path::new(".")))
        .env("HWCTL_HOST", &work.target.name)
        .env("HWCTL_ADDRESS", &work.target.address)
        .stdin(Stdio::null())
        .stdout(both.0)
        .stderr(both.1)
        .kill_on_drop(true);
    if let Some(outcome) = outcome {
        let word = serde_json::to_value(outcome).unwrap_or_default();
        command.env("HWCTL_OUTCOME", word.as_str().unwrap_or_default());
    }
    let status = tokio::time::timeout(TIMEOUT, command.status()).await;
    let status = status
        .map_err(|_| wrong(format!("`{program}` took more than {} s", TIMEOUT.as_secs())))?
        .map_err(|error| wrong(format!("run `{program}`: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(wrong(format!("`{program}`: {status}\n{}", last_lines(&mut output))))
}

/// A file without a name for what a command prints, and the two ends that the command writes to.
fn output_file() -> std::io::Result<(File, (File, File))> {
    let file = tempfile::tempfile()?;
    let ends = (file.try_clone()?, file.try_clone()?);
    Ok((file, ends))
}

fn last_lines(output: &mut File) -> String {
    let length = output.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    let read = output
        .seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))
        .and_then(|_| output.take(SHOWN_BYTES).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    match read {
        Ok(_) => lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"),
        Err(error) => format!("its output cannot be read: {error}"),
    }
}
