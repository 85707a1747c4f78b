//! The health of the stack on this host, read in one go: services, container, API, certificate,
//! firewall, disk and the last run.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::drift;
use super::journal;
use super::lock::Lock;
use super::manifest::Manifest;
use super::{rotation, serving};
use crate::event::{Check, RunOutcome};
use crate::https::Connection;
use crate::resource::{
    Host, expiry, fingerprint, is_firewall_loaded, last_lines, require_docker, show_units,
    test_nginx,
};

const UNITS: [&str; 4] =
    ["nginx.service", "flask-app.socket", "flask-app.service", "docker.service"];
const PROPERTIES: [&str; 6] = [
    "ActiveState",
    "SubState",
    "NRestarts",
    "MemoryCurrent",
    "ActiveEnterTimestampMonotonic",
    "MainPID",
];
/// What the API and nginx are asked for.
const PATHS: [&str; 3] = ["/", "/flask/api/ping", "/flask/api/health"];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an API that is not ready has until it is asked again.
const AGAIN: Duration = Duration::from_millis(300);
/// With fewer days left than this the host's own renewal, which begins at 30, does not work.
const DAYS_LEFT: u64 = 7;
/// With less space than this the next run, log or write of Redis may fail.
const FREE_BYTES: u64 = 1_000_000_000;

/// How a host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// All that was looked at.
    pub checks: Vec<Check>,
    /// SHA-256 of the certificate (DER) that is served, in hex, if there is one.
    pub certificate: Option<String>,
}

/// Reads how the host is; `certificate` is where the certificate is that nginx serves.
pub async fn status(host: &Host, certificate: &Path) -> Status {
    // A session may ask again and again.
    host.forget();
    let path = host.path(certificate);
    let pinned = fingerprint(&path);
    let (services, syntax, firewall, rotates, answers) = tokio::join!(
        services(host),
        nginx_syntax(host),
        firewall(host),
        rotation::rotation(host),
        through_nginx(pinned.as_ref().ok().cloned()),
    );
    let mut checks = services;
    checks.push(Check::of("nginx configuration", syntax));
    checks.extend(answers);
    checks.push(Check::of("certificate", certificate_life(&path)));
    checks.push(Check::of("firewall", firewall));
    checks.push(Check::of("socket of the API", serving::api_socket(host)));
    checks.push(Check::of("log rotation", rotates));
    checks.push(Check::of("disk", disk(host)));
    checks.push(Check::of("last run", last_run(host)));
    checks.extend(drift::manual_changes(host).await.map(|seen| Check::of("manual changes", seen)));
    Status { checks, certificate: pinned.ok() }
}

/// The units, and the containers that hwctl has made here.
async fn services(host: &Host) -> Vec<Check> {
    let told = match show_units(host, &UNITS, &PROPERTIES).await {
        Ok(told) => told,
        Err(error) => return vec![Check::of("systemd", Err(error))],
    };
    let blocks = UNITS.iter().zip(told.split("\n\n"));
    let mut checks: Vec<_> = blocks.map(|(name, block)| Check::of(*name, unit(block))).collect();
    let containers = match Manifest::load(host) {
        Ok(manifest) => manifest.containers(),
        Err(error) => return [checks, vec![Check::of("manifest", Err(error))]].concat(),
    };
    for name in containers {
        let seen = container(host, &name).await;
        checks.push(Check::of(format!("container {name}"), seen));
    }
    checks
}

fn field<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// What `systemctl show` says of one unit.
fn unit(block: &str) -> Result<String> {
    let field = |name| field(block, name).unwrap_or_default();
    let state = field("ActiveState");
    if state != "active" {
        let sub = field("SubState");
        bail!(
            "{}",
            if sub == "dead" || sub == state {
                state.to_owned()
            } else {
                format!("{state} ({sub})")
            }
        );
    }
    let mut detail = "up".to_owned();
    let since = field("ActiveEnterTimestampMonotonic").parse().ok().map(Duration::from_micros);
    if let Some(up) = since.and_then(|since| monotonic()?.checked_sub(since)) {
        let _ = write!(detail, " {}", span(up));
    }
    // Not every kernel counts a unit's memory.
    let own = || resident(field("MainPID").parse().ok()?);
    if let Some(bytes) = field("MemoryCurrent").parse().ok().or_else(own) {
        let _ = write!(detail, ", {}", size(bytes));
    }
    // A socket has no restarts to count.
    if let Ok(number) = field("NRestarts").parse::<u32>() {
        let _ = write!(detail, ", {}", restarts(number.into()));
    }
    Ok(detail)
}

