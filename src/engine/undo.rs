//! Takes a run back.

use anyhow::{Result, bail};

use super::apply::Teller;
use super::deadman;
use super::journal::Journal;
use crate::event::What;
use crate::resource::Host;

/// Takes a run back, newest change first. Units that ran before are started again only when all
/// the files are back.
pub(super) async fn undo(journal: &Journal, host: &Host, teller: &Teller) -> Result<()> {
    host.forget();
    let mut failed = Vec::new();
    if let Err(error) = journal.free_reserve() {
        failed.push(format!("{error:#}"));
    }
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
