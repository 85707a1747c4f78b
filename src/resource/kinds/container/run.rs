//! Starting a container, and putting a new one in the place of an old one that is kept until the
//! new one runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerState as ContainerStatus, HealthStatusEnum};
use bollard::query_parameters::{
    InspectContainerOptions, RestartContainerOptionsBuilder, StartContainerOptions,
};
use tokio::time::sleep;

use super::calls::{
    STOP_SECONDS, create, logs, remove, remove_trial, rename, start, stop, succeeds,
};
use super::{Container, ContainerState, Found, HOST_NETWORK, Host, NO_NETWORK, networks};
use crate::resource::host::docker::{self, said};
use crate::resource::host::listeners::listeners;
use crate::resource::kinds::image;
use crate::resource::model::hint::{Advise, Hint};

/// How long a container without a health check has to stay up to count as started.
const STAYS: Duration = Duration::from_secs(1);
/// The same for one that is new and takes nobody's place: the rest of the run watches it too.
const STAYS_NEW: Duration = Duration::from_millis(500);
/// How often it is looked at meanwhile.
const LOOKS: Duration = Duration::from_millis(100);
/// How long a health check may fail before the start counts as failed.
const BECOMES_HEALTHY: Duration = Duration::from_secs(30);

impl Container {
    fn old_name(&self) -> String {
        format!("{}.hwctl-old", self.name)
    }

    fn trial_name(&self) -> String {
        format!("{}.hwctl-trial", self.name)
    }

    /// Removes what a run that was cut off has left beside the container.
    pub(super) async fn sweep_beside(&self, docker: &Docker) -> Result<()> {
        remove_trial(docker, &self.trial_name()).await?;
        // Without a new one, the old one is what the next run begins with.
        match Found::read(docker, &self.name, &self.image).await? {
            Some(_) => remove(docker, &self.old_name()).await,
            None => Ok(()),
        }
    }

    /// Starts the container that is there.
    pub(super) async fn start(
        &self,
        docker: &Docker,
        state: &ContainerState,
        host: &Host,
    ) -> Result<()> {
        let ContainerState::Present(found) = state else { bail!("there is nothing to start") };
        host.progress(None, format!("starting {}", self.name));
        let answer = match found.status.as_str() {
            "paused" => docker.unpause_container(&self.name).await,
            "restarting" | "unhealthy" => {
                let options = RestartContainerOptionsBuilder::new().t(STOP_SECONDS).build();
                docker.restart_container(&self.name, Some(options)).await
            }
            _ => docker.start_container(&self.name, None::<StartContainerOptions>).await,
        };
        answer.map_err(|error| self.explain(said(error)))?;
        self.wait(docker, STAYS, host).await
    }

    /// Makes the container, in the place of the one that is there if any.
    pub(super) async fn replace(
        &self,
        docker: &Docker,
        state: &ContainerState,
        host: &Host,
    ) -> Result<()> {
        let Some(digest) = self.wanted_digest(host) else { bail!(self.unknown()) };
        remove(docker, &self.old_name()).await?;
        let old = matches!(state, ContainerState::Present(_));
        let ran = state.is_up();
        if ran {
            self.try_beside(docker, &digest, host).await?;
        }
        let carried = match state {
            ContainerState::Present(found) => self.data.as_ref().zip(found.redis.as_ref()),
            _ => None,
        };
        let mut counted = None;
        if old {
            if let Some((data, redis)) = carried.filter(|_| ran) {
                counted = data.before_stop(docker, &self.name, redis).await?;
            }
            host.progress(None, format!("stopping {}", self.name));
            stop(docker, &self.name).await?;
            rename(docker, &self.name, &self.old_name()).await?;
        }
        let made = async {
            match (carried, &self.data) {
                (Some((data, redis)), _) => data.after_stop(docker, self, redis).await?,
                (None, Some(data)) if !old => data.adopt(docker, self).await?,
                _ => {}
            }
            self.make(docker, self.body(&digest), host).await?;
            match carried {
                Some((data, _)) => data.prove(counted, host).await,
                None => Ok(()),
            }
        };
        let Err(error) = made.await else { return remove(docker, &self.old_name()).await };
        remove(docker, &self.name).await?;
        if let Some(data) = self.data.as_ref().filter(|_| carried.is_some() || !old) {
            data.forget(docker, self).await?;
        }
        if !old {
            return Err(error);
        }
        rename(docker, &self.old_name(), &self.name).await?;
        if ran {
            start(docker, &self.name).await?;
        }
        Err(error.context(format!("the container `{}` of before is back in its place", self.name)))
    }

