//! Logs in: starts the ssh that holds a connection and is shared by all commands of a session.
//!
//! The arguments are hwctl's own rather than those of the `openssh` crate, which quotes no paths
//! and leaves the log level to the user's configuration.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::arguments::control_path;
use super::engine::Emit;
use super::kept::{OF_ONE, state_folder, sweep};
use super::resolve::resolve;
use super::route::Route;
use super::ssh::Target;
use crate::event::EventKind;
use crate::failure::Failure;

/// For how many seconds ssh stays when hwctl is gone.
const ORPHAN_SECONDS: usize = 10;
/// The longest path of a folder for control sockets. A socket's address has 104 bytes on some
/// systems, of which ssh and the folder of the connection take some 50.
const MAX_FOLDER: usize = 54;
/// How long a host that is booting is waited for.
const BOOT: Duration = Duration::from_mins(1);
/// How long the name of a host is looked up after ssh did not manage to connect.
const LOOK_UP: Duration = Duration::from_secs(1);
/// The time between the first two attempts. It doubles after each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How long an address that sshd has penalized is tried. Such a penalty holds for at least 15 seconds (`min` of
/// `PerSourcePenalties` in `sshd_config(5)`).
const PENALTY: Duration = Duration::from_secs(20);

/// What ssh says when sshd closes the connection of an address that failed too often, or of one too many at
/// once.
const PENALIZED: [&str; 3] =
    ["Connection closed by", "Not allowed at this time", "Exceeded MaxStartups"];
/// What ssh says of another refusal that may pass, such as that of a machine that starts. A host that is away
/// does not answer at all.
const PASSING: [&str; 2] = ["Connection refused", "Connection reset by"];

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// ssh ended without one; this is what it said.
    Ssh(String),
    /// ssh could not be started.
    NotStarted(std::io::Error),
    /// The command line or the inventory is wrong.
    Wrong(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Wrong(failure)
    }
}

impl Refusal {
    /// For how long another attempt makes sense, counted from the first one.
    fn patience(&self, connect_timeout: Duration) -> Option<Duration> {
        let Self::Ssh(told) = self else { return None };
        if is_booting(told) {
            return Some(BOOT.max(connect_timeout));
        }
        if PENALIZED.iter().any(|text| told.contains(text)) {
            return Some(PENALTY.max(connect_timeout));
        }
        PASSING.iter().any(|text| told.contains(text)).then_some(connect_timeout)
    }
}

/// Whether `pam_nologin` turned the login down because the host is still starting.
pub(super) fn is_booting(told: &str) -> bool {
    told.contains("System is booting up")
}

/// Starts the master of a new connection. Its control socket, `master`, is in the folder that is
/// returned, which lies in `folder`. A refusal that may pass is tried again.
pub(super) async fn log_in(
    target: &Target,
    folder: Option<&Path>,
    idle_seconds: Option<usize>,
    emit: Emit<'_>,
) -> Result<TempDir, Refusal> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let refusal = match start_master(target, folder, idle_seconds, emit).await {
            Ok(made) => return Ok(made),
            Err(refusal) => refusal,
        };
        let patience = refusal.patience(target.connect_timeout);
        if patience.is_none_or(|patience| began.elapsed() + pause >= patience) {
            return Err(refusal);
        }
        let message = match &refusal {
            Refusal::Ssh(told) if is_booting(told) => "waiting for the host to boot",
            _ => "connecting again: sshd closed the connection",
        };
        emit(EventKind::Step { message: message.to_owned(), fraction: None });
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(4));
    }
}

