//! apt-get: what it waits for, how it is run, and how far it is.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::{Instant, sleep};

use super::hold::{self, Hold};
use crate::resource::host::Host;
use crate::resource::model::hint::Advise;

/// Free space that the packages of the stack need to unpack, in bytes.
const SPACE: u64 = 700 << 20;
const LOCKS: [&str; 3] =
    ["/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"];

/// Installs packages that are missing.
pub(super) async fn install(host: &Host, missing: &[&str]) -> Result<()> {
    let is_fresh = lists_are_fresh(host);
    // One source that does not answer fails all of an update. What is missing may come from the others.
    let updated = if is_fresh { Ok(()) } else { apt(host, &["update"]).await };
    let _hold = Hold::of(missing, host).await;
    // What the plan did not know, since the lists were old, is refused here.
    let install = [&["install", "--no-install-recommends", "--no-remove"], missing].concat();
    let Err(error) = apt(host, &install).await else { return Ok(()) };
    updated?;
    if !is_fresh {
        return Err(error);
    }
    // Lists can name versions that the archive no longer has: fetch them and try once more.
    let updated = apt(host, &["update"]).await;
    let Err(error) = apt(host, &install).await else { return Ok(()) };
    updated?;
    Err(error)
}

/// Whether package lists are there and younger than a day.
pub(super) fn lists_are_fresh(host: &Host) -> bool {
    let lists = host.path(Path::new("/var/lib/apt/lists"));
    let Ok(entries) = std::fs::read_dir(lists) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name().to_string_lossy().contains("_Packages")
            && entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < Duration::from_hours(24)))
    })
}

/// Whether a source was added or changed since the lists were fetched: they may lack packages that it has.
pub(super) fn sources_have_changed(host: &Host) -> bool {
    let changed =
        |path: &Path| std::fs::metadata(host.path(path)).and_then(|it| it.modified()).ok();
    let sources = Path::new("/etc/apt/sources.list.d");
    let entries = std::fs::read_dir(host.path(sources)).into_iter().flatten().flatten();
    let files = entries.map(|entry| sources.join(entry.file_name()));
    let files = files.chain([sources.to_owned(), "/etc/apt/sources.list".into()]);
    let newest = files.filter_map(|path| changed(&path)).max();
    // A file of the lists has the time that its server gives it.
    newest > changed(Path::new("/var/lib/apt/lists"))
}

pub(super) fn require_space(host: &Host) -> Result<()> {
    let path = host.path(Path::new("/var"));
    let Ok(stat) = rustix::fs::statvfs(&path) else { return Ok(()) };
    let free = stat.f_bavail * stat.f_frsize;
    if free >= SPACE {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "`/var` has {} MiB free, the packages need {} MiB",
        free >> 20,
        SPACE >> 20
    ))
    .hint("free some space on the host (`df -h`, `apt-get clean`) and run again")
}

