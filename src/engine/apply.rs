//! Carries a plan out: journal first, each change verified by reading again; and takes it back.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc::UnboundedSender;

use super::journal::Journal;
use super::plan::Plan;
use super::protocol::Reply;
use super::validate;
use crate::event::What;
use crate::resource::{Declared, Detail, Host, Resource};

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
    declared: &[Declared],
    plan: &Plan,
    journal: &mut Journal,
    host: &Host,
    teller: &Teller,
    current: &Cell<Option<usize>>,
    operator_is_gone: impl Fn() -> bool,
) -> Result<()> {
    let mut validated = false;
    for (index, place) in plan.places.iter().enumerate() {
        if operator_is_gone() {
            bail!("the operator's side is gone after {index} of {} changes", plan.places.len());
        }
        let resource = &declared[*place].resource;
        if !validated && validate::is_nginx_configuration(resource) {
            let all = declared.iter().map(|declared| &declared.resource);
            validate::nginx_configuration(all, host).await?;
            validated = true;
        }
        let id = resource.id();
        let start = Instant::now();
        teller.tell(What::ChangeStarted { index, id: id.clone() });
        current.set(Some(index));
        one(resource, journal, host).await.with_context(|| format!("cannot apply `{id}`"))?;
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        teller.tell(What::ChangeDone { index, id, elapsed_ms });
    }
    Ok(())
}

async fn one(resource: &Resource, journal: &mut Journal, host: &Host) -> Result<()> {
    // What came earlier in the plan may have changed it since: a package brings files.
    host.forget();
    let examined = resource.examine(host).await?;
    if let Some(change) = examined.change {
        journal.note(resource, examined.before.clone(), change)?;
        let applied = resource.apply(&examined.before, host).await;
        host.forget();
        applied?;
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
