//! Carries a plan out: journal first, each change verified by reading again.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::engine::driver::Drivers;
use crate::engine::plan::{Plan, Wanted};
use crate::engine::protocol::Reply;
use crate::engine::protocol::input::{Halt, Halted};
use crate::engine::record::blobs::Uploads;
use crate::engine::record::journal::Journal;
use crate::engine::record::step::Step;
use crate::engine::run::concurrent::{Concurrent, Hand};
use crate::engine::run::deadman;
use crate::engine::run::rehearsal::Outside;
use crate::event::EventKind;
use crate::resource::{Action, Advise, Back, Change, Detail, Host, Resource, Saved, Undo};

/// What to do where a login does not work after a change of the firewall.
const HINT_FIREWALL: &str = "remove the firewall rule on the host that blocks your address, or let your address reach the ssh port in `firewall.allow`";
/// The same after a change of accounts, keys, sudo, PAM or sshd.
const HINT_ACCOUNT: &str = "keep the account, the key and the sudo rule that you log in with, or change them in two runs: \
     first add the new way in, then log in by it and remove the old one";

/// Sends events to the operator's side.
pub(in crate::engine) struct EventSender(pub(in crate::engine) UnboundedSender<Reply>);

impl EventSender {
    pub(in crate::engine) fn emit(&self, what: EventKind) {
        // A closed channel means that the operator is gone; the session ends by itself.
        let _ = self.0.send(Reply::Event(what));
    }
}

/// What carries a plan out.
pub(in crate::engine) struct Carrier<'a> {
    pub(in crate::engine) host: &'a Host,
    pub(in crate::engine) events: &'a EventSender,
    /// What is under way.
    pub(in crate::engine) hand: &'a Hand,
    /// The blobs that the plan needs, on their way.
    pub(in crate::engine) uploads: &'a Uploads,
    pub(in crate::engine) halted: &'a Halted,
    /// How long a risky change waits for a new login.
    pub(in crate::engine) confirm_timeout: Duration,
    /// How new configurations are tried.
    pub(in crate::engine) drivers: Drivers,
    /// What a client should see of the host.
    pub(in crate::engine) outside: Option<Outside<'a>>,
}

/// How far a plan was carried.
pub(in crate::engine) enum Carried {
    /// Out.
    Out,
    /// The operator stopped it. These changes, by their place in the plan, were not made.
    Stopped(Vec<usize>),
}

