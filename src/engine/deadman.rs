//! Takes back a change that could lock the operator out, unless a new login confirms it.
//!
//! A timer on the host is armed before the change, in files, so that it holds across a reboot as
//! well. Only a login by a new connection disarms it: the one that made the change proves nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::journal::Journal;
use crate::resource::{Host, Resource, write_atomic};

const SERVICE: &str = "hwctl-revert.service";
const TIMER: &str = "hwctl-revert.timer";
const UNITS: &str = "/etc/systemd/system";
/// What starts the timer after a reboot.
const AT_BOOT: &str = "/etc/systemd/system/timers.target.wants/hwctl-revert.timer";

/// Whether a change of it could lock the operator out.
pub(super) fn is_risky(resource: &Resource) -> bool {
    match resource {
        Resource::Firewall(_) => true,
        Resource::Unit(unit) => {
            let name = unit.name.split('.').next().unwrap_or_default();
            matches!(name, "ssh" | "sshd" | "ufw")
        }
        other => other.path().is_some_and(|path| path.starts_with("/etc/ssh")),
    }
}

/// Arms the timer: unless it is disarmed within `timeout`, the risky changes of the run `id` are
/// taken back.
pub(super) async fn arm(host: &Host, id: &str, timeout: Duration) -> Result<()> {
    let program = std::env::current_exe().context("find hwctl's own binary")?;
    let service = format!(
        "[Unit]\nDescription=Takes back what could lock the operator of hwctl out\n\n\
         [Service]\nType=oneshot\nExecStart={} revert {id}\n",
        program.display(),
    );
    let timer = format!(
        "[Unit]\nDescription=Waits for a new login of hwctl's operator\n\n\
         [Timer]\nOnActiveSec={}ms\nAccuracySec=100ms\nUnit={SERVICE}\n",
        timeout.as_millis(),
    );
    write_atomic(&unit(host, SERVICE), service.as_bytes(), 0o644, None)?;
    write_atomic(&unit(host, TIMER), timer.as_bytes(), 0o644, None)?;
    let link = host.path(Path::new(AT_BOOT));
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    }
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(Path::new(UNITS).join(TIMER), &link)
        .with_context(|| format!("make `{}`", link.display()))?;
    host.run("systemctl", &["daemon-reload"]).await?;
    host.run("systemctl", &["start", TIMER]).await.context("arm the timer that takes it back")?;
    Ok(())
}

/// Whether a timer is armed.
pub(super) fn is_armed(host: &Host) -> bool {
    unit(host, TIMER).exists()
}

/// Disarms the timer. Only to be called by a session that was logged in after the change.
pub(super) async fn disarm(host: &Host) -> Result<()> {
    if !is_armed(host) {
        return Ok(());
    }
    host.run("systemctl", &["stop", TIMER]).await?;
    remove(host).await
}

/// Takes back the risky changes of a run: what the timer does.
pub async fn revert(host: &Host, id: &str) -> Result<()> {
    let journal = Journal::open(host, id)?;
    let risky = journal.entries().iter().rev().filter(|entry| is_risky(&entry.resource));
    let mut reverted = Ok(());
    for entry in risky {
        // One that cannot be taken back keeps no other from it.
        let undone = entry.resource.undo(&entry.before, host).await;
        host.forget();
        reverted = reverted.and(undone.with_context(|| format!("`{}`", entry.resource.id())));
    }
    journal.mark_reverted()?;
    remove(host).await?;
    reverted.context("cannot take back what could lock the operator out")
}

async fn remove(host: &Host) -> Result<()> {
    for path in [host.path(Path::new(AT_BOOT)), unit(host, TIMER), unit(host, SERVICE)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove `{}`", path.display()));
            }
            _ => {}
        }
    }
    host.run("systemctl", &["daemon-reload"]).await.map(|_| ())
}

fn unit(host: &Host, name: &str) -> PathBuf {
    host.path(Path::new(UNITS)).join(name)
}
