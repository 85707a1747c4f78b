//! A container that runs a program to its end, such as the migration of an app's data.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bollard::query_parameters::WaitContainerOptions;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::Container;
use super::calls::{create, logs, remove, start};
use crate::resource::host::Host;
use crate::resource::host::docker;

impl Container {
    /// Runs the container's command in the place of the image's own program, waits for its end, and removes the
    /// container. Fails unless the program succeeds.
    pub(in crate::resource::kinds) async fn run_once(
        &self,
        host: &Host,
        patience: Duration,
    ) -> Result<()> {
        let docker = docker::require(host).await?;
        let digest = self.wanted_digest(host).unwrap_or_default();
        let mut body = self.body(&digest);
        // An image's own entry point would take the command for its arguments.
        body.entrypoint = self.command.first().map(|program| vec![program.clone()]);
        body.cmd = Some(self.command.iter().skip(1).cloned().collect());
        if let Some(config) = &mut body.host_config {
            config.restart_policy = None;
        }
        self.adapt_to_image(docker, &mut body).await?;
        remove(docker, &self.name).await?;
        create(docker, &self.name, body).await?;
        let ended = async {
            super::networks::join_others(docker, &self.name, &self.networks).await?;
            start(docker, &self.name).await?;
            self.exit_code(docker, patience).await
        };
        let result = match ended.await {
            Ok(0) => Ok(()),
            Ok(code) => {
                let lines = logs(docker, &self.name, host).await;
                Err(anyhow!("it ends with exit code {code}: {lines}"))
            }
            Err(error) => Err(error),
        };
        remove(docker, &self.name).await?;
        result
    }

    async fn exit_code(&self, docker: &bollard::Docker, patience: Duration) -> Result<i64> {
        let mut ends = Box::pin(docker.wait_container(&self.name, None::<WaitContainerOptions>));
        let Ok(end) = timeout(patience, ends.next()).await else {
            bail!("it does not end within {} s", patience.as_secs())
        };
        match end.context("docker does not say how it ended")? {
            Ok(answer) => Ok(answer.status_code),
            Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => Ok(code),
            Err(error) => Err(docker::said(error)),
        }
    }

    /// Removes the container of a program that was cut off.
    pub(in crate::resource::kinds) async fn sweep_once(&self, host: &Host) -> Result<()> {
        match docker::daemon(host).await? {
            docker::Daemon::Up(docker) => remove(docker, &self.name).await,
            docker::Daemon::Absent | docker::Daemon::Down => Ok(()),
        }
    }
}
