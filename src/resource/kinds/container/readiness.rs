//! Whether a container behind a web server answers once it has started, and how it ends without losing what the web
//! server has in hand.

use anyhow::{Result, anyhow};
use bollard::Docker;

use super::Container;
use super::calls::{inspect, logs, stop};
use crate::resource::host::Host;
use crate::resource::kinds::health::{Readiness, drain};

impl Container {
    /// Waits until the container answers. Fails early if it ends.
    pub(super) async fn require_health(&self, docker: &Docker, host: &Host) -> Result<()> {
        let Some(health) = &self.health else { return Ok(()) };
        host.progress(None, format!("waiting for {} to answer", self.name));
        let has_ended = async || {
            let found = inspect(docker, &self.name).await?;
            Ok(found.is_none_or(|found| {
                let runs = found.state.and_then(|state| state.running) == Some(true);
                !runs || found.restart_count.unwrap_or(0) > 0
            }))
        };
        match health.wait(host, has_ended).await? {
            Readiness::Ready => Ok(()),
            Readiness::Ended => {
                let state = inspect(docker, &self.name).await?.and_then(|found| found.state);
                Err(self.ended(docker, &state.unwrap_or_default(), host).await)
            }
            Readiness::Late(error) => {
                let lines = logs(docker, &self.name, host).await;
                Err(anyhow!("{}\n    {lines}", health.failure(&self.name, Some(&error))))
            }
        }
    }

    /// Stops a container that hands its work over: what the web server has in hand comes first, and then the program has
    /// its time to end.
    pub(super) async fn end_in_order(&self, docker: &Docker, host: &Host) -> Result<()> {
        if !self.hands_over || inspect(docker, &self.name).await?.is_none() {
            return Ok(());
        }
        drain(&self.name, host).await;
        host.progress(None, format!("stopping {}", self.name));
        stop(docker, &self.name).await
    }
}
