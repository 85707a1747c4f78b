//! Takes back a change that could lock the operator out, unless a new login confirms it.
//!
//! A timer on the host is armed before the change, in files, so that it holds across a reboot as
//! well. Only a login by a new connection disarms it: the one that made the change proves nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

use crate::engine::protocol::{ENGINE_GREETING, Reply, write_frame};
use crate::engine::record::journal::{self, Entry};
use crate::resource::{
    Advise, Host, Resource, Risk, Undo, reload_firewall, reload_systemd_if_stale, write_atomic,
};

const SERVICE: &str = "hwctl-revert.service";
const TIMER: &str = "hwctl-revert.timer";
const UNITS: &str = "/etc/systemd/system";
/// What starts the timer after a reboot.
const AT_BOOT: &str = "/etc/systemd/system/timers.target.wants/hwctl-revert.timer";

/// Whether a change of it could lock the operator out.
pub(in crate::engine) fn is_risky(resource: &Resource) -> bool {
    resource.profile().risk == Risk::LockOut
}

/// Whether the firewall is loaded with it: a boot in the middle of a run loads it too, so it
/// changes, and goes back, under the same timer.
pub(in crate::engine) fn is_loaded(resource: &Resource) -> bool {
    resource.profile().undo == Undo::FirewallFile
}

/// What takes back the risky changes of a run, as words of hwctl's command line.
fn reverting(id: &str) -> String {
    format!(" revert {id}")
}

/// Arms the timer: unless it is disarmed within `timeout`, the risky changes of the run `id` are
/// taken back.
pub(in crate::engine) async fn arm(host: &Host, id: &str, timeout: Duration) -> Result<()> {
    let program = std::env::current_exe().context("find hwctl's own binary")?;
    let service = format!(
        "[Unit]\nDescription=Takes back what could lock the operator of hwctl out\n\
         StartLimitIntervalSec=0\n\n\
         [Service]\nType=oneshot\nExecStart={}{}\nRestart=on-failure\nRestartSec=1s\n",
        program.display(),
        reverting(id),
    );
    let timer = format!(
        "[Unit]\nDescription=Waits for a new login of hwctl's operator\n\n\
         [Timer]\nOnActiveSec={}ms\nAccuracySec=100ms\nUnit={SERVICE}\n",
        timeout.as_millis(),
    );
    remove_file(&mark(host))?;
    // As they are they need no reload of systemd when a run arms it again.
    for (name, text) in [(SERVICE, service), (TIMER, timer)] {
        let path = unit(host, name);
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            write_atomic(&path, text.as_bytes(), 0o644, None)?;
        }
    }
    // The link's time is that of the arming.
    let link = host.path(Path::new(AT_BOOT));
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    }
    remove_file(&link)?;
    std::os::unix::fs::symlink(Path::new(UNITS).join(TIMER), &link)
        .and_then(|()| sync_folder_of(&link))
        .with_context(|| format!("make `{}`", link.display()))?;
    // New files systemd finds by itself.
    reload_systemd_if_stale(host, &[TIMER, SERVICE]).await?;
    // One that has fired before is still there for systemd: starting it again does nothing.
    host.run("systemctl", &["restart", TIMER]).await.context("arm the timer that takes it back")?;
    Ok(())
}

/// Whether a timer is armed.
pub(in crate::engine) fn is_armed(host: &Host) -> bool {
    unit(host, TIMER).exists()
}

/// In a session that was logged in anew: that works, so what of the run `id` could have locked the
/// operator out may stay. Answers as the engine does, by [`Reply::Closed`].
pub async fn confirm(host: &Host, id: &str, mut output: impl AsyncWrite + Unpin) -> Result<()> {
    output.write_all(format!("{ENGINE_GREETING}\n").as_bytes()).await?;
    let service = fs::read_to_string(unit(host, SERVICE)).unwrap_or_default();
    let reply = if !service.lines().any(|line| line.ends_with(&reverting(id))) {
        Reply::Failed { failure: anyhow!("no change of the run `{id}` waits for it").into() }
    } else if let Err(error) = disarm(host).await {
        Reply::Failed { failure: error.into() }
    } else {
        Reply::Closed
    };
    write_frame(&mut output, &reply).await
}

/// Disarms the timer. Only to be called by a session that was logged in after the change.
pub(in crate::engine) async fn disarm(host: &Host) -> Result<()> {
    // Once it takes things back it is let finish, and cleans up itself.
    if !is_armed(host) || has_fired(host) {
        return Ok(());
    }
    remove(host).await
}