impl Carrier<'_> {
    /// Carries `plan` out. On an error, what was done is in the journal.
    pub(in crate::engine) async fn apply(
        &self,
        wanted: &Wanted,
        plan: &Plan,
        journal: &mut Journal,
    ) -> Result<Carried> {
        let all = plan.steps.len();
        // What goes is stopped first: what comes may need its place, and its files are in use.
        let goes = |step: &&Step| step.to.is_some() && step.resource.is_service();
        let at_once = |step: &&Step| !step.stops_docker() && !step.ends_late();
        for step in plan.steps.iter().filter(goes).filter(at_once) {
            if self.is_stopped(0, all)? {
                return Ok(Carried::Stopped((0..all).collect()));
            }
            self.release(step, journal).await?;
        }
        let mut concurrent = Concurrent::none(self.hand);
        let carried = self.steps(wanted, plan, journal, &mut concurrent).await;
        // It is in the journal, and must not come after it was taken back.
        let made = concurrent.end(self.halted).await;
        if let Carried::Stopped(mut left) = carried? {
            for (index, made) in made {
                self.made(plan, index, made)?;
                left.retain(|other| *other != index);
            }
            return Ok(Carried::Stopped(left));
        }
        // What was armed for a change that turned out not to be needed.
        if deadman::is_armed(self.host) {
            self.new_login(journal.id(), HINT_FIREWALL).await?;
        }
        Ok(Carried::Out)
    }

    /// Whether the operator wants it to end here, after `done` of `all` changes.
    pub(in crate::engine) fn is_stopped(&self, done: usize, all: usize) -> Result<bool> {
        match self.halted.get() {
            None => Ok(false),
            // A change that is armed is in hand until it is loaded.
            Some(Halt::Stopped) => Ok(!deadman::is_armed(self.host)),
            Some(_) => {
                bail!("the connection to the operator was lost after {done} of {all} changes")
            }
        }
    }

    /// Makes one change, by its journal.
    pub(in crate::engine) async fn one(&self, step: &Step, journal: &mut Journal) -> Result<()> {
        // What came earlier in the plan may have changed it since: a package brings files.
        self.host.forget();
        match &step.to {
            None => self.declared(step, journal).await,
            // Noted when it was released.
            Some(to) if step.resource.is_service() => {
                if step.stops_docker() || step.ends_late() {
                    self.release(step, journal).await?;
                }
                self.restore_unit(step, to, journal).await
            }
            Some(to) => self.back(step, to, journal).await,
        }
    }

    /// Brings a unit that was released back to an earlier state.
    async fn restore_unit(&self, step: &Step, to: &Saved, journal: &Journal) -> Result<()> {
        let (host, resource) = (self.host, &step.resource);
        if matches!(resource.examine_back(to, host).await?.1, Back::Nothing) {
            // It was all done when it was released; what it is loaded with has changed since.
            let is_armed = deadman::is_risky(resource) && deadman::is_armed(host);
            let login = self.new_login(journal.id(), HINT_FIREWALL);
            return if is_armed { login.await } else { Ok(()) };
        }
        let restored = Box::pin(resource.restore(to, host));
        self.guarded(resource, journal, restored).await?;
        match resource.examine_back(to, host).await? {
            // What it reads has changed in this run, and it has read it.
            (_, Back::Change(change)) if !change.details.is_empty() => not_kept(&change),
            _ => Ok(()),
        }
    }

    /// Brings a resource to what it declares.
    async fn declared(&self, step: &Step, journal: &mut Journal) -> Result<()> {
        let (host, resource) = (self.host, &step.resource);
        let examined = resource.examine(host).await?;
        if let Some(change) = examined.change {
            journal.note(step, examined.before.clone(), change)?;
            let applied = Box::pin(resource.apply(&examined.before, host));
            self.guarded(resource, journal, applied).await?;
        }
        self.verify(resource).await
    }

    /// Reads a resource again: the host has to have what it declares.
    pub(in crate::engine) async fn verify(&self, resource: &Resource) -> Result<()> {
        let after = resource.examine(self.host).await?;
        self.host.record_applied(resource.id(), after.digest, after.changed_at);
        after.change.map_or(Ok(()), |change| not_kept(&change))
    }

    /// Brings a resource back to an earlier state.
    async fn back(&self, step: &Step, to: &Saved, journal: &mut Journal) -> Result<()> {
        let (host, resource) = (self.host, &step.resource);
        let (now, Back::Change(change)) = resource.examine_back(to, host).await? else {
            return Ok(());
        };
        journal.note(step, now, change)?;
        let restored = Box::pin(resource.restore(to, host));
        self.guarded(resource, journal, restored).await?;
        self.verify_back(resource, to).await
    }

    /// Reads a resource again: the host has to have its earlier state.
    pub(in crate::engine) async fn verify_back(
        &self,
        resource: &Resource,
        to: &Saved,
    ) -> Result<()> {
        match resource.examine_back(to, self.host).await? {
            (_, Back::Change(change)) => not_kept(&change),
            _ => Ok(()),
        }
    }

    /// Notes the state of a unit that goes back to an earlier one, and stops it if it did not run
    /// then.
    async fn release(&self, step: &Step, journal: &mut Journal) -> Result<()> {
        let Step { resource, to: Some(to), .. } = step else { return Ok(()) };
        self.host.forget();
        let (now, Back::Change(change)) = resource.examine_back(to, self.host).await? else {
            return Ok(());
        };
        if matches!(change.action, Action::Stop | Action::Remove) {
            let message = format!("stopping {}", resource.id());
            self.events.emit(EventKind::Step { message, fraction: None });
        }
        journal.note(step, now, change)?;
        let released = Box::pin(resource.release(to, self.host));
        let released = self.guarded(resource, journal, released).await;
        released.with_context(|| format!("cannot stop `{}`", resource.id()))
    }

    /// Makes a change that the journal has. One that could lock the operator out is taken back by
    /// the host itself, with what it is loaded with, unless a new login works.
    async fn guarded(
        &self,
        resource: &Resource,
        journal: &Journal,
        change: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let risky = deadman::is_risky(resource);
        if risky || deadman::is_loaded(resource) && !deadman::is_armed(self.host) {
            deadman::arm(self.host, journal.id(), self.confirm_timeout).await?;
        }
        let changed = change.await;
        self.host.forget();
        changed?;
        let hint = match resource.profile().undo {
            Undo::Firewall | Undo::FirewallFile => HINT_FIREWALL,
            _ => HINT_ACCOUNT,
        };
        if risky { self.new_login(journal.id(), hint).await } else { Ok(()) }
    }

    /// Waits until a login by a new connection has disarmed the deadman's timer.
    async fn new_login(&self, run: &str, hint: &str) -> Result<()> {
        // What came too late is of an earlier change.
        self.halted.take_locked_out();
        let _ = self.events.0.send(Reply::LogInAnew { run: run.to_owned() });
        while deadman::is_armed(self.host) {
            if let Some(why) = self.halted.take_locked_out() {
                return Err(anyhow!(why))
                    .hint(hint)
                    .context("a new login does not work with this change");
            }
            match self.halted.get() {
                Some(Halt::Gone) => {
                    bail!("the connection to the operator was lost before the confirming login")
                }
                Some(Halt::Stopped) | None => sleep(Duration::from_millis(20)).await,
            }
        }
        if deadman::has_fired(self.host) {
            let timeout = self.confirm_timeout.as_secs();
            return Err(anyhow!("no new login succeeded within {timeout} s")).hint(hint);
        }
        Ok(())
    }
}

/// What became of a change, with its name where it failed.
pub(in crate::engine) fn applied<T>(step: &Step, result: Result<T>) -> Result<T> {
    result.with_context(|| format!("cannot apply `{}`", step.resource.id()))
}

fn not_kept(change: &Change) -> Result<()> {
    let names = change.details.iter().map(|detail| match detail {
        Detail::Attribute { name, .. } => name.as_str(),
        Detail::Text { .. } | Detail::Binary { .. } => "content",
    });
    let names: Vec<_> = names.collect();
    bail!("the host does not keep the change of {}", names.join(", "));
}
