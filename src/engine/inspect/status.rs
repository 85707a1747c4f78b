//! The health of this host, read in one go: what the specs of its parts have to be looked at, the disk and
//! the last run.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::InspectContainerOptions;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::client::{HttpsConnection, Pins, Way};
use crate::engine::driver::{Case, Drivers};
use crate::engine::inspect::drift;
use crate::engine::protocol::Status;
use crate::engine::record::journal;
use crate::engine::record::lock::Lock;
use crate::engine::record::maintenance;
use crate::engine::record::specs;
use crate::event::{Check, RunOutcome};
use crate::resource::{
    Host, expiry, require_docker, restarts_of_container, restarts_of_unit, show_units,
};
use crate::spec::{Endpoint, Group, PartSpec, Pin, Probe, ProbeKind};

const PROPERTIES: [&str; 6] = [
    "ActiveState",
    "SubState",
    "NRestarts",
    "MemoryCurrent",
    "ActiveEnterTimestampMonotonic",
    "MainPID",
];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an application that answers 503 has until it is asked again.
const AGAIN: Duration = Duration::from_millis(300);
/// With less space than this the next run, log or write of Redis may fail.
const FREE_BYTES: u64 = 1_000_000_000;

/// Reads how the host is, by the specs of its last run. `declared` takes their place where no run has kept
/// any.
pub async fn status(host: &Host, declared: &[PartSpec], drivers: Drivers) -> Status {
    // A session may ask again and again.
    host.forget();
    let parts = match specs::read(host) {
        Ok(None) if declared.is_empty() => {
            let error = anyhow!("hwctl has not set up this host yet: run `hwctl provision`");
            let checks = vec![Check::of("parts", Err(error))];
            return Status { checks, pins: Pins::default() };
        }
        Ok(kept) => kept.unwrap_or_else(|| declared.to_vec()),
        Err(error) => {
            let checks = vec![Check::of("parts", Err(error))];
            return Status { checks, pins: Pins::default() };
        }
    };
    let endpoints: Vec<_> = parts.iter().flat_map(|part| part.endpoints.clone()).collect();
    let pins = Pins::read(&endpoints, host);
    let mut checks = run_probes(host, &parts, (&endpoints, &pins), drivers).await;
    let closed = maintenance::under_way(host);
    if !closed.is_empty() {
        checks.push(Check::of("maintenance", Ok(closed.join(", "))));
    }
    checks.push(Check::of("disk", disk(host)));
    checks.push(Check::of("last run", last_run(host)));
    checks.extend(drift::manual_changes(host).await.map(|seen| Check::of("manual changes", seen)));
    Status { checks, pins }
}

/// Looks at all probes at once. Returns their checks, in groups.
async fn run_probes(
    host: &Host,
    parts: &[PartSpec],
    (endpoints, pins): (&[Endpoint], &Pins),
    drivers: Drivers,
) -> Vec<Check> {
    let probes: Vec<_> =
        parts.iter().flat_map(|part| part.probes.iter().map(move |probe| (part, probe))).collect();
    let one = async |(part, probe): &(&PartSpec, &Probe)| match &probe.kind {
        ProbeKind::Container(name) => Some(container(host, name).await),
        ProbeKind::Certificate { path, min_days } => {
            Some(certificate_life(&host.path(path), (*min_days).into()))
        }
        ProbeKind::Driver => Some(match drivers.of(part) {
            Some(driver) => driver.inspect(&probe.name, &Case { host, part }).await,
            None => Err(anyhow!("this build of hwctl has no driver for the part `{}`", part.name)),
        }),
        ProbeKind::Unit | ProbeKind::Page { .. } => None,
    };
    let (units, pages, others) = tokio::join!(
        units(host, &probes),
        join_all(endpoints.iter().map(|endpoint| pages(endpoint, pins, &probes))),
        join_all(probes.iter().map(one)),
    );
    let mut found: Vec<(Group, Check)> = units;
    found.extend(pages.into_iter().flatten());
    let others = probes
        .iter()
        .zip(others)
        .filter_map(|((_, probe), seen)| Some((probe.group, Check::of(probe.name.clone(), seen?))));
    found.extend(others);
    let place = |(group, check): &(Group, Check)| {
        let place = probes.iter().position(|(_, probe)| probe.name == check.name);
        (*group, place)
    };
    found.sort_by_key(place);
    found.into_iter().map(|(_, check)| check).collect()
}

