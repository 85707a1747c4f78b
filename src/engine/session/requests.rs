//! The requests that need no plan. They come at any time and have one answer each.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use super::Session;
use crate::client::Pins;
use crate::engine::driver::dump::{Dump, MAX_COPY_BYTES, check_copy};
use crate::engine::driver::{Case, Driver};
use crate::engine::inspect::doctor;
use crate::engine::inspect::drift;
use crate::engine::inspect::logs::{Logs, tail};
use crate::engine::inspect::status::status;
use crate::engine::inspect::vitals::vitals;
use crate::engine::plan::renewal;
use crate::engine::protocol::{
    CHUNK, Goal, LogsRequest, Reply, Request, RestartRequest, Restore, Status, SwitchRequest, Turn,
    TurnRequest, Turned,
};
use crate::engine::record::journal::{self, Journal};
use crate::engine::record::lock::Lock;
use crate::engine::record::maintenance;
use crate::engine::record::manifest::Manifest;
use crate::engine::run::restart::restart;
use crate::event::{Check, EventKind, RunOutcome};
use crate::failure::{Exit, Failure};
use crate::resource::exposure;
use crate::spec::PartSpec;

/// How many lines of a log are sent at once: with the longest of lines they fit in a frame.
const BATCH: usize = 1000;

impl Session {
    /// Answers one.
    pub(super) async fn answer_request(
        &mut self,
        request: Request,
    ) -> Result<Option<Reply>, Failure> {
        match request {
            Request::History => Ok(Some(self.history()?)),
            Request::Restart(asked) => self.restart(&asked).await.map(Some),
            Request::Switch(asked) => self.switch(&asked).await.map(Some),
            Request::Turn(asked) => self.turn(asked).await.map(Some),
            Request::Tail { source, lines } => {
                Ok(Some(Reply::Lines(tail(&self.host, &source, lines).await?)))
            }
            Request::Status { parts, goal } => {
                Ok(Some(Reply::Status(self.status(&parts, goal.as_ref()).await)))
            }
            Request::Vitals => Ok(Some(Reply::Vitals(vitals(&self.host, self.drivers).await))),
            Request::Exposure => Ok(Some(Reply::Exposure(Box::pin(exposure(&self.host)).await?))),
            Request::Certificates => Ok(Some(Reply::Certificates(renewal::info(&self.host)?))),
            Request::Examine(asked) => {
                self.hide_secrets(&asked.resources);
                Ok(Some(Reply::Findings(doctor::examine(&asked, &self.host, self.drivers).await?)))
            }
            Request::Logs(request) => self.logs(&request).await,
            Request::Backup { part, run, patience_s } => {
                self.lock(&run, Duration::from_secs(patience_s)).await?;
                let copied = self.backup(&part).await;
                self.lock = None;
                copied.map(Some)
            }
            Request::Restore(restore) => self.restore(&restore).await.map(Some),
            _ => Err(anyhow!("that is no request of this kind").into()),
        }
    }

    async fn restart(&mut self, asked: &RestartRequest) -> Result<Reply, Failure> {
        let manifest = Manifest::load(&self.host)?;
        if manifest.resources().next().is_none() {
            return Err(Failure::new(Exit::Failed, "hwctl has made nothing on this host")
                .not_done("nothing was restarted")
                .hint("`hwctl provision` makes the stack"));
        }
        // A failure shows the last lines of a log, which may have them.
        let of_part = manifest.resources().filter(|(tag, _)| *tag == asked.part.name);
        of_part.for_each(|(_, resource)| resource.hide_kept_secrets(&self.host));
        self.lock(&asked.run, Duration::from_secs(asked.patience_s)).await?;
        restart(&self.host, &asked.part, &asked.restart, self.drivers).await?;
        Ok(Reply::Restarted { pins: Pins::read(&asked.endpoints, &self.host) })
    }

    /// No run: nothing of the stack changes.
    async fn switch(&mut self, asked: &SwitchRequest) -> Result<Reply, Failure> {
        self.lock(&asked.run, Duration::from_secs(asked.patience_s)).await?;
        let switched = maintenance::switch(&self.host, &asked.parts, asked.is_on);
        self.lock = None;
        Ok(Reply::Switched(switched?))
    }

    /// No run, and nobody is locked out by it: it is forgotten with the session.
    async fn turn(&mut self, asked: TurnRequest) -> Result<Reply, Failure> {
        let TurnRequest { part, host, turn, patience_s } = asked;
        let turned = self.turn_one(&part, &host, turn, Duration::from_secs(patience_s)).await?;
        match turn {
            Turn::Away if matches!(turned, Turned::Away { .. }) => self.away.push((part, host)),
            Turn::Away => {}
            Turn::Back => self.away.retain(|(_, other)| *other != host),
        }
        Ok(Reply::Turned(turned))
    }

