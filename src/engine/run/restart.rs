//! Restarts what serves, so that no request is lost where that can be had.

use anyhow::{Context, Result, anyhow};
use bollard::query_parameters::RestartContainerOptionsBuilder;

use crate::engine::driver::{Case, Drivers};
use crate::engine::inspect::logs::tail;
use crate::resource::{Advise, Host, containers_named, last_lines};
use crate::spec::{PartSpec, Restart, RestartMethod};

/// How many lines of a log a failure has.
const LOG_LINES: usize = 8;

/// Restarts something of a part and waits until it says that it is ready. A failure has the last lines of
/// its log.
pub async fn restart(
    host: &Host,
    part: &PartSpec,
    restart: &Restart,
    drivers: Drivers,
) -> Result<()> {
    let restarted = match &restart.method {
        RestartMethod::Unit(unit) => restart_unit(host, unit).await,
        RestartMethod::Socket { socket, service } => restart_socket(host, socket, service).await,
        RestartMethod::Container { name, stop_s } => restart_container(host, name, *stop_s).await,
        RestartMethod::Driver => match drivers.of(part) {
            Some(driver) => driver.restart(&Case { host, part }).await,
            None => Err(anyhow!("this build of hwctl has no driver for the part `{}`", part.name)),
        },
    };
    let Err(error) = restarted else { return Ok(()) };
    let lines = tail(host, &restart.log, LOG_LINES).await.unwrap_or_default();
    let error = match lines.is_empty() {
        true => error,
        false => error.context(lines.join("\n")),
    };
    Err(error.context(format!("`{}` did not restart", restart.label)))
}

/// Restarts a unit of systemd and waits for its job.
pub async fn restart_unit(host: &Host, unit: &str) -> Result<()> {
    let output = host.output("systemctl", &["restart", unit]).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(anyhow!("`systemctl restart {unit}`: {}", last_lines(&output, 2))).hint(format!(
        "`hwctl doctor` looks for the cause; `journalctl -u {unit}` on the host has the rest"
    ))
}

/// A socket does not start while its service runs.
async fn restart_socket(host: &Host, socket: &str, service: &str) -> Result<()> {
    host.run("systemctl", &["stop", service]).await?;
    restart_unit(host, socket).await?;
    restart_unit(host, service).await
}

async fn restart_container(host: &Host, name: &str, stop_s: u16) -> Result<()> {
    let docker = host.docker().await?;
    for name in containers_named(name, host).await? {
        let options = RestartContainerOptionsBuilder::new().t(stop_s.into()).build();
        let restarted = docker.restart_container(&name, Some(options)).await;
        restarted.with_context(|| format!("restart the container `{name}`"))?;
    }
    Ok(())
}