/// The units, asked for together.
async fn units(host: &Host, probes: &[(&PartSpec, &Probe)]) -> Vec<(Group, Check)> {
    let units: Vec<_> = probes.iter().filter(|(_, probe)| probe.kind == ProbeKind::Unit).collect();
    let names: Vec<_> = units.iter().map(|(_, probe)| probe.name.as_str()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    match show_units(host, &names, &PROPERTIES).await {
        Ok(told) => {
            let blocks = units.iter().zip(told.split("\n\n"));
            let check =
                async |name: &str, block| Check::of(name, staying_unit(host, name, block).await);
            let checks = blocks
                .map(async |((_, probe), block)| (probe.group, check(&probe.name, block).await));
            join_all(checks).await
        }
        Err(error) => vec![(Group::Service, Check::of("systemd", Err(error)))],
    }
}

fn field<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// What `systemctl show` says of one unit, and whether it stays up.
async fn staying_unit(host: &Host, name: &str, block: &str) -> Result<String> {
    let told = unit(block)?;
    let counted = field(block, "NRestarts").and_then(|number| number.parse().ok());
    let recent = restarts_of_unit(host, name, counted.unwrap_or_default()).await;
    if recent.are_many() {
        bail!("it does not stay up: {}", recent.text());
    }
    Ok(told)
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
    // Docker takes the beginning of an id for a name as well.
    if found.name.as_deref().is_some_and(|found| found.trim_start_matches('/') != name) {
        bail!("there is none");
    }
    let state = found.state.unwrap_or_default();
    if state.running != Some(true) || state.restarting == Some(true) || state.paused == Some(true) {
        let code = state.exit_code.unwrap_or_default();
        let word = state.status.map(|status| status.to_string()).unwrap_or_default();
        bail!("{word} (exit code {code}), {}", restarts(found.restart_count.unwrap_or_default()));
    }
    let recent = restarts_of_container(host, name, found.restart_count.unwrap_or_default()).await;
    if recent.are_many() {
        bail!("it does not stay up: {}", recent.text());
    }
    let health = state.health.as_ref().and_then(|health| health.status);
    if health == Some(HealthStatusEnum::UNHEALTHY) {
        bail!("unhealthy: its own check fails");
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

/// The pages of an endpoint, over one connection, as a client on this host would ask.
async fn pages(
    endpoint: &Endpoint,
    pins: &Pins,
    probes: &[(&PartSpec, &Probe)],
) -> Vec<(Group, Check)> {
    let pages: Vec<_> = probes
        .iter()
        .filter_map(|(_, probe)| match &probe.kind {
            ProbeKind::Page { endpoint: name, path } if *name == endpoint.name => {
                Some((*probe, path))
            }
            _ => None,
        })
        .collect();
    let Some((first, _)) = pages.first() else { return Vec::new() };
    let failed = |error| vec![(first.group, Check::of(first.name.clone(), Err(error)))];
    let ask = async {
        let mut connection = connect(endpoint, pins).await?;
        let mut checks = Vec::new();
        for (probe, path) in &pages {
            let start = Instant::now();
            let mut answer = connection.get(path).await?;
            if answer.status == 503 {
                // An application may find out with this very request that its database was restarted.
                sleep(AGAIN).await;
                answer = connection.get(path).await?;
            }
            let told = format!("{} in {} ms", answer.status, start.elapsed().as_millis());
            let seen = if answer.status == 200 { Ok(told) } else { Err(anyhow!(told)) };
            checks.push((probe.group, Check::of(probe.name.clone(), seen)));
        }
        anyhow::Ok(checks)
    };
    let asked = timeout(PATIENCE, ask).await.map_err(|_| anyhow!("no answer within 5 s"));
    asked.and_then(|asked| asked).unwrap_or_else(failed)
}

async fn connect(endpoint: &Endpoint, pins: &Pins) -> Result<HttpsConnection> {
    let way = Way::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let Endpoint { name, port, pin } = endpoint;
    match pin {
        Pin::File(_) => {
            let pin = pins.of(name).context("there is no certificate")?;
            HttpsConnection::secure(&way, *port, "127.0.0.1", Some(pin)).await
        }
        Pin::Plain => HttpsConnection::plain(&way, *port, "127.0.0.1").await,
        Pin::Behind => HttpsConnection::secure(&way, *port, "127.0.0.1", None).await,
    }
}

fn certificate_life(path: &Path, min_days: u64) -> Result<String> {
    let until = expiry(path)?;
    let Ok(left) = until.duration_since(SystemTime::now()) else { bail!("it has expired") };
    let days = left.as_secs() / 86400;
    let date = jiff::Timestamp::try_from(until)?.strftime("%Y-%m-%d");
    let told = format!("{days} days left, until {date}");
    if days >= min_days { Ok(told) } else { bail!("only {told}") }
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
