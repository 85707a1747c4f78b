//! Takes a run back.

use anyhow::{Result, bail};

use crate::engine::record::journal::{Entry, Journal};
use crate::engine::run::apply::EventSender;
use crate::engine::run::deadman;
use crate::engine::run::together;
use crate::event::EventKind;
use crate::resource::{Host, reload_systemd_if_owed};

/// Takes a run back, newest change first. Units that ran before are started again only when all
/// the files are back.
pub(in crate::engine) async fn undo(
    journal: &Journal,
    host: &Host,
    events: &EventSender,
) -> Result<()> {
    host.forget();
    let mut failed = Vec::new();
    if let Err(error) = journal.free_reserve() {
        failed.push(format!("{error:#}"));
    }
    let newest_first: Vec<&Entry> = journal.entries().iter().rev().collect();
    let mut left = newest_first.as_slice();
    while !left.is_empty() {
        let count = together::count(left.iter().map(|entry| &entry.resource), |_| false);
        let (entries, rest) = left.split_at(count);
        left = rest;
        if count == 1 || undo_together(entries, host, events).await.is_err() {
            for entry in entries {
                failed.extend(undo_one(entry, host, events).await);
            }
        }
        host.forget();
    }
    let services = journal.entries().iter().filter(|entry| entry.resource.is_service());
    // Whoever sends work to a service that hands it over learns of the one of before first.
    let (last, first): (Vec<_>, Vec<_>) = services.partition(|entry| entry.resource.hands_over());
    for entry in first.into_iter().chain(last) {
        let id = entry.resource.id();
        match entry.resource.undo(&entry.before, host).await {
            Ok(()) => events.emit(EventKind::ChangeUndone { id }),
            Err(error) => failed.push(format!("`{id}`: {error:#}")),
        }
    }
    reload_systemd_if_owed(host).await;
    // Nothing is left to take back.
    if let Err(error) = deadman::disarm(host).await {
        failed.push(format!("{error:#}"));
    }
    if !failed.is_empty() {
        bail!("not everything could be undone: {}", failed.join("; "));
    }
    Ok(())
}

/// Takes one change back; says what failed. Of a unit, this is the first step.
async fn undo_one(entry: &Entry, host: &Host, events: &EventSender) -> Option<String> {
    let id = entry.resource.id();
    let result = match entry.resource.is_service() {
        true if entry.resource.hands_over() => Ok(()),
        true => entry.resource.release(&entry.before, host).await,
        false => entry.resource.undo(&entry.before, host).await,
    };
    match result {
        Ok(()) if entry.resource.is_service() => None,
        Ok(()) => {
            events.emit(EventKind::ChangeUndone { id });
            None
        }
        Err(error) => Some(format!("`{id}`: {error:#}")),
    }
}

/// Takes changes of files back, and syncs them once. After an error each can be taken back alone.
async fn undo_together(entries: &[&Entry], host: &Host, events: &EventSender) -> Result<()> {
    host.begin_batch();
    let undone = async {
        for entry in entries {
            entry.resource.undo(&entry.before, host).await?;
        }
        host.commit_batch()
    };
    let undone = undone.await;
    host.abandon_batch();
    undone?;
    for entry in entries {
        events.emit(EventKind::ChangeUndone { id: entry.resource.id() });
    }
    Ok(())
}
