//! `hwctl exec`: a command on many hosts at once, each line told as it comes.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use crate::cli::ExecArgs;
use crate::command::fleet::hosts::Work;
use crate::command::fleet::names::{of_apps, require_known};
use crate::command::fleet::{self, Ended, Job, Show};
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine, exec};
use crate::report::{print, print_error};

/// Runs `hwctl exec`.
pub fn run(kinds: Kinds, args: ExecArgs) -> Result<Exit> {
    let show = Show { json: args.json, diff: false, check: false };
    let hosts = args.hosts.clone();
    fleet::run(kinds, &hosts, show, ExecJob { exec: Exec::new(args.json), args })
}

struct ExecJob {
    args: ExecArgs,
    exec: Exec,
}

impl Job for ExecJob {
    const CHANGES: bool = false;

    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        self.exec.begins(works);
        let known = of_apps(works.iter().flat_map(Work::parts));
        require_known("there is no app", &self.args.app, &known)
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let ExecArgs { app, command, sudo, .. } = &self.args;
        let Some(app) = app else {
            return self.exec.command(work, (command, command), *sudo, emit).await;
        };
        if work.part(app).is_err() {
            return Ok(Outcome::Unchanged.into());
        }
        let engine = Engine::start(&work.target, emit).await?;
        let head = [&engine.binary.display().to_string(), "in-app", app, "--"].map(str::to_owned);
        engine.hang_up().await;
        let words: Vec<_> = head.into_iter().chain(command.iter().cloned()).collect();
        self.exec.command(work, (&words, command), true, emit).await
    }
}

/// How the output of commands is told.
pub(super) struct Exec {
    json: bool,
    /// Whether there is one host: its lines can be piped on as they are.
    is_one: AtomicBool,
}

impl Exec {
    pub(super) fn new(json: bool) -> Self {
        Self { json, is_one: AtomicBool::new(false) }
    }

    pub(super) fn begins(&self, works: &[Work]) {
        self.is_one.store(works.len() == 1, Ordering::Relaxed);
    }

    /// Runs a command on one host. The second one is what the operator has asked for.
    pub(super) async fn command(
        &self,
        work: &Work,
        (command, asked): (&[String], &[String]),
        sudo: bool,
        emit: Emit<'_>,
    ) -> Result<Ended, Failure> {
        let is_plain = self.is_one.load(Ordering::Relaxed) && !self.json;
        let tell_line = |what| match what {
            EventKind::Output { is_error: false, text } if is_plain => print(&text),
            EventKind::Output { is_error: true, text } if is_plain => print_error(&text),
            what => emit(what),
        };
        let code = exec(&work.target, command, sudo, &tell_line).await?;
        emit(EventKind::Exited { code });
        match code {
            Some(0) => Ok(Outcome::Answered.into()),
            code => Err(failure(asked, code)),
        }
    }
}

fn failure(command: &[String], code: Option<i32>) -> Failure {
    let name = command.first().map(String::as_str).unwrap_or_default();
    let what = match code {
        Some(code) => format!("`{name}` ends with exit code {code}"),
        None => format!("`{name}` is ended by a signal"),
    };
    let failure = Failure::new(Exit::Failed, what);
    match code {
        Some(127) => failure.hint("127 usually means that the host has no such program; shell built-ins, pipes and variables need a shell: `hwctl exec -- sh -c '…'`"),
        _ => failure,
    }
}