async fn container(host: &Host, name: &str) -> Result<String> {
    let docker = require_docker(host).await?;
    let found = docker.inspect_container(name, None::<InspectContainerOptions>).await;
    let found: ContainerInspectResponse = match found {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
            bail!("there is none")
        }
        found => found?,
    };
    let state = found.state.unwrap_or_default();
    if state.running != Some(true) || state.restarting == Some(true) || state.paused == Some(true) {
        let code = state.exit_code.unwrap_or_default();
        let word = state.status.map(|status| status.to_string()).unwrap_or_default();
        bail!("{word} (exit code {code}), {}", restarts(found.restart_count.unwrap_or_default()));
    }
    let mut detail = "up".to_owned();
    let started = state.started_at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
    if let Some(up) = started.map(ago) {
        let _ = write!(detail, " {}", span(up));
    }
    if let Some(bytes) = state.pid.and_then(|pid| resident(u32::try_from(pid).ok()?)) {
        let _ = write!(detail, ", {}", size(bytes));
    }
    let _ = write!(detail, ", {}", restarts(found.restart_count.unwrap_or_default()));
    Ok(detail)
}

async fn nginx_syntax(host: &Host) -> Result<String> {
    let output = test_nginx(host).await?;
    if output.status.success() {
        return Ok("valid".to_owned());
    }
    // The last line only says that it failed.
    let told = String::from_utf8_lossy(&output.stderr);
    match told.lines().find_map(|line| line.split_once("[emerg] ")) {
        Some((_, why)) => bail!("{}", why.trim()),
        None => bail!("{}", last_lines(&output, 1)),
    }
}

/// Over one connection, as a client on this host would ask.
async fn through_nginx(certificate: Option<String>) -> Vec<Check> {
    let Some(certificate) = certificate else {
        return vec![Check::of("https://127.0.0.1/", Err(anyhow!("there is no certificate")))];
    };
    let ask = async {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut connection = Connection::secure(ip, "127.0.0.1", Some(&certificate)).await?;
        let mut checks = Vec::new();
        for path in PATHS {
            let start = Instant::now();
            let mut answer = connection.get(path).await?;
            if answer.status == 503 {
                // The API may find out with this very request that Redis was restarted.
                sleep(AGAIN).await;
                answer = connection.get(path).await?;
            }
            let told = format!("{} in {} ms", answer.status, start.elapsed().as_millis());
            let ok = answer.status == 200;
            checks.push(Check::of(named(path), if ok { Ok(told) } else { Err(anyhow!(told)) }));
        }
        anyhow::Ok(checks)
    };
    let asked = timeout(PATIENCE, ask).await.map_err(|_| anyhow!("no answer within 5 s"));
    match asked.and_then(|asked| asked) {
        Ok(checks) => checks,
        Err(error) => vec![Check::of("https://127.0.0.1/", Err(error))],
    }
}

fn named(path: &str) -> String {
    format!("https://127.0.0.1{path}")
}

fn certificate_life(path: &Path) -> Result<String> {
    let until = expiry(path)?;
    let Ok(left) = until.duration_since(SystemTime::now()) else { bail!("it has expired") };
    let days = left.as_secs() / 86400;
    let date = jiff::Timestamp::try_from(until)?.strftime("%Y-%m-%d");
    let told = format!("{days} days left, until {date}");
    if days >= DAYS_LEFT { Ok(told) } else { bail!("only {told}") }
}

