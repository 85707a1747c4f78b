//! What the host finds out about itself when a timer looks at it and no operator is there: the causes of `doctor`, and
//! what only shows from one look to the next.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use bollard::query_parameters::InspectContainerOptions;

use crate::engine::driver::{Alarm, Case, Drivers};
use crate::engine::inspect::doctor::{self, Diagnosed};
use crate::engine::record::lock::Lock;
use crate::engine::record::specs;
use crate::event::Finding;
use crate::failure::Failure;
use crate::resource::{Host, show_units, unit_field as field};
use crate::spec::{PartSpec, ProbeKind};

/// Where the units of hwctl and of the host's administrators are.
const OWN_UNITS: &str = "/etc/systemd/system";
const JOB: [&str; 5] = ["LoadState", "ActiveState", "Result", "ExecMainStatus", "NRestarts"];

/// One look of a host at itself.
#[derive(Clone, Debug)]
pub struct SelfExamination {
    /// What is wrong, the cause first.
    pub findings: Result<Vec<Diagnosed>, Failure>,
    /// How often units and containers were started again since they were started, by their names.
    pub restarts: BTreeMap<String, u64>,
    /// The space on the file systems that have to be written to.
    pub spaces: Vec<Space>,
}

/// The space on a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// The mount point.
    pub mount: String,
    /// Bytes that can be written.
    pub free_bytes: u64,
    /// Files that can be made. None where their number has no limit.
    pub free_inodes: Option<u64>,
}

/// Whether a run holds this host, so that what is seen now may be gone in a moment.
#[must_use]
pub fn is_held(host: &Host) -> bool {
    Lock::is_held(host)
}

/// Looks for what is wrong, by the specs of the last run. Unlike `status` it asks for no page, so it starts nothing that
/// a socket of systemd would start.
pub async fn examine_self(host: &Host, drivers: Drivers) -> SelfExamination {
    // A process may look several times.
    host.forget();
    // Specs that cannot be read are one of the checks of `status` that fail.
    let parts = specs::read(host).ok().flatten().unwrap_or_default();
    let mut findings = doctor::examine_alone(&parts, host, drivers).await;
    if let Ok(found) = &mut findings {
        found.extend(failed_jobs(&parts, host).await);
    }
    let restarts = restarts(&parts, host).await;
    SelfExamination { findings, restarts, spaces: spaces(&parts, host) }
}

/// What the parts of the last run report by rules of their own. A part that does not answer reports nothing: that is one of
/// the checks of `status`.
pub async fn alarms(host: &Host, drivers: Drivers) -> Vec<Alarm> {
    let mut found = Vec::new();
    for part in &specs::read(host).ok().flatten().unwrap_or_default() {
        if let Some(driver) = drivers.of(part) {
            found.extend(driver.alarms(&Case { host, part }).await.unwrap_or_default());
        }
    }
    found
}

/// The jobs of timers below [`OWN_UNITS`] whose last run failed, save for those that a check is about.
async fn failed_jobs(parts: &[PartSpec], host: &Host) -> Vec<Diagnosed> {
    let is_checked = |timer: &str| {
        let mut probes = parts.iter().flat_map(|part| &part.probes);
        probes.any(|probe| probe.kind == ProbeKind::Unit && probe.name == timer)
    };
    let entries = fs::read_dir(host.path(Path::new(OWN_UNITS))).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let names = files.filter_map(|entry| entry.file_name().into_string().ok());
    let is_timer = |name: &String| Path::new(name).extension().is_some_and(|it| it == "timer");
    let timers = names.filter(|name| is_timer(name) && !is_checked(name));
    let mut services: Vec<_> = timers.map(|timer| service_of(&timer, host)).collect();
    services.sort();
    if services.is_empty() {
        return Vec::new();
    }
    // systemd that does not answer is found by the checks.
    let told = show_units(host, &services, &JOB).await.unwrap_or_default();
    let jobs = services.iter().zip(told.split("\n\n"));
    jobs.filter_map(|(service, block)| failed_job(service, block)).collect()
}

