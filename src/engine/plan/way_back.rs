//! The way back to the state before a run.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use crate::engine::record::journal::{self, Entry};
use crate::engine::record::step::Step;
use crate::event::RunOutcome;
use crate::resource::{Advise as _, Host, Id, Undo};

/// The steps that lead to an earlier state, newest change first.
pub(in crate::engine) struct WayBack {
    /// The first run that is taken back.
    pub(in crate::engine) run: String,
    pub(in crate::engine) steps: Vec<Step>,
    /// What cannot be brought back, and why.
    pub(in crate::engine) kept: Vec<(Id, String)>,
}

impl Entry {
    /// Whether a service that hands its work over ended with this change.
    fn has_ended(&self) -> bool {
        let has_gone = self.to.is_some() && self.resource.hands_over();
        has_gone && !self.resource.is_stopped_in(&self.before)
    }
}

impl WayBack {
    /// The way back to before a run, newest change first: of all that it and later ones have changed,
    /// the oldest state that was saved.
    pub(in crate::engine) fn before(run: Option<&str>, host: &Host) -> Result<Self> {
        let runs = journal::runs(host, false)?;
        let first = match run {
            None => {
                let last = runs
                    .iter()
                    .rposition(|run| run.outcome != RunOutcome::Undone && !run.changes.is_empty());
                last.ok_or_else(|| anyhow!("there is no run to roll back"))
                    .hint("`hwctl history` shows what the host's journal has")?
            }
            Some(id) => runs
                .iter()
                .position(|run| run.id == id)
                .ok_or_else(|| anyhow!("the host's journal has no run `{id}`"))
                .hint("`hwctl history` names the runs; the oldest are pruned")?,
        };
        if runs[first].outcome == RunOutcome::Undone {
            return Err(anyhow!(
                "run `{}` was undone: it left nothing to roll back",
                runs[first].id
            ))
            .hint("`hwctl history` names the runs that were kept");
        }
        let mut entries = Vec::new();
        for run in runs[first..].iter().filter(|run| run.outcome != RunOutcome::Undone) {
            entries.extend(journal::entries(host, &run.id)?);
        }
        let mut back = Self::of(runs[first].id.clone(), entries);
        back.leave_missing_versions(host);
        Ok(back)
    }

    /// The way back to the version of a part before the present one: of what the last run that replaced a version has
    /// changed of that part, and later ones, the oldest state that was saved. What is stored stays as it is.
    pub(in crate::engine) fn to_version_before(part: &str, host: &Host) -> Result<Self> {
        let mut entries = Vec::new();
        for run in journal::runs(host, false)?.into_iter().rev() {
            if run.outcome == RunOutcome::Undone {
                continue;
            }
            let mut of_run = journal::entries(host, &run.id)?;
            let has_replaced = of_run.iter().any(|entry| entry.tag == part && entry.has_ended());
            of_run.append(&mut entries);
            entries = of_run;
            if !has_replaced {
                continue;
            }
            let own: HashSet<Id> = entries
                .iter()
                .filter(|entry| entry.tag == part && entry.resource.profile().undo != Undo::Stored)
                .map(|entry| entry.resource.id())
                .collect();
            // Whoever sends work to the part has to read where that goes now.
            let reads = |entry: &Entry| entry.resource.inputs().iter().any(|id| own.contains(id));
            entries.retain(|entry| {
                own.contains(&entry.resource.id()) || entry.resource.is_service() && reads(entry)
            });
            return Ok(Self::of(run.id, entries));
        }
        Err(anyhow!("the host's journal knows no version of `{part}` before the present one"))
            .hint("`hwctl history` shows what the journal has; the oldest runs are pruned")
    }

    /// Back to the oldest states that the entries of some runs have, of which the first is named.
    fn of(run: String, entries: Vec<Entry>) -> Self {
        let mut seen = HashSet::new();
        let mut steps = Vec::new();
        for entry in entries {
            if seen.insert(entry.resource.id()) {
                let (tag, resource) = (entry.tag, entry.resource);
                steps.push(Step { tag, resource, to: Some(entry.before), is_surplus: false });
            }
        }
        steps.reverse();
        Self { run, steps, kept: Vec::new() }
    }

    /// Of a program's versions only the last two stay on the host. A link to one that is gone stays as
    /// it is, and so does the version that it leads to.
    fn leave_missing_versions(&mut self, host: &Host) {
        let known_series: HashSet<String> =
            self.steps.iter().filter_map(|step| Some(step.resource.series()?.to_owned())).collect();
        let comes_back = |step: &Step| step.to.is_some() && step.to != step.resource.nothing();
        let coming: HashSet<PathBuf> = self
            .steps
            .iter()
            .filter(|step| comes_back(step))
            .filter_map(|step| Some(step.resource.path()?.to_owned()))
            .collect();
        let mut present = HashSet::new();
        self.steps.retain(|step| {
            let target = step.to.as_ref().and_then(|to| step.resource.target_in(to));
            let (Some(target), Some(link)) = (target, step.resource.path()) else { return true };
            let stem = target.to_str().and_then(|target| target.rsplit_once('-'));
            let is_version = stem.is_some_and(|(stem, _)| known_series.contains(stem));
            if !is_version || host.path(&target).exists() || coming.contains(&target) {
                return true;
            }
            let why =
                format!("`{}`, to which it led then, is no longer on the host", target.display());
            self.kept.push((step.resource.id(), why));
            present.extend(fs::read_link(host.path(link)));
            false
        });
        self.steps.retain(|step| !step.resource.path().is_some_and(|path| present.contains(path)));
    }
}
