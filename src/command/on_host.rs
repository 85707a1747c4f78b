//! `check-flask` and `restart-flask`: the commands on the host itself, links to this binary.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::client::{Expected, Pins, probe};
use crate::command::fleet;
use crate::command::run::expected::asked;
use crate::engine::{self, Status};
use crate::event::Check;
use crate::failure::{Exit, Failure};
use crate::part::{self, Kinds};
use crate::report::{HostHealth, document, health_lines, print};
use crate::resource::Host;
use crate::spec::{PartSpec, restart_of};

/// How long the API may take to answer after a restart.
const PATIENCE: Duration = Duration::from_secs(15);

/// A command that this binary is known by on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `check-flask`: shows the health of the stack; exit 0 healthy, 1 not.
    Check,
    /// `restart-flask`: restarts the API and waits until it is healthy.
    Restart,
}

impl Command {
    fn name(self) -> &'static str {
        match self {
            Self::Check => "check-flask",
            Self::Restart => "restart-flask",
        }
    }
}

/// The command that this process was called by the name of.
#[must_use]
pub fn called_by_name() -> Option<Command> {
    let called = std::env::args_os().next()?;
    let name = Path::new(&called).file_name()?.to_str()?.to_owned();
    [Command::Check, Command::Restart].into_iter().find(|command| command.name() == name)
}

/// Runs it.
pub fn run(kinds: Kinds, command: Command) -> Result<Exit> {
    if !rustix::process::geteuid().is_root() {
        let path = format!("/usr/local/bin/{}", command.name());
        let args = std::env::args_os().skip(1);
        return Err(std::process::Command::new("sudo").arg(path).args(args).exec())
            .context("cannot become root through sudo");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let host = this_host();
    runtime.block_on(async {
        match command {
            Command::Check => {
                let json = std::env::args().any(|argument| argument == "--json");
                Ok(check(&host, json, kinds).await)
            }
            Command::Restart => restart(&host, kinds).await,
        }
    })
}

/// The host that this process runs on.
pub(super) fn this_host() -> Host {
    let blobs = Box::new(|_: &_| anyhow::bail!("no blob is needed here"));
    Host::new("/", blobs, Box::new(|_| ()))
}

/// Does work of the host on this thread.
fn finish(work: impl Future<Output = Result<()>>) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work).map(|()| Exit::Done)
}

/// Runs `hwctl balancer-state`: HAProxy's unit calls it before a reload.
pub fn keep_balancer_state() -> Result<Exit> {
    finish(part::keep_state(&this_host()))
}

/// Runs `hwctl balancer-answers`: keepalived calls it, and gives the shared address to another balancer if it fails.
pub fn require_balancer_answer() -> Result<Exit> {
    finish(part::require_answer(&this_host()))
}

/// Runs `hwctl revert`: the timer's part in not locking the operator out.
pub fn revert(run: &str) -> Result<Exit> {
    finish(engine::revert(&this_host(), run))
}

/// Runs `hwctl confirm`: a new login's part in a change that could lock the operator out.
pub fn confirm(run: &str) -> Result<Exit> {
    finish(engine::confirm(&this_host(), run, tokio::io::stdout()))
}

async fn as_client(parts: &[PartSpec], host: &Host) -> Vec<Check> {
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    let asked = asked(&localhost.to_string(), parts).from_the_host_itself();
    let pins = Some(Pins::read(&asked.endpoints, host));
    let expected = Expected { pins, ..asked };
    let seen = probe(&localhost.into(), &expected).await;
    seen.into_iter().map(|seen| seen.check).collect()
}

/// The same as `hwctl status`, save for the drift: what the host should be is not known here.
async fn check(host: &Host, json: bool, kinds: Kinds) -> Exit {
    let Status { checks, .. } = engine::status(host, &[], kinds.drivers()).await;
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let found = [HostHealth::new(name, checks)];
    if json {
        print(&document(&found));
    } else {
        for line in health_lines(fleet::style(), &found) {
            print(&line);
        }
    }
    if found[0].healthy { Exit::Done } else { Exit::Failed }
}

async fn restart(host: &Host, kinds: Kinds) -> Result<Exit> {
    let start = Instant::now();
    let parts = engine::kept_parts(host)?;
    let (part, restart) = restart_of(&parts, "api").context("this host has no API")?;
    engine::restart(host, part, restart, kinds.drivers()).await?;
    let mut last = as_client(&parts, host).await;
    while !last.iter().all(|check| check.ok) && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        last = as_client(&parts, host).await;
    }
    let wrong: Vec<_> = last.iter().filter(|check| !check.ok).collect();
    if wrong.is_empty() {
        print(&format!(
            "flask-app is restarted and healthy  {:.1} s",
            start.elapsed().as_secs_f64()
        ));
        return Ok(Exit::Done);
    }
    let mut failure = Failure::new(Exit::Failed, "flask-app is not healthy after the restart")
        .hint("`journalctl -u flask-app` has the rest");
    failure.why = wrong.iter().map(|check| format!("{}: {}", check.name, check.detail)).collect();
    failure.why.extend(engine::tail(host, &restart.log, 8).await?);
    Err(failure.into())
}
