//! Restarts what serves, so that no request is lost where that can be had.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::resource::{Advise, Host, last_lines};

const NGINX_PID: &str = "/run/nginx.pid";
/// How long nginx's new master may take to show up.
const NEW_MASTER: Duration = Duration::from_secs(10);
/// How long nginx's old workers may take to finish what they have begun.
const OLD_MASTER: Duration = Duration::from_secs(30);
/// How long Redis has to write its data down, in seconds, before it is killed.
const REDIS_STOP: i32 = 10;

/// A part of the stack that can be restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// The API: its requests wait in the socket meanwhile.
    Api,
    /// nginx: a new master takes over the listening sockets, the old one finishes its requests.
    Nginx,
    /// The container of this name.
    Container(String),
    /// The API's socket, and the API with it: requests of that moment are refused.
    ApiSocket,
}

impl Service {
    /// What people know it by.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Api => "flask-app",
            Self::ApiSocket => "flask-app.socket",
            Self::Nginx => "nginx",
            Self::Container(name) => name,
        }
    }

    /// Restarts it and waits until it says that it is ready. A failure holds the last lines of its
    /// log.
    pub async fn restart(&self, host: &Host) -> Result<()> {
        let restarted = match self {
            Self::Api => systemctl_restart(host, "flask-app.service").await,
            Self::ApiSocket => restart_socket(host).await,
            Self::Nginx => restart_nginx(host).await,
            Self::Container(name) => restart_container(host, name).await,
        };
        let Err(error) = restarted else { return Ok(()) };
        let words = self.last_words(host, 8).await.unwrap_or_default();
        Err(error.context(words.join("\n")).context(format!("`{}` does not restart", self.name())))
    }

    /// The last lines of its log, oldest first.
    pub async fn last_words(&self, host: &Host, lines: usize) -> Result<Vec<String>> {
        let count = lines.to_string();
        let unit = match self {
            Self::Api | Self::ApiSocket => "flask-app.service",
            Self::Nginx => "nginx.service",
            Self::Container(name) => return container_log(host, name, &count).await,
        };
        let args = ["-u", unit, "-n", &count, "-o", "cat", "--no-pager"];
        let output = host.output("journalctl", &args).await?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

async fn systemctl_restart(host: &Host, unit: &str) -> Result<()> {
    let output = host.output("systemctl", &["restart", unit]).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(anyhow!("`systemctl restart {unit}`: {}", last_lines(&output, 2))).hint(format!(
        "`hwctl doctor` looks for the cause; `journalctl -u {unit}` on the host has the rest"
    ))
}

/// A socket does not start while its service runs.
async fn restart_socket(host: &Host) -> Result<()> {
    host.run("systemctl", &["stop", "flask-app.service"]).await?;
    systemctl_restart(host, "flask-app.socket").await?;
    systemctl_restart(host, "flask-app.service").await
}

async fn restart_container(host: &Host, name: &str) -> Result<()> {
    let docker = host.docker().await?;
    let options =
        bollard::query_parameters::RestartContainerOptionsBuilder::new().t(REDIS_STOP).build();
    let restarted = docker.restart_container(name, Some(options)).await;
    restarted.with_context(|| format!("restart the container `{name}`"))
}

/// nginx's own way to change its program while serving: <https://nginx.org/en/docs/control.html#upgrade>
async fn restart_nginx(host: &Host) -> Result<()> {
    let syntax = host.output("nginx", &["-t", "-q"]).await?;
    if !syntax.status.success() {
        bail!("nginx does not accept its configuration: {}", last_lines(&syntax, 2));
    }
    let Some(old) = nginx_master(host) else {
        return systemctl_restart(host, "nginx.service").await;
    };
    kill_process(old, Signal::USR2).context("tell nginx to start its new master")?;
    let deadline = Instant::now() + NEW_MASTER;
    let new = loop {
        // The new master writes its pid once it listens; until then the file is the old one's.
        match nginx_master(host).filter(|new| *new != old) {
            Some(new) => break new,
            _ if Instant::now() > deadline => {
                bail!("nginx's new master does not start; the old one goes on serving")
            }
            _ => sleep(Duration::from_millis(20)).await,
        }
    };
    kill_process(old, Signal::QUIT).context("tell nginx's old master to finish")?;
    let deadline = Instant::now() + OLD_MASTER;
    while Path::new(&format!("/proc/{}", old.as_raw_nonzero())).exists() {
        if Instant::now() > deadline {
            // Whoever holds a connection for so long is cut off, as by a restart.
            let _ = kill_process(old, Signal::TERM);
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    // Both masters are gone when the new one could not live.
    nginx_master(host).filter(|now| *now == new).map(|_| ()).context("nginx's new master is gone")
}

fn nginx_master(host: &Host) -> Option<Pid> {
    let pid = std::fs::read_to_string(host.path(Path::new(NGINX_PID))).ok()?;
    let pid: i32 = pid.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "nginx").then(|| Pid::from_raw(pid))?
}

async fn container_log(host: &Host, name: &str, lines: &str) -> Result<Vec<String>> {
    use futures_util::TryStreamExt as _;

    let docker = host.docker().await?;
    let options = bollard::query_parameters::LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .tail(lines)
        .build();
    let chunks: Vec<_> = docker
        .logs(name, Some(options))
        .try_collect()
        .await
        .with_context(|| format!("read the log of the container `{name}`"))?;
    let text: String = chunks.iter().map(ToString::to_string).collect();
    Ok(text.lines().map(str::to_owned).collect())
}