/// Waits while cloud-init still sets the machine up: it installs packages and writes files too.
pub(super) async fn wait_for_first_boot(host: &Host) -> Result<()> {
    let enabled = host.path(Path::new("/run/cloud-init/enabled"));
    let finished = host.path(Path::new("/run/cloud-init/result.json"));
    let start = Instant::now();
    while enabled.exists() && !finished.exists() {
        host.progress(None, "waiting for cloud-init to finish the first boot");
        if start.elapsed() > host.patience() {
            return Err(anyhow::anyhow!("cloud-init has not finished its first boot"))
                .hint("`cloud-init status --long` on the host says what it does");
        }
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

pub(super) async fn wait_for_locks(host: &Host) -> Result<()> {
    let start = Instant::now();
    while let Some((lock, pid)) = LOCKS.iter().find_map(|lock| Some((*lock, holder(host, lock)?))) {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let name = name.trim();
        host.progress(None, format!("waiting for apt: `{name}` (pid {pid}) holds its lock"));
        if start.elapsed() > host.patience() {
            return Err(anyhow::anyhow!("apt's lock `{lock}` is held by `{name}` (pid {pid})"))
                .hint(format!("wait until it is done, or look at it on the host: `ps -fp {pid}`"));
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Whether somebody works with dpkg now.
pub(super) fn is_dpkg_locked(host: &Host) -> bool {
    holder(host, LOCKS[0]).is_some()
}

/// The process that holds a lock, as the kernel reports it.
fn holder(host: &Host, lock: &str) -> Option<i32> {
    let file = std::fs::OpenOptions::new().write(true).open(host.path(Path::new(lock))).ok()?;
    let wanted = Flock::from(FlockType::WriteLock);
    fcntl_getlk(&file, &wanted).ok()??.pid.map(|pid| pid.as_raw_nonzero().get())
}

pub(super) fn apt_command(host: &Host, program: &str) -> tokio::process::Command {
    let mut command = host.command(program);
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("DEBIAN_PRIORITY", "critical")
        .env("NEEDRESTART_SUSPEND", "1")
        .env("NEEDRESTART_MODE", "l")
        .env("APT_LISTCHANGES_FRONTEND", "none")
        .env("UCF_FORCE_CONFFOLD", "1");
    command
}

/// Runs apt-get and reports its progress, which it writes in lines among its output.
pub(super) async fn apt(host: &Host, args: &[&str]) -> Result<()> {
    let mut child = apt_command(host, "apt-get")
        .args(["-y", "-q", "-o", "APT::Status-Fd=1", "-o", "DPkg::Lock::Timeout=120"])
        .args(["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"])
        .args(["-o", "Dpkg::Use-Pty=0"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run `apt-get`")?;
    let mut lines = BufReader::new(child.stdout.take().context("apt's output")?).lines();
    let mut errors = child.stderr.take().context("apt's errors")?;
    let read_errors = async move {
        let mut text = String::new();
        let read = errors.read_to_string(&mut text).await;
        read.map(|_| text)
    };
    let read_lines = async {
        let mut last = Vec::new();
        while let Some(line) = lines.next_line().await? {
            if let Some(name) = installed_of(&line) {
                hold::switch_off(name, host).await;
                hold::release(name, host);
                host.package_has_come(name);
            }
            match progress_of(&line) {
                Some((fraction, message)) => host.progress(Some(fraction), message),
                None if !line.trim().is_empty() => last.push(line),
                None => {}
            }
        }
        anyhow::Ok(last)
    };
    let (lines, errors) = tokio::join!(read_lines, read_errors);
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    let errors = errors?;
    let told: Vec<_> = errors.lines().filter(|line| !line.starts_with("W:")).collect();
    let shown = if told.is_empty() { lines?.join("\n") } else { told.join("\n") };
    let shown: Vec<_> = shown.lines().rev().take(6).collect();
    let shown: Vec<_> = shown.into_iter().rev().collect();
    Err(anyhow::anyhow!("`apt-get {}` fails: {}", args.join(" "), shown.join(" | ")))
        .hint("the host's own `apt-get` says the same: mend its sources or network, and run again")
}

/// Reads a line such as `pmstatus:nginx:40.0000:Unpacking nginx (amd64)`. Downloads are the first
/// third of the way, unpacking and setting up the rest.
fn progress_of(line: &str) -> Option<(f32, String)> {
    let (kind, rest) = line.split_once(':')?;
    let mut fields = rest.splitn(3, ':');
    let _package = fields.next()?;
    let percent: f32 = fields.next()?.parse().ok()?;
    let message = fields.next()?.trim().to_owned();
    match kind {
        "dlstatus" => Some((percent / 300.0, message)),
        "pmstatus" => Some((1.0 / 3.0 + percent / 150.0, message)),
        _ => None,
    }
}

/// The package in a line such as `pmstatus:nginx:87.8049:Installed nginx (amd64)`: dpkg has set it up.
fn installed_of(line: &str) -> Option<&str> {
    let mut fields = line.strip_prefix("pmstatus:")?.splitn(3, ':');
    let name = fields.next()?;
    fields.nth(1)?.starts_with("Installed ").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_progress_is_read() {
        let (fraction, message) = progress_of("pmstatus:nginx:50.0:Unpacking nginx").unwrap();
        assert!((fraction - 2.0 / 3.0).abs() < 0.001);
        assert_eq!(message, "Unpacking nginx");
        assert_eq!(progress_of("Setting up nginx (1.26.3-3) ..."), None);
    }

    #[test]
    fn a_package_has_come_once_it_is_set_up() {
        assert_eq!(installed_of("pmstatus:nginx:87.8:Installed nginx (amd64)"), Some("nginx"));
        assert_eq!(installed_of("pmstatus:docker.io:9.7:Installing docker.io (amd64)"), None);
        assert_eq!(installed_of("pmstatus:ufw:60.9:Configuring ufw (amd64)"), None);
        assert_eq!(installed_of("dlstatus:1:9.7:Retrieving file 1 of 3"), None);
    }
}
