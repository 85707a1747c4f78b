//! A socket and the service behind it: neither starts while the other one is in its place.

use anyhow::Result;

use super::Unit;
use crate::resource::host::Host;

impl Unit {
    /// Stops the service that a socket is for: one that was started without it holds the socket's
    /// place. What comes meanwhile waits in the socket, until the service's own turn.
    pub(super) async fn make_way(&self, host: &Host) -> Result<()> {
        let Some(name) = self.name.strip_suffix(".socket") else { return Ok(()) };
        let service = Self { name: format!("{name}.service"), ..self.clone() };
        host.expect_unit(&service.name);
        if service.read_anew(host).await?.is_active() {
            service.systemctl(host, "stop").await?;
            // In its own turn it counts as one that ran.
            host.hold_unit(&service.name);
        }
        Ok(())
    }

    /// Starts the service again that [`Unit::make_way`] has stopped in this run.
    pub(super) async fn give_way_back(&self, host: &Host) -> Result<()> {
        let Some(name) = self.name.strip_suffix(".socket") else { return Ok(()) };
        let service = Self { name: format!("{name}.service"), ..self.clone() };
        if host.is_held(&service.name) && !service.read_anew(host).await?.is_active() {
            service.systemctl(host, "start").await?;
        }
        Ok(())
    }

    /// A socket unit does not start while its service runs: the service is stopped around it.
    pub(super) async fn restart(&self, host: &Host) -> Result<()> {
        let Some(name) = self.name.strip_suffix(".socket") else {
            return self.systemctl(host, "restart").await;
        };
        let service = Self { name: format!("{name}.service"), ..self.clone() };
        host.expect_unit(&service.name);
        let runs = service.read_anew(host).await?.is_active();
        if runs {
            service.systemctl(host, "stop").await?;
        }
        self.systemctl(host, "restart").await?;
        if runs { service.systemctl(host, "start").await } else { Ok(()) }
    }
}