async fn start_master(
    target: &Target,
    folder: Option<&Path>,
    idle_seconds: Option<usize>,
    emit: Emit<'_>,
) -> Result<TempDir, Refusal> {
    let folder = folder.map_or_else(socket_folder, Path::to_owned);
    let mut made = tempfile::Builder::new();
    let made = made.prefix(OF_ONE).tempdir_in(folder).map_err(Refusal::NotStarted)?;
    let (log, errors) = (made.path().join("log"), made.path().join("errors"));
    let errors_file = File::create(&errors).map_err(Refusal::NotStarted)?;
    let idle = idle_seconds.unwrap_or(ORPHAN_SECONDS);
    let mut ssh = Command::new("ssh");
    ssh.arg("-E").arg(&log);
    ssh.arg("-S").arg(control_path(&made.path().join("master"))?);
    ssh.args(["-M", "-f", "-N", "-o", &format!("ControlPersist={idle}s"), "-o", "BatchMode=yes"]);
    // What the user's configuration says of these is not for a session of hwctl: its causes would
    // be lost, and its forwards would clash with those of the user's own sessions.
    ssh.args(["-o", "LogLevel=INFO", "-o", "ClearAllForwardings=yes"]);
    ssh.args(target.arguments()?);
    ssh.args(["-o", "StrictHostKeyChecking=yes", "-o", "ServerAliveInterval=15"]);
    ssh.args(["--", &target.address]);
    let arguments = ssh.as_std().get_args().map(|argument| argument.to_string_lossy());
    let message = format!("ssh {}", arguments.collect::<Vec<_>>().join(" "));
    emit(EventKind::Trace { message });
    // ssh goes to the background once it is logged in, which ends the process that is waited for.
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors_file).kill_on_drop(true);
    let status = tokio::select! {
        status = ssh.status() => status.map_err(Refusal::NotStarted)?,
        host = unresolved(target) => {
            let told = format!("Could not resolve hostname {host}: no DNS server answers");
            return Err(Refusal::Ssh(told));
        }
    };
    if status.success() {
        return Ok(made);
    }
    let read = |path: &Path| std::fs::read(path).unwrap_or_default();
    let told = [read(&errors), read(&log)].concat();
    Err(Refusal::Ssh(String::from_utf8_lossy(&told).into_owned()))
}

/// Ends when the name of the host cannot be looked up in time, which ssh's own time-out does not
/// cover. Never ends otherwise.
async fn unresolved(target: &Target) -> String {
    // By now a login that is not under way has failed by itself.
    sleep(target.connect_timeout).await;
    let route = Route::of(target).await;
    if route.through.is_none() && timeout(LOOK_UP, resolve(&route.host)).await.is_err() {
        return route.host;
    }
    std::future::pending().await
}

/// The folder of connections that end with their command.
fn socket_folder() -> PathBuf {
    // Once for all hosts of a command.
    static SWEPT: Once = Once::new();
    // A folder that others use, too, is not hwctl's to tidy up.
    state_folder()
        .filter(|folder| folder.as_os_str().len() <= MAX_FOLDER)
        .inspect(|folder| SWEPT.call_once(|| sweep(folder)))
        .unwrap_or_else(std::env::temp_dir)
}

/// Whether this machine has no ssh.
pub(super) fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_may_pass_is_told_from_a_host_that_is_away() {
        let timeout = Duration::from_secs(10);
        let patience = |told: &str| Refusal::Ssh(told.to_owned()).patience(timeout);

        for told in [
            "ssh: connect to host vm1 port 22: Connection refused",
            "kex_exchange_identification: read: Connection reset by peer",
        ] {
            assert_eq!(patience(told), Some(timeout), "{told}");
        }
        for told in [
            "kex_exchange_identification: banner line 0: Not allowed at this time",
            "Connection closed by 192.0.2.1 port 22",
        ] {
            assert_eq!(patience(told), Some(PENALTY), "{told}");
        }
        assert_eq!(
            patience("System is booting up. Unprivileged users are not permitted"),
            Some(BOOT)
        );
        for told in [
            "ssh: connect to host vm1 port 22: Connection timed out",
            "vm1: Permission denied (publickey).",
            "Host key verification failed.",
        ] {
            assert_eq!(patience(told), None, "{told}");
        }
    }
}