    async fn turn_one(
        &self,
        part: &PartSpec,
        host: &str,
        turn: Turn,
        patience: Duration,
    ) -> Result<Turned> {
        let driver = self.drivers.of(part);
        let driver = driver.with_context(|| format!("hwctl does not know `{}`", part.name))?;
        let case = Case { host: &self.host, part };
        driver.turn(&case, host, turn, patience).await
    }

    /// Gives work again to the hosts that get none since this session. Nobody else knows that they are to get some.
    pub(super) async fn give_work_back(&mut self) -> Result<()> {
        for (part, host) in std::mem::take(&mut self.away) {
            self.turn_one(&part, &host, Turn::Back, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Who holds the host does not matter to those who only look at its journal.
    fn history(&self) -> Result<Reply> {
        let mut runs = journal::runs(&self.host, Lock::is_held(&self.host))?;
        runs.reverse();
        Ok(Reply::History { runs })
    }

    async fn logs(&self, request: &LogsRequest) -> Result<Option<Reply>, Failure> {
        let mut logs = Logs::open(&self.host, request, self.drivers).await;
        let lines = logs.newest().await?;
        for message in std::mem::take(&mut logs.unread) {
            self.events.emit(EventKind::Warning { message });
        }
        let (rest, last) = lines.split_at(lines.len().saturating_sub(BATCH));
        for batch in rest.chunks(BATCH) {
            self.reply(Reply::Log { lines: batch.to_vec(), is_all: false });
        }
        self.reply(Reply::Log { lines: last.to_vec(), is_all: true });
        if request.follow {
            let emit = |lines| self.reply(Reply::Log { lines, is_all: true });
            logs.follow(&self.halted, emit).await?;
        }
        Ok(None)
    }

    /// No run, but nobody else may copy or replace the data meanwhile.
    async fn backup(&self, part: &PartSpec) -> Result<Reply, Failure> {
        let case = Case { host: &self.host, part };
        let (copied, bytes) = self.dump_of(part)?.copy(&case).await?;
        for part in bytes.chunks(CHUNK) {
            self.reply(Reply::Part { bytes: part.to_vec() });
        }
        Ok(Reply::Copied(copied))
    }

    /// Takes the next bytes of a copy. More than a copy may have ends the session.
    pub(super) fn take_part(&mut self, bytes: &[u8]) -> Result<()> {
        if (self.copy.len() + bytes.len()) as u64 > MAX_COPY_BYTES {
            bail!("the other end is not hwctl: it sends more than a copy may have");
        }
        self.copy.extend_from_slice(bytes);
        Ok(())
    }

    /// A run of its own: it is in the journal, and nobody else works on the host meanwhile.
    async fn restore(&mut self, restore: &Restore) -> Result<Reply, Failure> {
        let Restore { part, copied, run, patience_s } = restore;
        let bytes = std::mem::take(&mut self.copy);
        self.require_known_specs(None)?;
        // Before anything is stopped.
        check_copy(copied, &bytes)?;
        let dump = self.dump_of(part)?;
        dump.require_valid(&bytes)?;
        self.lock(run, Duration::from_secs(*patience_s)).await?;
        self.end_interrupted_run().await?;
        let journal = Journal::begin(&self.host, run, self.from())?;
        let case = Case { host: &self.host, part };
        let restored = dump.restore(&case, copied, &bytes).await;
        let (outcome, why) = match &restored {
            Ok(()) => (RunOutcome::Kept, None),
            Err(error) => (RunOutcome::Undone, Some(format!("{error:#}"))),
        };
        journal.end(&self.host, outcome, why)?;
        self.lock = None;
        restored.map(|()| Reply::Closed).map_err(|error| Failure::from_error(Exit::Undone, &error))
    }

    fn dump_of(&self, part: &PartSpec) -> Result<&'static dyn Dump> {
        let dump = self.drivers.of(part).and_then(Driver::dump);
        dump.with_context(|| format!("hwctl cannot copy the data of `{}`", part.name))
    }

    async fn status(&self, parts: &[PartSpec], goal: Option<&Goal>) -> Status {
        let mut found = status(&self.host, parts, self.drivers).await;
        if let Some(goal) = goal {
            let drift = drift::from_goal(goal, self.drivers, &self.host).await;
            found.checks.push(Check::of("drift", drift.map_err(Into::into)));
        }
        found
    }
}
