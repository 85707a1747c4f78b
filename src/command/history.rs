//! `hwctl history`: what the host's journal has of its runs.

use anyhow::Result;

use crate::cli::HistoryArgs;
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job, Show};
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine};

/// Runs `hwctl history`.
pub fn run(kinds: Kinds, args: HistoryArgs) -> Result<Exit> {
    let show = Show { json: args.json, diff: args.run.is_some(), check: false };
    let hosts = args.hosts.clone();
    fleet::run(kinds, &hosts, show, History(args))
}

struct History(HistoryArgs);

impl Job for History {
    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let mut engine = Engine::start(&work.target, emit).await?;
        let mut runs = engine.history(emit).await?;
        engine.hang_up().await;
        if let Some(id) = &self.0.run {
            runs.retain(|run| run.id == *id);
            if runs.is_empty() {
                let what = format!("the host's journal has no run `{id}`");
                return Err(Failure::new(Exit::Failed, what)
                    .hint("`hwctl history` names the runs; the oldest are pruned"));
            }
        }
        emit(EventKind::History { runs });
        Ok(Outcome::Answered.into())
    }
}
