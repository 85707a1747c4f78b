//! A run: the plan is carried out, and then kept, left or taken back.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::Session;
use crate::client::Pins;
use crate::engine::plan::goal::leave;
use crate::engine::plan::{Plan, Wanted};
use crate::engine::protocol::{Goal, Reply};
use crate::engine::record::blobs::Uploads;
use crate::engine::record::journal::Journal;
use crate::engine::record::manifest::Manifest;
use crate::engine::record::{large, maintenance, specs};
use crate::engine::run::apply::{Carried, Carrier};
use crate::engine::run::concurrent::InHand;
use crate::engine::run::rehearsal::Outside;
use crate::engine::run::undo::undo;
use crate::event::{Action, EventKind, Planned, RunOutcome};
use crate::failure::{Exit, Failure, Page};
use crate::resource::{FolderDigest, Id, reload_systemd_if_owed};

/// How many changes a stopped run names.
const NAMED: usize = 6;

/// A run that waits to be kept or undone.
pub(super) struct Run {
    pub(super) journal: Journal,
    pub(super) goal: Goal,
    /// For a rollback, the first run that it takes back.
    pub(super) back_to: Option<String>,
    pub(super) settled: Vec<Id>,
    /// The folders of many files that are declared.
    pub(super) folders: Vec<FolderDigest>,
}

impl Session {
    pub(super) async fn apply(
        &mut self,
        fingerprint: &str,
        uploads: &Uploads,
    ) -> Result<Reply, Failure> {
        let Some((request, wanted, plan)) = self.planned.take() else {
            return Err(anyhow!("there is no plan to apply").into());
        };
        let Some(run) = &request.run else {
            return Err(anyhow!("the plan was made only to be looked at").into());
        };
        if plan.fingerprint != fingerprint {
            return Err(anyhow!("the plan to apply is not the one that was shown").into());
        }
        let mut journal = Journal::begin(&self.host, run, self.from())?;
        self.events.emit(EventKind::RunBegan { run: journal.id().to_owned() });
        let carrier = Carrier {
            host: &self.host,
            events: &self.events,
            hand: &self.hand,
            uploads,
            halted: &self.halted,
            drivers: self.drivers,
            confirm_timeout: Duration::from_secs(request.confirm_timeout_s),
            outside: self.connection.as_ref().zip(request.outside.as_ref()).map(
                |(connection, expected)| Outside {
                    expected,
                    to: connection.own,
                    from: connection.client,
                },
            ),
        };
        self.host.keep_starts()?;
        let applied = carrier.apply(&wanted, &plan, &mut journal).await;
        // Where the run was stopped or has failed; else it is made while a container settles.
        reload_systemd_if_owed(&self.host).await;
        self.hand.set(InHand::Nothing);
        self.run = Some(Run {
            journal,
            goal: request.goal,
            back_to: wanted.back_to.clone(),
            settled: plan.settled.clone(),
            folders: request.folders,
        });
        let applied = match applied {
            Ok(Carried::Out) => {
                let message = "checking that the host now matches the plan".to_owned();
                self.events.emit(EventKind::Step { message, fraction: None });
                self.require_nothing_left(&wanted, &plan).await
            }
            Ok(Carried::Stopped(left)) => return Err(self.stopped(&plan.changes, &left)),
            Err(error) => Err(error.into()),
        };
        match applied {
            Ok(()) => {
                self.blobs.borrow().clear();
                Ok(Reply::Applied { pins: Pins::read(&request.endpoints, &self.host) })
            }
            Err(failure) if request.keep_on_failure => {
                self.close(RunOutcome::Failed, Some(failure.what.clone()))?;
                Err(failure.not_done("the run was not undone (`--keep-on-failure`)"))
            }
            Err(failure) if self.run.as_ref().is_some_and(|run| run.journal.is_final()) => {
                self.close(RunOutcome::Failed, Some(failure.what.clone()))?;
                Err(failure
                    .not_done("the run was not undone: what it has removed cannot be brought back")
                    .hint("run it again to finish it, or `hwctl provision` to have the stack again")
                    .page(Page::Undo))
            }
            Err(failure) => Err(self.undo_after(failure).await),
        }
    }

