//! Takes a run back.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::engine::record::journal::{Entry, Journal};
use crate::engine::run::apply::EventSender;
use crate::engine::run::deadman;
use crate::engine::run::together;
use crate::event::EventKind;
use crate::resource::{Host, Undo, reload_systemd_if_owed};

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
    let entries = journal.entries();
    let ending = Ending::of(entries);
    let now = entries.iter().rev().filter(|entry| !ending.has(entry) && !ending.needs(entry));
    let newest_first: Vec<&Entry> = now.collect();
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
    let mut services: Vec<&Entry> =
        entries.iter().filter(|entry| entry.resource.is_service()).collect();
    // Of the services that hand their work over, those of before come back first. The others end after whoever sends
    // them work has learned of that.
    services.sort_by_key(|entry| match entry.resource.hands_over() {
        true if entry.resource.is_stopped_in(&entry.before) => 2,
        true => 0,
        false => 1,
    });
    for entry in services {
        let id = entry.resource.id();
        match entry.resource.undo(&entry.before, host).await {
            Ok(()) => events.emit(EventKind::ChangeUndone { id }),
            Err(error) => failed.push(format!("`{id}`: {error:#}")),
        }
    }
    for entry in entries.iter().rev().filter(|entry| ending.needs(entry)) {
        failed.extend(undo_one(entry, host, events).await);
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

/// The services that end only after whoever sends them work has learned of those of before.
struct Ending<'a> {
    has_containers: bool,
    /// Their parts.
    tags: HashSet<&'a str>,
    /// The files that those which did not run before are started with. A unit ends in order only as long as systemd has
    /// its file.
    files: HashSet<PathBuf>,
    /// Whether Docker does not run any more once all is taken back. Its containers have to go before it.
    stops_docker: bool,
}

impl<'a> Ending<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let stops_docker = entries.iter().any(|entry| {
            let is_docker = entry.resource.profile().undo == Undo::ContainerRuntime;
            is_docker && entry.resource.is_stopped_in(&entry.before)
        });
        let mut all = Self {
            has_containers: false,
            tags: HashSet::new(),
            files: HashSet::new(),
            stops_docker,
        };
        let ending: Vec<_> = entries.iter().filter(|entry| all.has(entry)).collect();
        all.has_containers = ending.iter().any(|entry| is_container(entry));
        all.tags = ending.iter().map(|entry| entry.tag.as_str()).collect();
        let new = ending.iter().filter(|entry| entry.resource.is_stopped_in(&entry.before));
        let inputs: HashSet<_> = new.flat_map(|entry| entry.resource.inputs()).collect();
        let files = entries.iter().filter(|entry| inputs.contains(&entry.resource.id()));
        all.files = files.filter_map(|entry| entry.resource.path().map(Path::to_owned)).collect();
        all
    }

    fn has(&self, entry: &Entry) -> bool {
        entry.resource.hands_over() && !(self.stops_docker && is_container(entry))
    }

    /// Whether they may need it until they have ended: an image, a network, their user, or what they are started with.
    fn needs(&self, entry: &Entry) -> bool {
        match entry.resource.profile().undo {
            Undo::Stored => self.has_containers,
            Undo::Setting => {
                let is_needed = |path| self.files.iter().any(|file| file.starts_with(path));
                self.tags.contains(entry.tag.as_str())
                    && entry.resource.path().is_none_or(is_needed)
            }
            _ => false,
        }
    }
}

fn is_container(entry: &Entry) -> bool {
    entry.resource.profile().undo == Undo::Container
}

/// Takes one change back; says what failed. Of a unit, this is the first step.
async fn undo_one(entry: &Entry, host: &Host, events: &EventSender) -> Option<String> {
    let id = entry.resource.id();
    let result = match entry.resource.is_service() {
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