/// Settles a timer that a run has left: a session that has logged in since it was armed disarms it,
/// another waits until the host has taken things back.
pub(in crate::engine) async fn resolve_pending(
    host: &Host,
    logged_in: SystemTime,
    patience: Duration,
    emit: impl FnOnce(String),
) -> Result<()> {
    let armed = fs::symlink_metadata(host.path(Path::new(AT_BOOT)))
        .or_else(|_| fs::metadata(unit(host, TIMER)))
        .and_then(|armed| armed.modified());
    if armed.is_ok_and(|armed| armed < logged_in) {
        disarm(host).await?;
    }
    if is_armed(host) {
        emit("waiting until the host has taken back a change of an earlier run".to_owned());
    }
    let start = Instant::now();
    while is_armed(host) {
        if start.elapsed() > patience {
            return Err(anyhow!("the host is still taking back a change of an earlier run"))
                .hint(format!("`systemctl status {SERVICE}` on the host says what is in its way"));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Takes back the risky changes of a run: what the timer does.
pub async fn revert(host: &Host, id: &str) -> Result<()> {
    // First: a login that comes from now on comes too late.
    write_atomic(&mark(host), b"", 0o600, None)?;
    let entries = journal::entries(host, id)?;
    // What the firewall is loaded with first.
    let loaded: Vec<_> = entries.iter().filter(|entry| is_loaded(&entry.resource)).collect();
    let risky: Vec<_> = entries.iter().filter(|entry| is_risky(&entry.resource)).collect();
    let mut reverted = Ok(());
    for Entry { resource, before, .. } in loaded.iter().rev().chain(risky.iter().rev()) {
        // One that cannot be taken back keeps no other from it.
        let undone = resource.undo(before, host).await;
        host.forget();
        reverted = reverted.and(undone.with_context(|| format!("`{}`", resource.id())));
    }
    if risky.is_empty() && !loaded.is_empty() {
        // A boot has loaded it before the run came to it.
        reverted = reverted.and(reload_firewall(host).await);
    }
    // Until it is done, systemd tries again.
    reverted.context("cannot take back what could lock the operator out")?;
    remove(host).await
}

/// Whether the timer that was armed last takes back the risky changes, or has.
pub(in crate::engine) fn has_fired(host: &Host) -> bool {
    mark(host).exists()
}

fn mark(host: &Host) -> PathBuf {
    host.state_dir().join("reverted")
}

async fn remove(host: &Host) -> Result<()> {
    host.run("systemctl", &["stop", TIMER]).await?;
    // The timer's file is the last to go: without it the run goes on, and may arm the timer again.
    for path in [host.path(Path::new(AT_BOOT)), unit(host, SERVICE), unit(host, TIMER)] {
        remove_file(&path)?;
    }
    // What a reload meanwhile has made `timers.target` want would else be started again, to find that
    // its files are gone.
    let _ = reload_systemd_if_stale(host, &[TIMER, SERVICE]).await;
    Ok(())
}

/// Removes a file for good: one that came back with a power cut would take back what was confirmed.
fn remove_file(path: &Path) -> Result<()> {
    let removed = match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        removed => removed.and_then(|()| sync_folder_of(path)),
    };
    removed.with_context(|| format!("remove `{}`", path.display()))
}

fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn unit(host: &Host, name: &str) -> PathBuf {
    host.path(Path::new(UNITS)).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::{RunInfo, read_frame};
    use crate::engine::record::journal::Journal;
    use crate::resource::{self, Declared, Firewall};

    #[tokio::test]
    async fn what_is_loaded_goes_back_with_what_loads_it_and_nothing_else_does() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let run = RunInfo { operator: "me@here".into(), verb: "x".into(), version: "1".into() };
        let mut journal = Journal::begin(&host, &run, None).unwrap();
        let [rules, page] = ["/etc/ufw/after.rules", "/etc/page"];
        let firewall = Firewall { allow: vec![], exclusive: false, inputs: vec![] }.into();
        let file = |path| Resource::from(resource::File::text(path, "new"));
        for resource in [file(rules), file(page), firewall] {
            let examined = resource.examine(&host).await.unwrap();
            let step = Declared::new("x", resource).into();
            journal.note(&step, examined.before, examined.change.unwrap()).unwrap();
        }
        fs::create_dir_all(root.path().join("etc/ufw")).unwrap();
        for path in [rules, page] {
            fs::write(root.path().join(&path[1..]), "new").unwrap();
        }
        // There is no systemd in this root to disarm.
        let _ = revert(&host, journal.id()).await;
        assert!(!root.path().join(&rules[1..]).exists());
        assert!(root.path().join(&page[1..]).exists());
        assert!(has_fired(&host));
    }

    #[tokio::test]
    async fn only_a_later_login_disarms_what_a_run_has_left() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let before = SystemTime::now();
        let silent = |told: String| panic!("{told}");
        resolve_pending(&host, before, Duration::ZERO, silent).await.unwrap();
        fs::create_dir_all(root.path().join(&UNITS[1..])).unwrap();
        let timer = File::create(unit(&host, TIMER)).unwrap();
        timer.set_modified(before + Duration::from_secs(1)).unwrap();
        let mut told = String::new();
        let waited =
            resolve_pending(&host, before, Duration::from_millis(150), |line| told = line).await;
        let waited = format!("{:#}", waited.unwrap_err());
        assert!(waited.contains("still taking back"), "{waited}");
        assert!(told.starts_with("waiting until the host has taken back"), "{told}");
        assert!(is_armed(&host));
        // Once the host has taken things back it removes the timer.
        let settled = resolve_pending(&host, before, Duration::from_secs(5), drop);
        let (settled, ()) = tokio::join!(settled, async {
            sleep(Duration::from_millis(50)).await;
            fs::remove_file(unit(&host, TIMER)).unwrap();
        });
        settled.unwrap();
    }

    #[tokio::test]
    async fn a_late_login_of_another_run_confirms_nothing() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        fs::create_dir_all(host.path(Path::new(UNITS))).unwrap();
        fs::write(unit(&host, TIMER), "").unwrap();
        let service = format!("[Service]\nExecStart=/hwctl{}\nRestart=no\n", reverting("r1-2"));
        fs::write(unit(&host, SERVICE), service).unwrap();
        for other in ["r1", "1-2", "r1-2-3", ""] {
            let mut said = Vec::new();
            confirm(&host, other, &mut said).await.unwrap();
            let mut frame = said.strip_prefix(format!("{ENGINE_GREETING}\n").as_bytes()).unwrap();
            let reply: Option<Reply> = read_frame(&mut frame).await.unwrap();
            assert!(matches!(reply, Some(Reply::Failed { .. })), "{other}: {reply:?}");
            assert!(is_armed(&host), "{other}");
        }
    }
}