    /// Starts the new container beside the one that runs, without its ports and with nothing to write
    /// to but its own: one that cannot live is known before the other is stopped.
    async fn try_beside(&self, docker: &Docker, digest: &str, host: &Host) -> Result<()> {
        let name = self.trial_name();
        // The ports of the host's own network are those of the one that runs.
        let networks = match self.networks.first().map(String::as_str) {
            Some(HOST_NETWORK) => vec![NO_NETWORK.to_owned()],
            _ => self.networks.clone(),
        };
        let trial = Self { name, ports: Vec::new(), health: None, networks, ..self.clone() };
        let body = trial.trial_body(digest, host);
        remove_trial(docker, &trial.name).await?;
        let lived = trial.make(docker, body, host).await;
        remove_trial(docker, &trial.name).await?;
        lived.with_context(|| {
            let name = &self.name;
            format!("the new container `{name}` did not survive its trial start; the running one was not touched")
        })
    }

    async fn make(&self, docker: &Docker, body: ContainerCreateBody, host: &Host) -> Result<()> {
        self.begin(docker, body, host).await?;
        self.wait(docker, STAYS, host).await
    }

    async fn begin(
        &self,
        docker: &Docker,
        mut body: ContainerCreateBody,
        host: &Host,
    ) -> Result<()> {
        self.adapt_to_image(docker, &mut body).await?;
        create(docker, &self.name, body).await?;
        networks::join_others(docker, &self.name, &self.networks).await?;
        host.progress(None, format!("starting {}", self.name));
        start(docker, &self.name).await.map_err(|error| self.explain(error))
    }

    /// Starts a container that is not there yet, and does not wait until it has shown that it stays.
    pub(super) async fn begin_new(&self, host: &Host) -> Result<()> {
        let docker = docker::require(host).await?;
        let Some(digest) = self.wanted_digest(host) else { bail!(self.unknown()) };
        // A run that was cut off may have left it, and docker may have started it again.
        remove(docker, &self.old_name()).await?;
        if let Some(data) = &self.data {
            data.adopt(docker, self).await?;
        }
        self.begin(docker, self.body(&digest), host).await
    }

    /// Waits until a container that was launched has shown that it stays.
    pub(super) async fn wait_for_new(&self, host: &Host) -> Result<()> {
        self.wait(docker::require(host).await?, STAYS_NEW, host).await
    }

    fn unknown(&self) -> String {
        format!("the configuration of container `{}` is not known", self.name)
    }

    /// Waits until the container runs and is healthy, or `stays` up without a health check.
    async fn wait(&self, docker: &Docker, stays: Duration, host: &Host) -> Result<()> {
        if self.health.is_some() {
            return self.require_health(docker, host).await;
        }
        let begin = Instant::now();
        loop {
            let inspected = docker
                .inspect_container(&self.name, None::<InspectContainerOptions>)
                .await
                .map_err(said)?;
            let state = inspected.state.unwrap_or_default();
            let health = state.health.as_ref().and_then(|health| health.status);
            let is_sick = health == Some(HealthStatusEnum::UNHEALTHY);
            let up = state.running == Some(true) && state.restarting != Some(true);
            if !up || inspected.restart_count.unwrap_or(0) > 0 && begin.elapsed() < stays {
                return Err(self.ended(docker, &state, host).await);
            }
            match &self.healthcheck {
                None if begin.elapsed() >= stays => return Ok(()),
                None => {}
                // Its own schedule would make everybody wait for the first interval.
                // But what docker's own last check has found has to be past, too.
                Some(test) if !is_sick && succeeds(docker, &self.name, test).await? => {
                    return Ok(());
                }
                Some(_) if begin.elapsed() >= BECOMES_HEALTHY => {
                    let lines = logs(docker, &self.name, host).await;
                    bail!("container `{}` does not become healthy: {lines}", self.name);
                }
                Some(_) => host.progress(None, format!("waiting for {}", self.name)),
            }
            sleep(LOOKS).await;
        }
    }

    /// Why a container has ended that was just started, with the last lines of its log.
    pub(super) async fn ended(
        &self,
        docker: &Docker,
        state: &ContainerStatus,
        host: &Host,
    ) -> anyhow::Error {
        let how = match state.exit_code.unwrap_or_default() {
            _ if state.oom_killed == Some(true) => "ran out of memory and was killed".to_owned(),
            _ if state.running == Some(true) => "keeps exiting and being restarted".to_owned(),
            code => format!("stops with exit code {code}"),
        };
        let (name, lines) = (&self.name, logs(docker, &self.name, host).await);
        let error = anyhow!("container `{name}` {how} right after its start: {lines}");
        error.context(Hint(
            "fix what its log reports; if the log is empty, check for a lack of memory on the host (`free -m`, `sudo dmesg`)"
                .to_owned(),
        ))
    }

