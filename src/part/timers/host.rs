//! Jobs on the host: whether the last run of each succeeded.

use anyhow::{Result, bail};

use crate::engine::{Case, Driver, Later};
use crate::resource::{Host, show_units, unit_field};

const PROPERTIES: [&str; 4] = ["Result", "ExecMainStatus", "ExecMainExitTimestamp", "ActiveState"];

/// The driver of timers.
#[derive(Debug)]
pub(crate) struct Timers;

/// The name of the check about a job.
pub(super) fn probe_of(name: &str) -> String {
    format!("last run of {name}")
}

impl Driver for Timers {
    fn name(&self) -> &'static str {
        "timers"
    }

    fn inspect<'a>(&'a self, probe: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(last_run(probe, case.host))
    }
}

async fn last_run(probe: &str, host: &Host) -> Result<String> {
    let Some(name) = probe.strip_prefix(&probe_of("")) else { bail!("it is no job") };
    let told = show_units(host, &[&format!("{name}.service")], &PROPERTIES).await?;
    let field = |name: &str| unit_field(&told, name);
    let ended = field("ExecMainExitTimestamp");
    match field("Result") {
        _ if field("ActiveState") == "activating" => Ok("it is running".to_owned()),
        _ if ended.is_empty() || ended == "n/a" => {
            Ok("it has not run since the host started".to_owned())
        }
        "success" => Ok(format!("succeeded, {ended}")),
        "exit-code" => bail!("it failed with exit status {}, {ended}", field("ExecMainStatus")),
        result => bail!("it failed ({result}), {ended}"),
    }
}
