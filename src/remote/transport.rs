//! The ways by which requests come to an engine: over a connection to a host, or to a process of this one.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::bootstrap;
use super::confirm::{confirm, confirmed};
use super::connection::{Child, Connection, Input, Output};
use super::engine::Emit;
use super::route::Route;
use super::ssh::Target;
use crate::engine::protocol::{CLIENT_GREETING, ENGINE_GREETING};
use crate::event::EventKind;
use crate::failure::{Exit, Failure};

/// How long the last words of an engine that is gone are waited for.
const EXIT_OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the end of an engine is waited for: a host that is gone never says that it ended.
const END: Duration = Duration::from_secs(2);

/// What keeps an engine running.
pub(super) enum Transport {
    /// The engine runs on a host of the inventory.
    Host(Box<OnHost>),
    /// The engine is a process of this machine, which no inventory names.
    Own { child: tokio::process::Child },
}

/// An engine on a host of the inventory.
pub(super) struct OnHost {
    target: Target,
    /// Kept open: the engine's channel belongs to it.
    connection: Connection,
    child: Child,
}

/// An engine that has greeted.
pub(super) struct Started {
    pub(super) transport: Transport,
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) route: Route,
    /// Where hwctl's binary is on the host.
    pub(super) binary: PathBuf,
}

impl Transport {
    /// Connects to a host and starts an engine there.
    pub(super) async fn to(target: &Target, emit: Emit<'_>) -> Result<Started, Failure> {
        emit(EventKind::Step { message: "connecting".to_owned(), fraction: None });
        let (connection, (), route) =
            tokio::join!(target.connect(emit), bootstrap::prepare(target), Route::of(target));
        let mut connection = connection?;
        let step = |message, fraction| emit(EventKind::Step { message, fraction });
        let mut child = match bootstrap::start(&connection, target, bootstrap::ENGINE, step).await {
            // ssh may not know yet that a kept connection leads nowhere any more.
            Err(failure) if connection.is_old && failure.exit == Exit::Unreachable => {
                connection.end().await;
                connection = target.log_in(emit).await?;
                bootstrap::start(&connection, target, bootstrap::ENGINE, step).await?
            }
            started => started?,
        };
        let binary = bootstrap::host_path(target)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(target.unreachable("ssh gives no stream of the host"));
        };
        let route = match connection.control_socket().and_then(Path::to_str) {
            Some(socket) => route.with_session(socket),
            None => route,
        };
        let transport = Self::Host(Box::new(OnHost { target: target.clone(), connection, child }));
        Ok(Started { transport, input, output, route, binary })
    }

    /// Starts an engine as a process of this machine, which has to be root's. It hears of the end of this
    /// process by the end of its input.
    pub(super) async fn own() -> Result<Started> {
        let (child, input, output) = start_here(&["engine"]).await?;
        let route = Route::direct(&IpAddr::from(Ipv4Addr::LOCALHOST).to_string());
        let (input, output) = (Box::new(input), Box::new(output));
        let binary = own_binary()?;
        Ok(Started { transport: Self::Own { child }, input, output, route, binary })
    }

    /// The host as messages name it.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Host(host) => format!("`{}`", host.target.name),
            Self::Own { .. } => "this host".to_owned(),
        }
    }

    /// Confirms a change that could lock the operator out. Over ssh that takes a login of its own; on the
    /// host itself nobody needs to log in.
    pub(super) async fn confirm(&self, run: &str) -> Result<(), Failure> {
        match self {
            Self::Host(host) => confirm(&host.target.anew(), run).await,
            Self::Own { .. } => {
                let (_child, _input, mut output) = start_here(&[bootstrap::CONFIRM, run]).await?;
                let early = || Failure::new(Exit::Failed, "the confirmation ends early");
                confirmed(Some(&mut output)).await.ok_or_else(early)?
            }
        }
    }

    /// What an engine that is gone has said last on its standard error.
    pub(super) async fn last_line(&mut self) -> Option<String> {
        match self {
            Self::Host(host) => last_line(host.child.stderr.take()?).await,
            Self::Own { child } => last_line(child.stderr.take()?).await,
        }
    }

    /// Waits for the end of an engine whose input is closed.
    pub(super) async fn end(self) {
        match self {
            Self::Host(host) => {
                let OnHost { connection, child, .. } = *host;
                let _ = timeout(END, child.wait()).await;
                connection.close().await;
            }
            Self::Own { mut child } => {
                let _ = timeout(END, child.wait()).await;
            }
        }
    }

    /// Leaves an engine whose input is closed to end by itself.
    pub(super) async fn let_go(self) {
        if let Self::Host(host) = self {
            drop(host.child);
            host.connection.close().await;
        }
    }
}

/// What a stream of complaints ends with.
pub(super) async fn last_line(stderr: impl AsyncRead + Unpin) -> Option<String> {
    let mut told = String::new();
    let mut bounded = stderr.take(bootstrap::MAX_TOLD as u64);
    let _ = timeout(EXIT_OUTPUT_TIMEOUT, bounded.read_to_string(&mut told)).await;
    told.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

/// Starts hwctl on this machine with a verb that greets, and hears the greeting.
async fn start_here(
    arguments: &[&str],
) -> Result<(tokio::process::Child, ChildStdin, BufReader<ChildStdout>)> {
    let binary = own_binary()?;
    let mut command = Command::new(&binary);
    // As over ssh: what programs say is read in English.
    command.args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run `{}`", binary.display()))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (mut input, output) = (input.context("its input")?, output.context("its output")?);
    // One that has ended early is known by its output.
    let _ = input.write_all(format!("{CLIENT_GREETING}\n").as_bytes()).await;
    let mut output = BufReader::new(output);
    let mut greeting = String::new();
    output.read_line(&mut greeting).await?;
    if greeting.trim_end() == ENGINE_GREETING {
        return Ok((child, input, output));
    }
    let last = match child.stderr.take() {
        Some(stderr) => last_line(stderr).await,
        None => None,
    };
    bail!("the engine does not greet: {}", last.unwrap_or(greeting))
}

fn own_binary() -> Result<PathBuf> {
    std::env::current_exe().context("find hwctl's own binary")
}
