//! Tries a new configuration by a second instance of its service, which a client looks at before the first
//! one reads what is on disk.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::client::{Expected, Pins, Way, probe};
use crate::engine::driver::trial::Trial;
use crate::engine::plan::Wanted;
use crate::engine::protocol::{read_frame, write_frame};
use crate::event::Check;
use crate::resource::{Advise as _, Host, Place};
use crate::spec::{Endpoint, Pin};

/// How long all probes together may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a client should see, and from where it looks.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Outside<'a> {
    pub(in crate::engine) expected: &'a Expected,
    /// The host's address.
    pub(in crate::engine) to: IpAddr,
    /// The operator's address.
    pub(in crate::engine) from: IpAddr,
}

/// What the process beside the second instance is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Rehearsal {
    expected: Expected,
    to: IpAddr,
    from: IpAddr,
}

/// Looks at the configuration on disk as a client would, before the service reads it. What cannot be told
/// so is left to the look from outside: a network of its own has no other servers, and a host may
/// lack `ip`.
pub(in crate::engine) async fn rehearse(
    trial: &'static dyn Trial,
    wanted: &Wanted,
    outside: Outside<'_>,
    host: &Host,
) -> Result<()> {
    let Outside { expected, to, from } = outside;
    let is_declared = |endpoint: &&Endpoint| {
        let mut steps = wanted.declared.iter();
        steps.any(|step| match (step.resource.profile().place, &endpoint.pin) {
            (Place::Bundle(certificate), Pin::File(path)) => certificate == path,
            _ => false,
        })
    };
    let endpoints: Vec<_> = expected.endpoints.iter().filter(is_declared).cloned().collect();
    let pins = Pins::read(&endpoints, host);
    if pins == Pins::default() {
        return Ok(());
    }
    let expected = Expected { pins: Some(pins), ..expected.clone() };
    let wrong = ask(trial, Rehearsal { expected, to, from }, host).await?;
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong: Vec<_> =
        wrong.iter().map(|check| format!("{}: {}", check.name, check.detail)).collect();
    Err(anyhow!("{}", wrong.join("\n    "))).hint(trial.hint()).with_context(|| {
        format!("with the new configuration {} does not serve as it should", trial.name())
    })
}

/// What is wrong, as the process beside the second instance finds it; nothing where that cannot run.
async fn ask(trial: &'static dyn Trial, rehearsal: Rehearsal, host: &Host) -> Result<Vec<Check>> {
    let program = std::env::current_exe().context("find hwctl's own binary")?;
    let mut look = host.command("unshare");
    look.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--"]);
    look.args(["sh", "-c", trial.second_instance(), "sh"]).arg(program);
    look.args([rehearsal.to.to_string(), rehearsal.from.to_string()]);
    look.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut look = look.spawn().context("run `unshare`")?;
    if let Some(mut input) = look.stdin.take() {
        // A script that has ended early does not read it.
        let _ = write_frame(&mut input, &rehearsal).await;
    }
    let output = look.wait_with_output().await.context("look at the new configuration")?;
    let wrong = read_frame(&mut output.stdout.as_slice()).await.ok().flatten();
    Ok(wrong.filter(|_| output.status.success()).unwrap_or_default())
}

/// Looks at the second instance from within its network, as the frame on `input` says. Writes a frame with what
/// is wrong and the service's own doing.
pub async fn check_second_instance(
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> Result<()> {
    let rehearsal: Option<Rehearsal> = read_frame(&mut input).await?;
    let Rehearsal { expected, to, from } = rehearsal.context("there is nothing to look at")?;
    let way = Way::Direct { to, from: Some(from) };
    let seen = timeout(PATIENCE, probe(&way, &expected)).await?;
    let wrong = seen.into_iter().filter(|seen| !seen.check.ok && !seen.is_behind);
    let wrong: Vec<_> = wrong.map(|seen| seen.check).collect();
    write_frame(&mut output, &wrong).await
}
