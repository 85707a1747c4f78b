//! Tries the configuration of a service as a whole, as it will be, before any of it is changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use crate::engine::driver::trial::{OwnFile, Trial};
use crate::engine::plan::Wanted;
use crate::engine::record::step::Step;
use crate::resource::{Advise, Host};

/// Where a stage is made, and what its name begins with.
const STAGES: &str = "/run";
const STAGE: &str = "hwctl-stage-";

/// Removes the stages of a run that was cut off.
pub(in crate::engine) fn sweep(host: &Host) -> Result<()> {
    for found in fs::read_dir(host.path(Path::new(STAGES))).into_iter().flatten().flatten() {
        if found.file_name().as_encoded_bytes().starts_with(STAGE.as_bytes()) {
            let path = found.path();
            fs::remove_dir_all(&path).with_context(|| format!("remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

/// Has the service test the configuration that is `wanted`, in its real place, seen by the test alone.
pub(in crate::engine) async fn configuration(
    trial: &'static dyn Trial,
    wanted: &Wanted,
    host: &Host,
) -> Result<()> {
    match Stage::make(trial, wanted, host).await?.problem(host).await? {
        None => Ok(()),
        Some(report) => {
            Err(anyhow!("{} does not accept the new configuration: {report}", trial.name()))
                .hint(trial.hint())
        }
    }
}

/// Refuses a configuration that clashes with a file of somebody else, such as a second default server,
/// and names the line of that file. What is wrong with hwctl's own files is left to the run.
pub(in crate::engine) async fn conflicts(
    trial: &'static dyn Trial,
    wanted: &Wanted,
    host: &Host,
) -> Result<()> {
    if !host.path(trial.program()).exists() {
        return Ok(());
    }
    let stage = Stage::make(trial, wanted, host).await?;
    if stage.problem(host).await?.is_none() {
        return Ok(());
    }
    trial.read_first(&own_files(trial, wanted), &stage.copy)?;
    let Some(report) = stage.problem(host).await? else { return Ok(()) };
    let Some(fault) = trial.fault(&report) else { return Ok(()) };
    let mut steps = wanted.declared.iter().chain(&wanted.removals);
    if steps.any(|step| step.resource.path() == Some(&fault.file)) {
        return Ok(());
    }
    let (file, line, name) = (fault.file.display(), fault.line, trial.name());
    Err(anyhow!("{}", fault.what))
        .hint(format!(
            "change that line on the host, or take the file out of {name}'s configuration, for example \
             with `mv {file} /root/`, and run again"
        ))
        .with_context(|| {
            format!("line {line} of `{file}`, which is not hwctl's, clashes with its configuration")
        })
}

/// The links in the configuration to files that are `wanted`.
fn own_files<'a>(trial: &dyn Trial, wanted: &'a Wanted) -> Vec<OwnFile<'a>> {
    let own = wanted.declared.iter().filter_map(|step| {
        let profile = step.resource.profile();
        let link = profile.place.path()?.strip_prefix(trial.folder()).ok()?;
        Some(OwnFile { link, target: profile.target? })
    });
    own.collect()
}

/// A copy of a service's configuration as it will be.
struct Stage {
    trial: &'static dyn Trial,
    /// Removes the copy in the end.
    _folder: TempDir,
    copy: PathBuf,
}

impl Stage {
    async fn make(trial: &'static dyn Trial, wanted: &Wanted, host: &Host) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(STAGE)
            .tempdir_in(host.path(Path::new(STAGES)))
            .with_context(|| {
                format!("make a folder to test {}'s configuration in", trial.name())
            })?;
        let staged = host.staged(folder.path());
        let copy = staged.path(trial.folder());
        fs::create_dir_all(&copy)?;
        for table in ["/etc/passwd", "/etc/group"] {
            fs::copy(host.path(Path::new(table)), staged.path(Path::new(table)))
                .with_context(|| format!("copy `{table}`"))?;
        }
        let state = staged.state_dir();
        fs::create_dir_all(state.parent().context("the state folder's parent")?)?;
        symlink(host.state_dir(), state)?;
        let source = format!("{}/.", trial.folder().display());
        host.run("cp", &["-a", &source, &copy.to_string_lossy()]).await?;
        let steps = wanted.giving_way.iter().chain(&wanted.declared).chain(&wanted.removals);
        for Step { resource, to, .. } in steps.filter(|step| trial.covers(&step.resource)) {
            if let Some(to) = to {
                resource.restore(to, &staged).await?;
                continue;
            }
            let examined = resource.examine(&staged).await?;
            if examined.change.is_some() {
                resource.apply(&examined.before, &staged).await?;
            }
        }
        Ok(Self { trial, _folder: folder, copy })
    }

    /// What the service reports against it.
    async fn problem(&self, host: &Host) -> Result<Option<String>> {
        self.trial.test(&self.copy, host).await
    }
}
