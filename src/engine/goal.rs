//! From what is asked for to the steps that a plan weighs.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use super::journal;
use super::manifest::Manifest;
use super::plan::{Step, Wanted};
use super::protocol::{BINARY_FOLDER, Goal};
use super::renewal;
use crate::event::RunOutcome;
use crate::resource::{Advise, Declared, Host, Id, Link, Resource};

/// What a plan for `goal` has to look at.
pub(super) fn wanted(goal: &Goal, host: &Host) -> Result<Wanted> {
    let manifest = Manifest::load(host)?;
    let mut passed_over = Vec::new();
    let (declared, removals, because) = match goal {
        Goal::Declared { resources, tags, vouch } => {
            if let Some(key) = vouch {
                host.vouch_with(key.clone());
            }
            let is_meant = |declared: &&Declared| tags.contains(&declared.tag);
            let (meant, others): (Vec<_>, Vec<_>) =
                resources.iter().cloned().partition(|d| is_meant(&d));
            passed_over = inputs_of(&meant, others.iter().map(|other| &other.resource));
            let because = Some("no longer in the inventory");
            let declared = meant.into_iter().map(Step::from).collect();
            (declared, manifest.removals(resources, tags), because)
        }
        Goal::NewCertificate { days, if_expires_within } => {
            let meant = renewal::wanted(&manifest, *days, *if_expires_within, host)?;
            passed_over = inputs_of(&meant, manifest.known().map(|(_, resource)| resource));
            (meant.into_iter().map(Step::from).collect(), Vec::new(), None)
        }
        Goal::PreviousVersion { link } => {
            let meant = previous_version(&manifest, link, host)?;
            passed_over = inputs_of(&meant, manifest.known().map(|(_, resource)| resource));
            (meant.into_iter().map(Step::from).collect(), Vec::new(), None)
        }
        Goal::Before { run } => (Vec::new(), before_run(run.as_deref(), host)?, None),
        Goal::Original { .. } => (Vec::new(), manifest.originals(), None),
    };
    Ok(Wanted {
        declared,
        passed_over,
        removals,
        because,
        purge_data: matches!(goal, Goal::Original { purge_data: true }),
        strange: manifest.strange(),
    })
}

/// The link to the version before, and what is started with it.
fn previous_version(manifest: &Manifest, link: &Path, host: &Host) -> Result<Vec<Declared>> {
    let now = fs::read_link(host.path(link))
        .with_context(|| format!("read the link `{}`", link.display()))?;
    let family = |resource: &Resource| resource.family().map(str::to_owned);
    let of_now = manifest.known().find(|(_, resource)| resource.path() == Some(&now));
    let of_now = of_now.and_then(|(_, resource)| family(resource));
    let others = manifest.known().filter(|(_, resource)| {
        of_now.is_some() && family(resource) == of_now && resource.path() != Some(&now)
    });
    let mut there = others.filter_map(|(tag, resource)| Some((tag, resource.path()?)));
    let previous = there.rfind(|(_, path)| host.path(path).is_file());
    let (tag, target) = previous
        .ok_or_else(|| anyhow!("there is no version before `{}` on the host", now.display()))
        .hint("`hwctl deploy --binary PATH` deploys one")?;
    let link = Link { path: link.to_owned(), target: target.to_owned() };
    let first = Declared { tag: tag.to_owned(), resource: link.into() };
    Ok(with_users(first, manifest))
}

/// A resource and what hwctl made that is started with it.
pub(super) fn with_users(first: Declared, manifest: &Manifest) -> Vec<Declared> {
    let id = first.resource.id();
    let users = manifest.known().filter(|(_, resource)| resource.inputs().contains(&id));
    std::iter::once(first).chain(users.map(declared)).collect()
}

/// The units, the containers and the firewall as they were declared last, with what they are started
/// with. The manifest keeps no content of files, so a file counts by what has read it.
pub(super) fn what_runs(host: &Host) -> Result<Wanted> {
    let manifest = Manifest::load(host)?;
    let known: HashSet<Id> = manifest.known().map(|(_, resource)| resource.id()).collect();
    let mut running: Vec<_> =
        manifest.known().filter(|(_, resource)| resource.is_unit()).map(declared).collect();
    let mut passed_over = inputs_of(&running, manifest.known().map(|(_, resource)| resource));
    // An input that was as it should be when hwctl came is not in the manifest. It is read by its id,
    // and what has one that cannot be read so is left out.
    running.retain(|unit| {
        let unknown = unit.resource.inputs().iter().filter(|id| !known.contains(id));
        let found: Option<Vec<_>> = unknown.map(Resource::by_id).collect();
        let is_readable = found.is_some();
        passed_over.extend(found.into_iter().flatten());
        is_readable
    });
    let running = running.into_iter().map(Step::from).collect();
    Ok(Wanted { passed_over, ..Wanted::declared_only(running) })
}

fn declared((tag, resource): (&str, &Resource)) -> Declared {
    Declared { tag: tag.to_owned(), resource: resource.clone() }
}

/// What of `others` the `meant` resources are started with.
fn inputs_of<'a>(meant: &[Declared], others: impl Iterator<Item = &'a Resource>) -> Vec<Resource> {
    let own: HashSet<Id> = meant.iter().map(|declared| declared.resource.id()).collect();
    let inputs: HashSet<&Id> = meant.iter().flat_map(|d| d.resource.inputs()).collect();
    let is_read = |id: &Id| inputs.contains(id) && !own.contains(id);
    others.filter(|other| is_read(&other.id())).cloned().collect()
}

/// Once the goal is reached: after hwctl has taken away what it made, its own folders go. Secrets
/// and the journal stay as long as the data does.
pub(super) fn leave(goal: &Goal, host: &Host) -> Result<()> {
    let Goal::Original { purge_data } = goal else { return Ok(()) };
    let state = host.state_dir();
    let folders = match purge_data {
        true => vec![state],
        false => vec![state.join("stamps"), state.join("blobs")],
    };
    for folder in folders.into_iter().chain([host.path(Path::new(BINARY_FOLDER))]) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove `{}`", folder.display()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The way back to before a run, newest change first: of all that it and later ones have changed,
/// the oldest state that was saved.
fn before_run(run: Option<&str>, host: &Host) -> Result<Vec<Step>> {
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
        return Err(anyhow!("run `{}` was undone: it left nothing to roll back", runs[first].id))
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
    Ok(steps)
}
