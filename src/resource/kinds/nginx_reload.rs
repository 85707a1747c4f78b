//! nginx takes up a new configuration some time after it was told to, or not at all: then the old
//! one goes on serving, and `systemctl reload` has said that all is well.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::time::sleep;

use crate::resource::host::{Host, last_lines};
use crate::resource::model::hint::Advise;

/// How long nginx may take until its new workers serve.
const PATIENCE: Duration = Duration::from_secs(10);
const ERROR_LOG: &str = "/var/log/nginx/error.log";

/// Lets nginx test its configuration. It makes the logs that are missing, which are not for everybody.
pub async fn test_nginx(host: &Host) -> Result<Output> {
    host.output("sh", &["-c", "umask 027 && exec nginx -t -q"]).await
}

/// Reloads nginx and waits until no worker of before takes requests.
pub async fn reload_nginx(host: &Host) -> Result<()> {
    let test = test_nginx(host).await?;
    if !test.status.success() {
        bail!("nginx does not accept its configuration: {}", last_lines(&test, 2));
    }
    let main = host.run("systemctl", &["show", "--property=MainPID", "--value", "nginx"]).await?;
    let main: u32 = main.trim().parse().context("`systemctl show` names no process of nginx")?;
    let old = workers(main);
    let log = host.path(Path::new(ERROR_LOG));
    let logged = fs::metadata(&log).map_or(0, |log| log.len());
    let output = host.output("systemctl", &["reload", "nginx.service"]).await?;
    if !output.status.success() {
        bail!("`systemctl reload nginx.service` fails: {}", last_lines(&output, 2));
    }
    let deadline = Instant::now() + PATIENCE;
    while !workers(main).is_disjoint(&old) {
        let refusal = refusal(&log, logged);
        if refusal.is_some() || Instant::now() > deadline {
            let why =
                refusal.unwrap_or_else(|| "its old worker processes are still running".to_owned());
            return Err(anyhow!("nginx did not load the new configuration: {why}")).hint(format!(
                "nginx still serves with the old configuration; see `{ERROR_LOG}` on the host"
            ));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until the workers of before have finished the requests that they have in hand, or the time is up.
pub(in crate::resource::kinds) async fn wait_for_old_workers(patience: Duration) {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline && has_old_workers() {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a worker of nginx is about to end.
fn has_old_workers() -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    entries.flatten().any(|entry| {
        let title = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        title.starts_with(b"nginx: worker process is shutting down")
    })
}

/// The processes that take requests: those of before finish what they have begun under another
/// title.
fn workers(main: u32) -> HashSet<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashSet::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_worker(*pid, main)).collect()
}

fn is_worker(pid: u32, main: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in parentheses and may hold anything; the state and the parent follow it.
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
    let title = || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    parent.is_some_and(|parent| parent == main.to_string())
        && title().trim_end_matches(['\0', ' ']).ends_with("worker process")
}

/// Why nginx does not take up the configuration, when its log says so after its first `from` bytes.
fn refusal(log: &Path, from: u64) -> Option<String> {
    let text = fs::read(log).ok()?;
    let new = String::from_utf8_lossy(text.get(usize::try_from(from).ok()?..)?).into_owned();
    let (_, why) = new.lines().find_map(|line| line.split_once("[emerg] "))?;
    Some(why.split_once(": ").map_or(why, |(_, why)| why).to_owned())
}
