//! Starts a service a second time beside the one that runs: whether it becomes ready is known
//! before the one that serves is stopped.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Unit;
use crate::resource::host::Host;
use crate::resource::host::fs::write_atomic;
use crate::resource::host::systemd::reload_systemd;

/// A folder of its own that the second one can write into while it runs.
pub const FOLDER: &str = "/run/hwctl-trial";
/// Where units are that a reboot forgets.
const UNITS: &str = "/run/systemd/system";

/// Tries a unit that can run beside itself, with the file and all else that it reads now.
pub(super) async fn run(unit: &Unit, host: &Host) -> Result<()> {
    if unit.beside.is_empty() {
        return Ok(());
    }
    host.progress(None, format!("trying {} beside the one that runs", unit.name));
    let trial = Trial::of(unit, host);
    let started = trial.start(unit, host).await;
    let removed = trial.remove(host).await;
    started.with_context(|| {
        format!("`{}` does not become ready; the one that serves was not touched", unit.name)
    })?;
    removed
}

/// Removes a second one that a run which was cut off has left running.
pub(super) async fn sweep(unit: &Unit, host: &Host) -> Result<()> {
    let trial = Trial::of(unit, host);
    if unit.beside.is_empty() || !trial.file.exists() {
        return Ok(());
    }
    trial.remove(host).await
}

struct Trial {
    second: Unit,
    file: PathBuf,
    settings: PathBuf,
}

impl Trial {
    fn of(unit: &Unit, host: &Host) -> Self {
        let name = format!("hwctl-trial-{}", unit.name);
        let folder = host.path(Path::new(UNITS));
        let settings = folder.join(format!("{name}.d")).join("trial.conf");
        Self { file: folder.join(&name), settings, second: Unit { name, ..unit.clone() } }
    }

    async fn start(&self, unit: &Unit, host: &Host) -> Result<()> {
        let path = Path::new("/etc/systemd/system").join(&unit.name);
        let text =
            fs::read(host.path(&path)).with_context(|| format!("read `{}`", path.display()))?;
        let folder = Path::new(FOLDER).file_name().unwrap_or_default().display();
        let environment = unit.beside.join(" ");
        // A folder of the first would go with the second.
        let settings = format!(
            "[Service]\nRestart=no\nRuntimeDirectory=\nRuntimeDirectory={folder}\n\
             Environment={environment}\n"
        );
        let parent = self.settings.parent().context("the folder of the trial's settings")?;
        fs::create_dir_all(parent).with_context(|| format!("make `{}`", parent.display()))?;
        write_atomic(&self.file, &text, 0o644, None)?;
        write_atomic(&self.settings, settings.as_bytes(), 0o644, None)?;
        reload_systemd(host).await?;
        self.second.systemctl(host, "start").await?;
        // One that does not say when it is ready may have ended by now.
        self.second.systemctl(host, "is-active").await
    }

    async fn remove(&self, host: &Host) -> Result<()> {
        host.output("systemctl", &["stop", &self.second.name]).await?;
        host.output("systemctl", &["reset-failed", &self.second.name]).await?;
        for gone in
            [fs::remove_file(&self.file), self.settings.parent().map_or(Ok(()), fs::remove_dir_all)]
        {
            if let Err(error) = gone
                && error.kind() != ErrorKind::NotFound
            {
                return Err(error).with_context(|| format!("remove `{}`", self.file.display()));
            }
        }
        Ok(())
    }
}