/// Whether ufw's rules are in the kernel, and which ports they open.
async fn firewall(host: &Host) -> Result<String> {
    let rules = host.run("iptables", &["-S"]).await?;
    let has = |rule: &str| rules.lines().any(|line| line == rule);
    if !has("-A INPUT -j ufw-before-input") || has("-P INPUT ACCEPT") {
        bail!("ufw is not active");
    }
    if !is_firewall_loaded(host).await? {
        bail!("active, but some of its rules are not in the kernel");
    }
    let open = rules.lines().filter_map(|line| {
        let rule = line.strip_prefix("-A ufw-user-input -p ")?.strip_suffix(" -j ACCEPT")?;
        let protocol = rule.split(' ').next()?;
        Some(format!("{}/{protocol}", rule.rsplit_once("--dport ")?.1))
    });
    Ok(format!("active, open: {}", open.collect::<Vec<_>>().join(" ")))
}

fn disk(host: &Host) -> Result<String> {
    let found = rustix::fs::statvfs(host.path(Path::new("/var")))?;
    let (all, free) = (found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize);
    let used = 100 - (free * 100).checked_div(all).unwrap_or(100);
    let told = format!("{used} % used, {} free", size(free));
    if found.f_files > 0 && found.f_favail == 0 {
        bail!("{told}, but no file can be made: it has no inodes left");
    }
    if free >= FREE_BYTES { Ok(told) } else { bail!("{told}") }
}

fn last_run(host: &Host) -> Result<String> {
    let mut runs = journal::runs(host, Lock::is_held(host))?;
    let Some(run) = runs.pop() else { bail!("there was none") };
    let at = run.ended.as_ref().unwrap_or(&run.began).parse::<jiff::Timestamp>();
    let at = at.with_context(|| format!("the time of run `{}`", run.id))?;
    let word = match run.outcome {
        RunOutcome::Running => return Ok(format!("`{}` is under way", run.verb)),
        RunOutcome::Kept => "kept",
        RunOutcome::Undone => "undone",
        RunOutcome::Failed => "failed",
        RunOutcome::Interrupted => "interrupted",
    };
    let told = format!("{word}, `{}` {} ago by {}", run.verb, span(ago(at)), run.operator);
    match run.outcome {
        RunOutcome::Kept | RunOutcome::Undone => Ok(told),
        _ => Err(anyhow!(told)),
    }
}

fn ago(at: jiff::Timestamp) -> Duration {
    jiff::Timestamp::now().duration_since(at).try_into().unwrap_or_default()
}

/// Since boot.
fn monotonic() -> Option<Duration> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Some(Duration::new(now.tv_sec.try_into().ok()?, now.tv_nsec.try_into().ok()?))
}

/// What a process has in memory.
fn resident(pid: u32) -> Option<u64> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = (pid > 0).then(|| std::fs::read_to_string(path).ok())??;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn restarts(number: i64) -> String {
    match number {
        0 => "no restarts".to_owned(),
        1 => "1 restart".to_owned(),
        number => format!("{number} restarts"),
    }
}

/// Such as `3 d 4 h`: the two largest units.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_short() {
        let spans = [59, 60, 3599, 3600, 86399, 86400, 90000].map(Duration::from_secs).map(span);
        assert_eq!(
            spans,
            ["59 s", "1 min", "59 min", "1 h 0 min", "23 h 59 min", "1 d 0 h", "1 d 1 h"]
        );
        assert_eq!([512_000, 12_345_678, 5_000_000_000].map(size), ["512 kB", "12.3 MB", "5.0 GB"]);
    }

    #[test]
    fn a_unit_is_told_by_its_properties() {
        let told = |block: &str| unit(block).map_err(|error| error.to_string());
        let block = "ActiveState=active\nSubState=running\nNRestarts=2\nMemoryCurrent=2000000\n";
        assert_eq!(told(block), Ok("up, 2.0 MB, 2 restarts".to_owned()));
        assert_eq!(told("ActiveState=failed\nSubState=failed"), Err("failed".to_owned()));
        assert_eq!(told("ActiveState=inactive\nSubState=dead"), Err("inactive".to_owned()));
        let starting = "ActiveState=activating\nSubState=auto-restart";
        assert_eq!(told(starting), Err("activating (auto-restart)".to_owned()));
    }
}
