//! Carries a plan out: journal first, each change verified by reading again; and takes it back.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc::UnboundedSender;

use super::journal::Journal;
use super::plan::{Plan, Step, Wanted};
use super::protocol::Reply;
use super::validate;
use crate::event::What;
use crate::resource::{Back, Change, Detail, Host, Saved};

/// Tells the operator's side what happens.
pub(super) struct Teller(pub(super) UnboundedSender<Reply>);

impl Teller {
    pub(super) fn tell(&self, what: What) {
        // A closed channel means that the operator is gone; the session ends by itself.
        let _ = self.0.send(Reply::Event(what));
    }
}

/// Carries `plan` out; `current` tells which change is under way. On an error, what was done is in the journal.
pub(super) async fn apply(
    wanted: &Wanted,
    plan: &Plan,
    journal: &mut Journal,
    host: &Host,
    teller: &Teller,
    current: &Cell<Option<usize>>,
    operator_is_gone: impl Fn() -> bool,
) -> Result<()> {
    // What goes is stopped first: what comes may need its place, and its files are in use.
    for step in plan.steps.iter().filter(|step| step.to.is_some() && step.resource.is_unit()) {
        if operator_is_gone() {
            bail!("the operator's side is gone before the first change");
        }
        release(step, journal, host).await?;
    }
    let mut validated = false;
    for (index, step) in plan.steps.iter().enumerate() {
        if operator_is_gone() {
            bail!("the operator's side is gone after {index} of {} changes", plan.steps.len());
        }
        if !validated && validate::is_nginx_configuration(&step.resource) {
            validate::nginx_configuration(wanted, host).await?;
            validated = true;
        }
        let id = step.resource.id();
        let start = Instant::now();
        teller.tell(What::ChangeStarted { index, id: id.clone() });
        current.set(Some(index));
        one(step, journal, host).await.with_context(|| format!("cannot apply `{id}`"))?;
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        teller.tell(What::ChangeDone { index, id, elapsed_ms });
    }
    Ok(())
}

async fn one(step: &Step, journal: &mut Journal, host: &Host) -> Result<()> {
    // What came earlier in the plan may have changed it since: a package brings files.
    host.forget();
    match &step.to {
        None => declared(step, journal, host).await,
        // Noted when it was released.
        Some(to) if step.resource.is_unit() => {
            let restored = step.resource.restore(to, host).await;
            host.forget();
            restored?;
            match step.resource.examine_back(to, host).await? {
                // What it reads has changed in this run, and it has read it.
                (_, Back::Change(change)) if !change.details.is_empty() => not_kept(&change),
                _ => Ok(()),
            }
        }
        Some(to) => back(step, to, journal, host).await,
    }
}

/// Brings a resource to what it declares.
async fn declared(step: &Step, journal: &mut Journal, host: &Host) -> Result<()> {
    let resource = &step.resource;
    let examined = resource.examine(host).await?;
    if let Some(change) = examined.change {
        journal.note(step, examined.before.clone(), change)?;
        let applied = resource.apply(&examined.before, host).await;
        host.forget();
        applied?;
    }
    let after = resource.examine(host).await?;
    host.record_applied(resource.id(), after.digest, after.changed_at);
    after.change.map_or(Ok(()), |change| not_kept(&change))
}

/// Brings a resource back to an earlier state.
async fn back(step: &Step, to: &Saved, journal: &mut Journal, host: &Host) -> Result<()> {
    let resource = &step.resource;
    let (now, Back::Change(change)) = resource.examine_back(to, host).await? else {
        return Ok(());
    };
    journal.note(step, now, change)?;
    let restored = resource.restore(to, host).await;
    host.forget();
    restored?;
    match resource.examine_back(to, host).await? {
        (_, Back::Change(change)) => not_kept(&change),
        _ => Ok(()),
    }
}

/// Notes the state of a unit that goes back to an earlier one, and stops it if it did not run then.
async fn release(step: &Step, journal: &mut Journal, host: &Host) -> Result<()> {
    let Step { resource, to: Some(to), .. } = step else { return Ok(()) };
    host.forget();
    let (now, Back::Change(change)) = resource.examine_back(to, host).await? else {
        return Ok(());
    };
    journal.note(step, now, change)?;
    let released = resource.release(to, host).await;
    host.forget();
    released.with_context(|| format!("cannot stop `{}`", resource.id()))
}

fn not_kept(change: &Change) -> Result<()> {
    let names = change.details.iter().map(|detail| match detail {
        Detail::Attribute { name, .. } => name.as_str(),
        Detail::Text { .. } | Detail::Binary { .. } => "content",
    });
    let names: Vec<_> = names.collect();
    bail!("the host does not keep the change of {}", names.join(", "));
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
    if !failed.is_empty() {
        bail!("not everything could be undone: {}", failed.join("; "));
    }
    Ok(())
}