    /// Says who has a port that the container should get.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let text = format!("{error:#}");
        if !text.contains("address already in use") && !text.contains("port is already allocated") {
            return error;
        }
        let taken = self.ports.iter().find_map(|port| {
            let who = listeners().into_iter().find(|l| l.port == port.host_port)?.holder();
            Some(format!("{who} has port {}: choose a free one in the inventory", port.host_port))
        });
        let hint = taken.unwrap_or_else(|| "`ss -ltnp` on the host shows who has the port".into());
        let failed = Err::<(), _>(error).hint(hint);
        failed.err().unwrap_or_else(|| anyhow!(text))
    }

    /// Removes the container if hwctl made it.
    pub(super) async fn remove_own(&self, docker: &Docker, host: &Host) -> Result<()> {
        let found = Found::read(docker, &self.name, &self.image).await?;
        let Some(found) = found.filter(|found| found.digest.is_some()) else { return Ok(()) };
        self.give_back(docker, &found, None, host).await?;
        remove(docker, &self.name).await
    }

    /// Gives the data of hwctl's own container back to what it was taken over from. A container that
    /// does not run cannot; its data stays where it is.
    async fn give_back(
        &self,
        docker: &Docker,
        now: &Found,
        before: Option<&Found>,
        host: &Host,
    ) -> Result<()> {
        let old = before.and_then(|before| before.redis.as_ref());
        match &self.data {
            Some(data) if now.digest.is_some() && now.status == "running" => {
                data.give_back(docker, self, old, host).await
            }
            _ => Ok(()),
        }
    }

    /// Brings back the container of before.
    pub(super) async fn bring_back(
        &self,
        docker: &Docker,
        before: &Found,
        host: &Host,
    ) -> Result<()> {
        let old = Found::read(docker, &self.old_name(), &self.image).await?;
        let now = Found::read(docker, &self.name, &self.image).await?;
        if let Some(now) = now.as_ref().filter(|_| before.digest.is_none()) {
            self.give_back(docker, now, Some(before), host).await?;
        }
        if old.as_ref().is_some_and(|old| old.is_like(before)) {
            // The run ended before the new one ran.
            remove(docker, &self.name).await?;
            rename(docker, &self.old_name(), &self.name).await?;
        } else if !now.as_ref().is_some_and(|now| now.is_like(before)) {
            remove(docker, &self.name).await?;
            let mut body = before.creating()?;
            let reference = body.image.clone().unwrap_or_default();
            if image::id_of(docker, &reference).await?.as_ref() != Some(&before.image_id) {
                body.image = Some(before.image_id.clone());
            }
            create(docker, &self.name, body).await?;
            networks::join_others(docker, &self.name, before.joined()).await?;
        }
        let status = Found::read(docker, &self.name, &self.image).await?.map(|now| now.status);
        if status.as_deref() == Some(before.status.as_str()) {
            return Ok(());
        }
        host.progress(None, format!("bringing back {}", self.name));
        match before.status.as_str() {
            "created" => Ok(()),
            "paused" => {
                start(docker, &self.name).await?;
                docker.pause_container(&self.name).await.map_err(said)
            }
            // Docker waits longer each time before it starts it again.
            _ if before.is_up() && status.as_deref() == Some("restarting") => {
                let options = RestartContainerOptionsBuilder::new().t(STOP_SECONDS).build();
                docker.restart_container(&self.name, Some(options)).await.map_err(said)
            }
            _ if before.is_up() => start(docker, &self.name).await,
            _ => stop(docker, &self.name).await,
        }
    }
}

impl ContainerState {
    /// Whether the container runs, or tries to.
    pub(in crate::resource) fn is_up(&self) -> bool {
        matches!(self, Self::Present(found) if found.is_up())
    }
}

impl Found {
    /// Whether it runs, or tries to.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.status.as_str(), "running" | "unhealthy" | "restarting" | "paused")
    }

    /// Whether both are the same container, whatever they do now.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same_networks = match (&self.networks, &other.networks) {
            (Some(own), Some(others)) => own == others,
            _ => true,
        };
        self.body == other.body && self.image_id == other.image_id && same_networks
    }
}
