//! Carries a plan out: journal first, each change verified by reading again; and takes it back.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::deadman;
use super::input::{Halt, Halted};
use super::journal::Journal;
use super::plan::Plan;
use super::protocol::Reply;
use super::validate;
use crate::event::What;
use crate::resource::{Advise, Declared, Detail, Host, Resource};

/// Tells the operator's side what happens.
pub(super) struct Teller(pub(super) UnboundedSender<Reply>);

impl Teller {
    pub(super) fn tell(&self, what: What) {
        // A closed channel means that the operator is gone; the session ends by itself.
        let _ = self.0.send(Reply::Event(what));
    }
}

/// What a run works with.
pub(super) struct Run<'a> {
    pub(super) host: &'a Host,
    pub(super) teller: &'a Teller,
    /// The change that is under way.
    pub(super) current: &'a Cell<Option<usize>>,
    pub(super) halted: &'a Halted,
    /// How long a risky change waits for a new login.
    pub(super) confirm_timeout: Duration,
}

/// How far a plan was carried out.
pub(super) enum Carried {
    /// All of it.
    Out,
    /// The operator stopped it after so many changes.
    Stopped(usize),
}

impl Run<'_> {
    /// Carries `plan` out. On an error, what was done is in the journal.
    pub(super) async fn apply(
        &self,
        declared: &[Declared],
        plan: &Plan,
        journal: &mut Journal,
    ) -> Result<Carried> {
        let mut validated = false;
        for (index, place) in plan.places.iter().enumerate() {
            match self.halted.get() {
                Some(Halt::Stopped) => return Ok(Carried::Stopped(index)),
                Some(_) => {
                    let all = plan.places.len();
                    bail!("the operator's side is gone after {index} of {all} changes")
                }
                None => {}
            }
            let resource = &declared[*place].resource;
            if !validated && validate::is_nginx_configuration(resource) {
                let all = declared.iter().map(|declared| &declared.resource);
                validate::nginx_configuration(all, self.host).await?;
                validated = true;
            }
            let id = resource.id();
            let start = Instant::now();
            self.teller.tell(What::ChangeStarted { index, id: id.clone() });
            self.current.set(Some(index));
            let applied = self.one(resource, journal).await;
            applied.with_context(|| format!("cannot apply `{id}`"))?;
            let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.teller.tell(What::ChangeDone { index, id, elapsed_ms });
        }
        Ok(Carried::Out)
    }

    async fn one(&self, resource: &Resource, journal: &mut Journal) -> Result<()> {
        let host = self.host;
        // What came earlier in the plan may have changed it since: a package brings files.
        host.forget();
        let examined = resource.examine(host).await?;
        if let Some(change) = examined.change {
            journal.note(resource, examined.before.clone(), change)?;
            let risky = deadman::is_risky(resource);
            if risky {
                deadman::arm(host, &journal.id(), self.confirm_timeout).await?;
            }
            let applied = resource.apply(&examined.before, host).await;
            host.forget();
            applied?;
            if risky {
                self.new_login(journal).await?;
            }
        }
        let after = resource.examine(host).await?;
        host.record_applied(resource.id(), after.digest, after.changed_at);
        if let Some(change) = after.change {
            let names = change.details.iter().map(|detail| match detail {
                Detail::Attribute { name, .. } => name.as_str(),
                Detail::Text { .. } | Detail::Binary { .. } => "content",
            });
            let names: Vec<_> = names.collect();
            bail!("the host does not keep the change of {}", names.join(", "));
        }
        Ok(())
    }

    /// Waits until a login by a new connection has disarmed the deadman's timer.
    async fn new_login(&self, journal: &Journal) -> Result<()> {
        let hint = "look for a rule that denies your address (`ufw status verbose` on the host), \
                    or allow it";
        let _ = self.teller.0.send(Reply::LogInAnew);
        while deadman::is_armed(self.host) {
            match self.halted.get() {
                Some(Halt::LockedOut(why)) => {
                    return Err(anyhow!(why))
                        .hint(hint)
                        .context("a new login does not work with this change");
                }
                Some(Halt::Gone) => {
                    bail!("the operator's side is gone before it has logged in anew")
                }
                Some(Halt::Stopped) | None => sleep(Duration::from_millis(20)).await,
            }
        }
        if journal.is_reverted() {
            let timeout = self.confirm_timeout.as_secs();
            return Err(anyhow!("nobody has logged in anew within {timeout} s")).hint(hint);
        }
        Ok(())
    }
}

/// Takes a run back, newest change first. Units that ran before are started again only when all
/// the files are back.
pub(super) async fn undo(journal: &Journal, host: &Host, teller: &Teller) -> Result<()> {
    host.forget();
    let mut failed = Vec::new();
    for entry in journal.entries().iter().rev() {
        let id = entry.resource.id();
        let result = match entry.resource.is_unit() {
            true => entry.resource.release(&entry.before, host).await,
            false => entry.resource.undo(&entry.before, host).await,
        };
        match result {
            Ok(()) if !entry.resource.is_unit() => teller.tell(What::ChangeUndone { id }),
            Ok(()) => {}
            Err(error) => failed.push(format!("`{id}`: {error:#}")),
        }
        host.forget();
    }
    for entry in journal.entries().iter().filter(|entry| entry.resource.is_unit()) {
        let id = entry.resource.id();
        match entry.resource.undo(&entry.before, host).await {
            Ok(()) => teller.tell(What::ChangeUndone { id }),
            Err(error) => failed.push(format!("`{id}`: {error:#}")),
        }
    }
    // Nothing is left to take back.
    if let Err(error) = deadman::disarm(host).await {
        failed.push(format!("{error:#}"));
    }
    if !failed.is_empty() {
        bail!("not everything could be undone: {}", failed.join("; "));
    }
    Ok(())
}