    /// The operator stopped the run: what was done stays, the lock is given back.
    fn stopped(&mut self, changes: &[Planned], left: &[usize]) -> Failure {
        let (all, done) = (changes.len(), changes.len() - left.len());
        let what = format!("stopped after {done} of {all} changes on request");
        let mut failure = Failure::new(Exit::Interrupted, what);
        let is_begun = |id: &Id| {
            let noted = self.run.iter().flat_map(|run| run.journal.entries());
            noted.into_iter().any(|entry| entry.resource.id() == *id)
        };
        let left_ids = left.iter().map(|index| &changes[*index].change.id);
        let begun: Vec<_> = left_ids.filter(|id| is_begun(id)).map(Id::to_string).collect();
        if !begun.is_empty() {
            failure =
                failure.why(format!("stopped already, and not removed yet: {}", begun.join(", ")));
        }
        if let Err(error) = self.close(RunOutcome::Interrupted, None) {
            failure = failure.why(format!("{error:#}"));
        }
        let mut names: Vec<_> =
            left.iter().take(NAMED).map(|index| changes[*index].change.id.to_string()).collect();
        if left.len() > NAMED {
            names.push(format!("and {} more", left.len() - NAMED));
        }
        failure
            .not_done(format!("not made: {}", names.join(", ")))
            .hint("run again to go on from there, or `hwctl rollback` to take back what was done")
            .page(Page::Undo)
    }

    /// The law of a run: once applied, a plan of the same is empty.
    async fn require_nothing_left(&self, wanted: &Wanted, done: &Plan) -> Result<(), Failure> {
        let mut left = Plan::make(wanted, &self.host).await?.changes;
        if done.removes_packages() {
            // Their units are gone with them.
            left.retain(|planned| planned.change.action != Action::Start);
        }
        let Some(first) = left.first() else { return Ok(()) };
        let ids: Vec<_> = left.iter().map(|c| c.change.id.to_string()).collect();
        let failure =
            Failure::from(anyhow!("the host does not stay as applied: {}", ids.join(", ")));
        Err(match &first.change.because {
            Some(because) => failure.why(because.as_str()),
            None => failure,
        })
    }

    async fn undo_after(&mut self, failure: Failure) -> Failure {
        self.events.emit(EventKind::Step { message: "undoing the run".to_owned(), fraction: None });
        let why = failure.what.clone();
        match self.undo(&why).await {
            Ok(left) => {
                let failure = left.into_iter().fold(failure, Failure::why);
                Failure { exit: Exit::Undone, ..failure }
            }
            Err(second) => second.why.iter().fold(failure.why(second.what), Failure::why),
        }
    }

    /// Takes the run back; says what of it cannot be.
    pub(super) async fn undo(&mut self, why: &str) -> Result<Vec<String>, Failure> {
        let Some(run) = &self.run else {
            return Err(anyhow!("there is no run to undo").into());
        };
        undo(&run.journal, &self.host, &self.events).await?;
        let changes = run.journal.entries().iter().map(|entry| &entry.change);
        let left = changes.filter_map(|change| {
            Some(format!("not undone: {}: {}", change.id, change.not_undone.as_ref()?))
        });
        let left = left.collect();
        self.close(RunOutcome::Undone, Some(why.to_owned()))?;
        Ok(left)
    }

    /// Ends the run: what it has made is in the manifest before the journal says that it is done.
    pub(super) fn close(&mut self, outcome: RunOutcome, why: Option<String>) -> Result<Reply> {
        if let Some(Run { journal, goal, back_to, settled, folders }) = self.run.take() {
            let is_whole = outcome == RunOutcome::Kept;
            let mut manifest = Manifest::read(&self.host)?;
            match outcome {
                RunOutcome::Undone => manifest.take_in_left(journal.entries()),
                _ => manifest.take_in(journal.entries(), is_whole),
            }
            if is_whole {
                manifest.forget(&settled);
                manifest.declare(&goal);
            }
            manifest.save(&self.host)?;
            if is_whole {
                specs::keep(&self.host, &goal, back_to.as_deref())?;
                maintenance::forget_gone(&self.host)?;
            }
            journal.end(&self.host, outcome, why)?;
            // What a run of now leaves, a later one gives up.
            let _ = large::give_up_unneeded(&self.host);
            if is_whole {
                self.keep_for_next_run(&goal, &folders);
                leave(&goal, &self.host)?;
            }
        }
        self.lock = None;
        Ok(Reply::Closed)
    }
}
