//! The way back to the state before a run.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use crate::engine::record::journal;
use crate::engine::record::step::Step;
use crate::event::RunOutcome;
use crate::resource::{Advise as _, Host, Id};

/// The steps that lead to an earlier state, newest change first.
pub(in crate::engine) struct WayBack {
    /// The first run that is taken back.
    pub(in crate::engine) run: String,
    pub(in crate::engine) steps: Vec<Step>,
    /// What cannot be brought back, and why.
    pub(in crate::engine) kept: Vec<(Id, String)>,
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
        let mut seen = HashSet::new();
        let mut steps = Vec::new();
        for run in runs[first..].iter().filter(|run| run.outcome != RunOutcome::Undone) {
            for entry in journal::entries(host, &run.id)? {
                if seen.insert(entry.resource.id()) {
                    let (tag, resource) = (entry.tag, entry.resource);
                    steps.push(Step { tag, resource, to: Some(entry.before), is_surplus: false });
                }
            }
        }
        steps.reverse();
        let run = runs[first].id.clone();
        let mut back = Self { run, steps, kept: Vec::new() };
        back.leave_missing_versions(host);
        Ok(back)
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
