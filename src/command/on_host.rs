//! `check-flask` and `restart-flask`: the commands on the host itself, links to this binary.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::engine::{self, Service};
use crate::failure::{Exit, Failure};
use crate::remote::{Check, Expected, Page, look};
use crate::resource::{Host, fingerprint};
use crate::stack::CERTIFICATE;

const UNITS: [&str; 4] =
    ["nginx.service", "flask-app.socket", "flask-app.service", "docker.service"];
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
pub fn run(command: Command) -> Result<Exit> {
    if !rustix::process::geteuid().is_root() {
        let path = format!("/usr/local/bin/{}", command.name());
        return Err(std::process::Command::new("sudo").arg(path).exec())
            .context("cannot become root through sudo");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let host = this_host();
    runtime.block_on(async {
        match command {
            Command::Check => Ok(shown(&checks(&host).await?)),
            Command::Restart => restart(&host).await,
        }
    })
}

/// The host that this process runs on.
fn this_host() -> Host {
    let blobs = Box::new(|_: &_| anyhow::bail!("no blob is needed here"));
    Host::new("/", blobs, Box::new(|_| ()))
}

/// Runs `hwctl revert`: the timer's part in not locking the operator out.
pub fn revert(run: &str) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(engine::revert(&this_host(), run)).map(|()| Exit::Done)
}

/// Units, then what the API answers through nginx (its health includes Redis).
async fn checks(host: &Host) -> Result<Vec<Check>> {
    let args = [&["show", "--property=ActiveState,SubState,NRestarts"], &UNITS[..]].concat();
    let told = host.run("systemctl", &args).await?;
    let mut checks = Vec::new();
    for (name, block) in UNITS.iter().zip(told.split("\n\n")) {
        let field = |name: &str| {
            let found = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or("unknown").to_owned()
        };
        let state = field("ActiveState");
        let restarts = match field("NRestarts").as_str() {
            // A socket counts none.
            "unknown" | "0" => String::new(),
            number => format!(", restarted {number} times"),
        };
        let detail = format!("{state} ({}){restarts}", field("SubState"));
        checks.push(Check { name: (*name).to_owned(), ok: state == "active", detail });
    }
    let syntax = host.output("nginx", &["-t", "-q"]).await?;
    let detail = match syntax.status.success() {
        true => "valid".to_owned(),
        false => crate::resource::last_lines(&syntax, 1),
    };
    checks.push(Check {
        name: "nginx configuration".to_owned(),
        ok: syntax.status.success(),
        detail,
    });
    checks.extend(through_nginx().await?);
    Ok(checks)
}

async fn through_nginx() -> Result<Vec<Check>> {
    let page = |path: &str| Page { path: path.to_owned(), statuses: vec![200], holds: None };
    let expected = Expected {
        address: "127.0.0.1".to_owned(),
        certificate: Some(fingerprint(Path::new(CERTIFICATE))?),
        pages: vec![page("/"), page("/flask/api/ping"), page("/flask/api/health")],
        closed: Vec::new(),
    };
    Ok(look(&expected).await)
}

fn shown(checks: &[Check]) -> Exit {
    let color = console::colors_enabled();
    for Check { name, ok, detail } in checks {
        let (sign, code) = if *ok { ("✓", "32") } else { ("✗", "31;1") };
        let sign = if color { format!("\x1b[{code}m{sign}\x1b[0m") } else { sign.to_owned() };
        println!("{sign} {name:<36} {detail}");
    }
    if checks.iter().all(|check| check.ok) { Exit::Done } else { Exit::Failed }
}

async fn restart(host: &Host) -> Result<Exit> {
    let start = Instant::now();
    Service::Api.restart(host).await?;
    let mut last = through_nginx().await?;
    while !last.iter().all(|check| check.ok) && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        last = through_nginx().await?;
    }
    let wrong: Vec<_> = last.iter().filter(|check| !check.ok).collect();
    if wrong.is_empty() {
        println!("flask-app is restarted and healthy  {:.1} s", start.elapsed().as_secs_f64());
        return Ok(Exit::Done);
    }
    let mut failure = Failure::new(Exit::Failed, "flask-app is not healthy after the restart")
        .hint("`journalctl -u flask-app` has the rest");
    failure.why = wrong.iter().map(|check| format!("{}: {}", check.name, check.detail)).collect();
    failure.why.extend(Service::Api.last_words(host, 8).await?);
    Err(failure.into())
}
