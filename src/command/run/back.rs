//! Taking a host back to an earlier state: the plan is shown, confirmed, and carried out as a run.

use std::io::IsTerminal as _;

use tokio::sync::Mutex;

use crate::cli::BackArgs;
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{Ended, Show};
use crate::command::run::Run;
use crate::engine::protocol::Goal;
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::remote::{Emit, Engine};

/// One way back, for all hosts.
#[derive(Debug)]
pub(in crate::command) struct Back {
    args: BackArgs,
    verb: &'static str,
    /// Held while one host's question is open.
    asking: Mutex<()>,
}

impl Back {
    /// Refused where nobody can be asked.
    pub(in crate::command) fn new(args: BackArgs, verb: &'static str) -> Result<Self, Failure> {
        let can_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if args.yes || args.check || (can_ask && !args.plan.json) {
            return Ok(Self { args, verb, asking: Mutex::new(()) });
        }
        Err(Failure::usage(format!(
            "`{verb}` asks before it changes a host, and nobody can answer"
        ))
        .not_done("no host was contacted")
        .hint("`--check` shows the plan; `--yes` carries it out without a question"))
    }

    /// How it is shown: the plan always with its before and after.
    pub(in crate::command) fn show(&self) -> Show {
        Show { json: self.args.plan.json, diff: true, check: self.args.check }
    }

    /// Takes one host back.
    pub(in crate::command) async fn on_host(
        &self,
        work: &Work,
        goal: Goal,
        emit: Emit<'_>,
    ) -> Result<Ended, Failure> {
        let mut engine = Engine::start(&work.target, emit).await?;
        let run = Run::with(self.verb, goal, &self.args.plan).only_planned(self.args.check);
        let planned = run.plan(&mut engine, emit).await?;
        let outcome = planned.outcome();
        if planned.is_due()
            && !self.confirm(&work.target.name, planned.changes().len(), emit).await?
        {
            engine.hang_up().await;
            let message = "you answered no: nothing was changed on the host".to_owned();
            emit(EventKind::Step { message: message.clone(), fraction: None });
            emit(EventKind::Warning { message });
            return Ok(Outcome::Interrupted.into());
        }
        planned.carry_out(&mut engine, emit).await?;
        engine.hang_up().await;
        Ok(outcome.into())
    }

    /// Asks whether to go on. An answer other than yes or no, such as none because nobody is at a
    /// terminal, is a failure.
    async fn confirm(&self, host: &str, changes: usize, emit: Emit<'_>) -> Result<bool, Failure> {
        if self.args.yes {
            return Ok(true);
        }
        let _one_at_a_time = self.asking.lock().await;
        emit(EventKind::Asking);
        let question = format!("{host}: make these {changes} changes? [y/N] ");
        let answer = tokio::task::spawn_blocking(move || {
            let terminal = console::Term::stderr();
            terminal.write_str(&question)?;
            terminal.read_line()
        });
        let answer = answer.await.ok().and_then(Result::ok).unwrap_or_default();
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
        Err(Failure::new(Exit::Failed, format!("`{}` was not confirmed", self.verb))
            .not_done("nothing was changed on the host")
            .hint("answer `y`, or run with `--yes`"))
    }
}
