//! Taking a host back to an earlier state: the plan is shown, confirmed, and carried out as a run.

use std::io::IsTerminal as _;

use tokio::sync::Mutex;

use super::fleet::{Ended, Show};
use super::hosts::Work;
use super::run::Run;
use crate::cli::BackArgs;
use crate::engine::protocol::Goal;
use crate::event::{Outcome, What};
use crate::failure::{Exit, Failure};
use crate::remote::{Engine, Tell};

/// One way back, for all hosts.
#[derive(Debug)]
pub(super) struct Back {
    args: BackArgs,
    verb: &'static str,
    /// Held while one host's question is open.
    asking: Mutex<()>,
}

impl Back {
    /// Refused where nobody can be asked.
    pub(super) fn new(args: BackArgs, verb: &'static str) -> Result<Self, Failure> {
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
    pub(super) fn show(&self) -> Show {
        Show { json: self.args.plan.json, diff: true, check: self.args.check }
    }

    /// Takes one host back.
    pub(super) async fn on_host(
        &self,
        work: &Work,
        goal: Goal,
        tell: Tell<'_>,
    ) -> Result<Ended, Failure> {
        let mut engine = Engine::start(&work.target, tell).await?;
        let run = Run::with(self.verb, goal, &self.args.plan).only_planned(self.args.check);
        let planned = run.plan(&mut engine, tell).await?;
        let outcome = planned.outcome();
        if planned.is_due()
            && !self.confirm(&work.target.name, planned.changes().len(), tell).await?
        {
            engine.hang_up().await;
            let message = "nothing was changed on the host, as you wished".to_owned();
            tell(What::Step { message: message.clone(), fraction: None });
            tell(What::Warning { message });
            return Ok(Outcome::Interrupted.into());
        }
        planned.carry_out(&mut engine, tell).await?;
        engine.hang_up().await;
        Ok(outcome.into())
    }

    /// Asks whether to go on. An answer other than yes or no, such as none because nobody is at a
    /// terminal, is a failure.
    async fn confirm(&self, host: &str, changes: usize, tell: Tell<'_>) -> Result<bool, Failure> {
        if self.args.yes {
            return Ok(true);
        }
        let _one_at_a_time = self.asking.lock().await;
        tell(What::Asking);
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
