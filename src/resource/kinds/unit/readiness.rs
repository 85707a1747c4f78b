//! Whether a unit answers once it has started, and how it is stopped without losing what a web server has in hand.

use anyhow::Result;

use super::Unit;
use crate::resource::host::Host;
use crate::resource::host::units::{block, field};
use crate::resource::kinds::health::{Readiness, drain};

impl Unit {
    /// Waits until the unit answers. Fails early if it ends.
    pub(super) async fn require_health(&self, host: &Host) -> Result<()> {
        let Some(health) = &self.health else { return Ok(()) };
        host.progress(None, format!("waiting for {} to answer", self.name));
        let has_ended = async || {
            host.forget();
            let state = field(&block(host, &self.name).await?, "ActiveState").to_owned();
            Ok(matches!(state.as_str(), "failed" | "inactive"))
        };
        match health.wait(host, has_ended).await? {
            Readiness::Ready => Ok(()),
            Readiness::Ended => self.failed(health.failure(&self.name, None), host).await,
            Readiness::Late(error) => {
                self.failed(health.failure(&self.name, Some(&error)), host).await
            }
        }
    }

    /// Waits for the requests that a web server has in hand, for a service that answers such.
    pub(super) async fn drain(&self, host: &Host) {
        if self.health.is_some() {
            drain(&self.name, host).await;
        }
    }
}
