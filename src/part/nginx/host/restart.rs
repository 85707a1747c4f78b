//! A restart of nginx while it serves.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::engine::restart_unit;
use crate::resource::{Host, last_lines};

const NGINX_PID: &str = "/run/nginx.pid";
/// How long nginx's new master may take to show up.
const NEW_MASTER: Duration = Duration::from_secs(10);
/// How long nginx's old workers may take to finish what they have begun.
const OLD_MASTER: Duration = Duration::from_secs(30);

/// nginx's own way to change its program while serving: <https://nginx.org/en/docs/control.html#upgrade>
pub(super) async fn restart(host: &Host) -> Result<()> {
    let syntax = host.output("nginx", &["-t", "-q"]).await?;
    if !syntax.status.success() {
        bail!("nginx does not accept its configuration: {}", last_lines(&syntax, 2));
    }
    let Some(old) = nginx_master(host) else {
        return restart_unit(host, "nginx.service").await;
    };
    kill_process(old, Signal::USR2).context("tell nginx to start its new master")?;
    let deadline = Instant::now() + NEW_MASTER;
    let new = loop {
        // The new master writes its pid once it listens; until then the file is the old one's.
        match nginx_master(host).filter(|new| *new != old) {
            Some(new) => break new,
            _ if Instant::now() > deadline => {
                bail!("nginx did not start a new master process. The old one is still serving")
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
    nginx_master(host)
        .filter(|now| *now == new)
        .map(|_| ())
        .context("nginx's new master process has exited")
}

fn nginx_master(host: &Host) -> Option<Pid> {
    let pid = std::fs::read_to_string(host.path(Path::new(NGINX_PID))).ok()?;
    let pid: i32 = pid.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "nginx").then(|| Pid::from_raw(pid))?
}