/// The unit that a timer starts.
fn service_of(timer: &str, host: &Host) -> String {
    let text = fs::read_to_string(host.path(&Path::new(OWN_UNITS).join(timer)));
    let text = text.unwrap_or_default();
    let named = text.lines().find_map(|line| line.trim().strip_prefix("Unit="));
    let stem = timer.strip_suffix(".timer").unwrap_or(timer);
    named.map_or_else(|| format!("{stem}.service"), |unit| unit.trim().to_owned())
}

fn failed_job(service: &str, block: &str) -> Option<Diagnosed> {
    let result = field(block, "Result");
    let has_failed = !matches!(result, "" | "success") && field(block, "LoadState") == "loaded";
    if !has_failed || field(block, "ActiveState") == "activating" {
        return None;
    }
    let why = match result {
        "exit-code" => format!("exit status {}", field(block, "ExecMainStatus")),
        result => result.to_owned(),
    };
    let finding = Finding::new("job-failed", format!("the last run of `{service}` failed: {why}"))
        .next(format!(
            "`journalctl -u {service}` on the host says why; `systemctl start {service}` runs it again"
        ));
    Some(Diagnosed { about: Some(service.to_owned()), finding })
}

/// How often the units and containers that are looked at were started again.
async fn restarts(parts: &[PartSpec], host: &Host) -> BTreeMap<String, u64> {
    let probes = || parts.iter().flat_map(|part| &part.probes);
    let units = probes().filter(|it| it.kind == ProbeKind::Unit && it.name.ends_with(".service"));
    let units: Vec<_> = units.map(|probe| probe.name.as_str()).collect();
    let mut found = BTreeMap::new();
    if !units.is_empty() {
        let told = show_units(host, &units, &["NRestarts"]).await.unwrap_or_default();
        let counts = told.split("\n\n").map(|block| field(block, "NRestarts").parse().ok());
        let known = units.iter().zip(counts);
        found.extend(known.filter_map(|(unit, count)| Some(((*unit).to_owned(), count?))));
    }
    for probe in probes() {
        let ProbeKind::Container(name) = &probe.kind else { continue };
        let Ok(docker) = host.docker().await else { break };
        let state = docker.inspect_container(name, None::<InspectContainerOptions>).await;
        let count = state.ok().and_then(|state| u64::try_from(state.restart_count?).ok());
        found.extend(count.map(|count| (name.clone(), count)));
    }
    found
}

fn spaces(parts: &[PartSpec], host: &Host) -> Vec<Space> {
    let mounts = doctor::mounts(&[], parts, host);
    let space = |(mount, _): (String, String)| {
        let found = rustix::fs::statvfs(&mount).ok().filter(|found| found.f_blocks > 0)?;
        let free_inodes = (found.f_files > 0).then_some(found.f_favail);
        Some(Space { mount, free_bytes: found.f_bavail * found.f_frsize, free_inodes })
    };
    mounts.into_iter().filter_map(space).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_counts_as_failed_once_its_run_is_over() {
        let failed = |block: &str| failed_job("backup.service", block).map(|job| job.finding.what);
        let block = |state: &str, result: &str| {
            format!("LoadState=loaded\nActiveState={state}\nResult={result}\nExecMainStatus=3\n")
        };

        let told = failed(&block("failed", "exit-code")).unwrap();
        assert_eq!(told, "the last run of `backup.service` failed: exit status 3");
        assert!(failed(&block("failed", "timeout")).unwrap().ends_with("failed: timeout"));
        assert_eq!(failed(&block("inactive", "success")), None);
        assert_eq!(failed(&block("activating", "exit-code")), None, "it runs again");
        assert_eq!(failed("LoadState=not-found\nActiveState=inactive\nResult=exit-code\n"), None);
        assert_eq!(failed(""), None);
    }

    #[test]
    fn a_timer_starts_the_unit_that_it_names() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let folder = root.path().join("etc/systemd/system");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.timer"), "[Timer]\nOnCalendar=daily\n").unwrap();
        fs::write(folder.join("b.timer"), "[Timer]\nUnit=copy.service\n").unwrap();

        assert_eq!(service_of("a.timer", &host), "a.service");
        assert_eq!(service_of("b.timer", &host), "copy.service");
    }
}
