//! Whether the host's docker runs, and what its answers mean.

mod installation;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bollard::errors::Error;
use bollard::query_parameters::ListContainersOptionsBuilder;
use bollard::{ClientVersion, Docker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::resource::host::Host;
use crate::resource::model::glob::glob;
use crate::resource::model::hint::Advise;

pub(in crate::resource) use installation::{concern, require_usable};

/// Marks what hwctl made.
pub(in crate::resource) const LABEL: &str = "org.hwctl";
/// The service.
pub(in crate::resource) const UNIT: &str = "docker.service";
/// The distribution's package that brings it.
pub(in crate::resource) const PACKAGE: &str = "docker.io";

const SOCKET: &str = "/run/docker.sock";
/// How long docker may take to answer.
const PATIENCE: Duration = Duration::from_mins(2);
/// No answer to a ping is that long, in bytes.
const MAX_PING: u64 = 16 << 10;

/// The host's docker as it is found.
pub(in crate::resource) enum Daemon<'a> {
    /// It is not installed.
    Absent,
    /// It is installed and does not run.
    Down,
    /// It runs.
    Up(&'a Docker),
}

/// Finds the host's docker without starting it.
pub(in crate::resource) async fn daemon(host: &Host) -> Result<Daemon<'_>> {
    if !Path::new(SOCKET).exists() {
        return Ok(Daemon::Absent);
    }
    // systemd may hold the socket, and then a mere connection starts docker: a plan must not.
    if !runs(host).await? {
        // A package that is removed leaves its socket behind.
        let programs = ["/usr/sbin/dockerd", "/usr/bin/dockerd", "/snap/bin/dockerd"];
        let is_installed = programs.iter().any(|path| Path::new(path).exists());
        return Ok(if is_installed { Daemon::Down } else { Daemon::Absent });
    }
    let error = match host.docker().await {
        Ok(docker) => return Ok(Daemon::Up(docker)),
        Err(error) => error,
    };
    match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => Ok(Daemon::Absent),
        Some(ErrorKind::ConnectionRefused) => Ok(Daemon::Down),
        _ => Err(error),
    }
}

/// The API on docker's own socket, in a version that both know.
pub(in crate::resource) async fn connect() -> Result<Docker> {
    // Not bollard's own way: for `/version` docker starts runc to ask for its version.
    let theirs = timeout(PATIENCE, api_version()).await.context("docker does not answer")??;
    let ours = bollard::API_DEFAULT_VERSION;
    let version = if theirs < *ours { &theirs } else { ours };
    Ok(Docker::connect_with_unix(SOCKET, PATIENCE.as_secs(), version)?)
}

/// The newest version of the API that docker speaks, as its answer to a ping has it.
async fn api_version() -> Result<ClientVersion> {
    let mut stream = UnixStream::connect(SOCKET).await?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(MAX_PING).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let version =
        answer.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            let (major, minor) = value.trim().split_once('.')?;
            let is_it = name.eq_ignore_ascii_case("api-version");
            is_it.then_some(ClientVersion {
                major_version: major.parse().ok()?,
                minor_version: minor.parse().ok()?,
            })
        });
    version.with_context(|| {
        format!("docker's answer has no version: {}", answer.lines().next().unwrap_or_default())
    })
}

async fn runs(host: &Host) -> Result<bool> {
    let pid = std::fs::read_to_string("/run/docker.pid").unwrap_or_default();
    if let Ok(pid) = pid.trim().parse::<u32>()
        && std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.trim() == "dockerd")
    {
        return Ok(true);
    }
    // A daemon may be told to write its pid elsewhere.
    let state = host
        .once(UNIT, async || {
            let output = host.output("systemctl", &["is-active", UNIT]).await?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })
        .await?;
    Ok(matches!(state.trim(), "active" | "reloading"))
}

/// The host's docker; an error where it does not run, instead of starting it.
pub async fn require(host: &Host) -> Result<&Docker> {
    match daemon(host).await? {
        Daemon::Up(docker) => Ok(docker),
        Daemon::Absent => bail!("docker is not installed on the host"),
        Daemon::Down => {
            let cause = installation::last_words(host).await.unwrap_or_default();
            Err(anyhow::anyhow!("docker does not run on the host: {cause}"))
                .hint("`systemctl start docker` on the host starts it, or says why it does not")
        }
    }
}

/// The same where this run has installed docker: its package starts it, unless the host's policy
/// (policy-rc.d) keeps packages from that.
pub(in crate::resource) async fn require_started(host: &Host) -> Result<&Docker> {
    if matches!(daemon(host).await?, Daemon::Down) {
        let started = host.run("systemctl", &["start", UNIT]).await;
        if let Err(error) = started {
            let cause = installation::last_words(host).await.unwrap_or_default();
            return Err(error.context(format!("docker does not start: {cause}")));
        }
        host.forget();
    }
    require(host).await
}

/// The containers that hwctl did not make: their names and the ids of their images.
pub(in crate::resource) async fn foreign_containers(host: &Host) -> Result<Vec<(String, String)>> {
    let Daemon::Up(docker) = daemon(host).await? else { return Ok(Vec::new()) };
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let all = docker.list_containers(Some(options)).await.map_err(said)?;
    let foreign = all.into_iter().filter(|container| {
        !container.labels.as_ref().is_some_and(|labels| labels.contains_key(LABEL))
    });
    let named = foreign.map(|container| {
        let name = container.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
        (name.trim_start_matches('/').to_owned(), container.image_id.unwrap_or_default())
    });
    Ok(named.collect())
}

/// The containers of a name, the newest first. It may have wildcards: the container of an app has its version in its name.
pub async fn containers_named(name: &str, host: &Host) -> Result<Vec<String>> {
    if !name.contains(['?', '*']) {
        return Ok(vec![name.to_owned()]);
    }
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let all = require(host).await?.list_containers(Some(options)).await.map_err(said)?;
    // Docker lists the newest first.
    let names = all.into_iter().flat_map(|container| container.names.unwrap_or_default());
    let names = names.map(|found| found.trim_start_matches('/').to_owned());
    let found: Vec<_> = names.filter(|found| glob(name, found)).collect();
    if found.is_empty() {
        bail!("there is no container `{name}`");
    }
    Ok(found)
}

/// Docker's answer, with "no such thing" as `None`.
pub(in crate::resource) fn found<T>(answer: Result<T, Error>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(said(error)),
    }
}

/// Docker's own words, without bollard's around them.
pub(in crate::resource) fn said(error: Error) -> anyhow::Error {
    match error {
        Error::DockerResponseServerError { message, .. } => {
            anyhow::anyhow!("docker says: {}", message.trim())
        }
        Error::DockerStreamError { error } => anyhow::anyhow!("docker says: {}", error.trim()),
        other => other.into(),
    }
}

/// Why a change cannot be shown in detail yet.
pub(in crate::resource) const NOT_RUNNING: &str =
    "docker does not run yet, so what it has is not known";

/// What such a change cannot bring back.
pub(in crate::resource) const NOT_KNOWN_BEFORE: &str =
    "what was there before, since docker did not run";
