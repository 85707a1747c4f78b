//! Single calls of the Docker API about a container, with errors that name it.

use std::time::Duration;

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecOptions};
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::time::sleep;

use crate::resource::host::Host;
use crate::resource::host::docker::{found, said};

/// How long a container gets to stop by itself.
pub(super) const STOP_SECONDS: i32 = 10;

pub(super) async fn create(docker: &Docker, name: &str, body: ContainerCreateBody) -> Result<()> {
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    docker
        .create_container(Some(options), body)
        .await
        .map_err(said)
        .with_context(|| format!("make container `{name}`"))?;
    Ok(())
}

pub(super) async fn start(docker: &Docker, name: &str) -> Result<()> {
    docker
        .start_container(name, None::<StartContainerOptions>)
        .await
        .map_err(said)
        .with_context(|| format!("start container `{name}`"))
}

/// A container of exactly this name. Docker itself also takes the beginning of an id for one, and so may
/// answer with another container than `db` or `cafe`.
pub(super) async fn inspect(
    docker: &Docker,
    name: &str,
) -> Result<Option<ContainerInspectResponse>> {
    let answer = docker.inspect_container(name, None::<InspectContainerOptions>).await;
    let inspected = found(answer).with_context(|| format!("look at container `{name}`"))?;
    let is_it = |found: &ContainerInspectResponse| {
        found.name.as_deref().is_some_and(|found| found.trim_start_matches('/') == name)
    };
    Ok(inspected.filter(is_it))
}

pub(super) async fn stop(docker: &Docker, name: &str) -> Result<()> {
    if inspect(docker, name).await?.is_none() {
        return Ok(());
    }
    let options = StopContainerOptionsBuilder::new().t(STOP_SECONDS).build();
    found(docker.stop_container(name, Some(options)).await)
        .with_context(|| format!("stop container `{name}`"))?;
    Ok(())
}

pub(super) async fn rename(docker: &Docker, from: &str, to: &str) -> Result<()> {
    let options = RenameContainerOptionsBuilder::new().name(to).build();
    docker
        .rename_container(from, options)
        .await
        .map_err(said)
        .with_context(|| format!("rename container `{from}` to `{to}`"))
}

/// Removes a container and none of its volumes; absent is as good.
pub(super) async fn remove(docker: &Docker, name: &str) -> Result<()> {
    remove_with(docker, name, false).await
}

/// Removes a container and the volumes that have no name.
pub(super) async fn remove_trial(docker: &Docker, name: &str) -> Result<()> {
    remove_with(docker, name, true).await
}

async fn remove_with(docker: &Docker, name: &str, volumes: bool) -> Result<()> {
    if inspect(docker, name).await?.is_none() {
        return Ok(());
    }
    let options = RemoveContainerOptionsBuilder::new().force(true).v(volumes).build();
    found(docker.remove_container(name, Some(options)).await)
        .with_context(|| format!("remove container `{name}`"))?;
    Ok(())
}

/// Runs a program inside and says whether it succeeds.
pub(super) async fn succeeds(docker: &Docker, name: &str, program: &[String]) -> Result<bool> {
    let options = CreateExecOptions { cmd: Some(program.to_vec()), ..Default::default() };
    // A container that has just ended refuses; the next look at it says why.
    let Ok(exec) = docker.create_exec(name, options).await else { return Ok(false) };
    let detached = StartExecOptions { detach: true, ..Default::default() };
    if docker.start_exec(&exec.id, Some(detached)).await.is_err() {
        return Ok(false);
    }
    for _ in 0..30 {
        let exec = docker.inspect_exec(&exec.id).await.map_err(said)?;
        if exec.running == Some(false) {
            return Ok(exec.exit_code == Some(0));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(false)
}

/// The last lines that a container printed, joined by ` | `.
pub(super) async fn logs(docker: &Docker, name: &str, host: &Host) -> String {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("10").build();
    let mut lines = Vec::new();
    let mut output = std::pin::pin!(docker.logs(name, Some(options)));
    while let Some(Ok(line)) = output.next().await {
        lines.push(line.to_string().trim().to_owned());
    }
    lines.retain(|line| !line.is_empty());
    match lines.is_empty() {
        true => "it printed nothing".to_owned(),
        false => host.without_secrets(lines.join(" | ")),
    }
}
