//! What is needed to undo a run: written and synced before each change.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::protocol::RunInfo;
use crate::resource::{Change, Host, Resource, Saved, write_atomic};

/// How many runs are kept.
const KEPT_RUNS: usize = 50;

/// A run's folder on the host, `/var/lib/hwctl/runs/<id>`.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    entries: Vec<Entry>,
}

/// One resource's state before a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) resource: Resource,
    pub(super) before: Saved,
    pub(super) change: Change,
}

/// Who began the run, and how it ended.
#[derive(Serialize, Deserialize)]
struct Head {
    id: String,
    run: RunInfo,
    from: Option<String>,
    outcome: Option<String>,
}

impl Journal {
    /// Begins a run.
    pub(super) fn begin(host: &Host, run: &RunInfo, from: Option<String>) -> Result<Self> {
        let runs = host.state_dir().join("runs");
        make_private(&host.state_dir())?;
        make_private(&runs)?;
        prune(&runs)?;
        // Sorts by time; a second run within the same second has another process.
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let id = format!("{time}-{}", std::process::id());
        let folder = runs.join(&id);
        make_private(&folder)?;
        let journal = Self { folder, entries: Vec::new() };
        journal.write_head(&Head { id, run: run.clone(), from, outcome: None })?;
        Ok(journal)
    }

    /// Opens a run of before, to take some of it back.
    pub(super) fn open(host: &Host, id: &str) -> Result<Self> {
        let folder = host.state_dir().join("runs").join(id);
        let mut paths: Vec<_> = fs::read_dir(&folder)
            .with_context(|| format!("there is no run `{id}`"))?
            .collect::<Result<_, _>>()?;
        paths.sort_by_key(fs::DirEntry::file_name);
        let mut entries = Vec::new();
        for entry in paths {
            if entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
                entries.push(rmp_serde::from_slice(&fs::read(entry.path())?)?);
            }
        }
        Ok(Self { folder, entries })
    }

    /// The run's name.
    pub(super) fn id(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Notes that the deadman's timer took back what it guards.
    pub(super) fn mark_reverted(&self) -> Result<()> {
        write_atomic(&self.folder.join("reverted"), b"", 0o600, None)
    }

    /// Whether the deadman's timer took back what it guards.
    pub(super) fn is_reverted(&self) -> bool {
        self.folder.join("reverted").exists()
    }

    /// Notes the state before a change; once this returns, the change can be undone.
    pub(super) fn note(
        &mut self,
        resource: &Resource,
        before: Saved,
        change: Change,
    ) -> Result<()> {
        let entry = Entry { resource: resource.for_journal(), before, change };
        let path = self.folder.join(format!("{:04}", self.entries.len()));
        write_atomic(&path, &rmp_serde::to_vec_named(&entry)?, 0o600, None)
            .context("note the state before the change")?;
        self.entries.push(entry);
        Ok(())
    }

    /// The changes so far, oldest first.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Ends the run.
    pub(super) fn end(&self, outcome: &str) -> Result<()> {
        let bytes = fs::read(self.folder.join("run.json")).context("read the run's journal")?;
        let head: Head = serde_json::from_slice(&bytes)?;
        self.write_head(&Head { outcome: Some(outcome.to_owned()), ..head })
    }

    fn write_head(&self, head: &Head) -> Result<()> {
        write_atomic(&self.folder.join("run.json"), &serde_json::to_vec_pretty(head)?, 0o600, None)
    }
}

fn make_private(folder: &PathBuf) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).with_context(|| format!("make `{}`", folder.display()))
}

fn prune(runs: &PathBuf) -> Result<()> {
    let mut folders: Vec<_> = fs::read_dir(runs)?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let surplus = folders.len().saturating_sub(KEPT_RUNS - 1);
    for folder in &folders[..surplus] {
        fs::remove_dir_all(folder).with_context(|| format!("remove `{}`", folder.display()))?;
    }
    Ok(())
}
