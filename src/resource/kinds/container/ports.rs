//! Who else has a port that a container should get.

use std::net::IpAddr;

use anyhow::{Result, anyhow};
use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptions;

use super::{Container, ContainerState};
use crate::resource::host::Host;
use crate::resource::host::docker::LABEL;
use crate::resource::host::docker::{self, Daemon, said};
use crate::resource::host::listeners::listeners;
use crate::resource::model::hint::Advise;

impl Container {
    /// Refuses another program or container on a port that the container should get.
    pub(super) async fn require_ports(&self, state: &ContainerState, host: &Host) -> Result<()> {
        if let ContainerState::Present(found) = state
            && found.is_as_wanted(self)?
        {
            return Ok(());
        }
        let holder = match docker::daemon(host).await? {
            Daemon::Up(docker) => self.other_container(docker).await?,
            Daemon::Absent | Daemon::Down => None,
        };
        let Some((port, holder)) = holder.or_else(|| self.other_program()) else { return Ok(()) };
        let setting = self.port_setting();
        Err(anyhow!("port {port} of container `{}` is taken by {holder}", self.name)).hint(format!(
            "choose a free port as `{setting}` in the inventory, or free this one if nothing needs \
             what holds it"
        ))
    }

    /// The variable of the inventory that has its ports.
    fn port_setting(&self) -> String {
        self.setting(if self.data.is_some() { "port" } else { "ports" })
    }

    /// Whether the container should get this port at this address of the host.
    fn is_to_get(&self, number: u16, address: IpAddr) -> bool {
        self.ports.iter().any(|port| {
            let is_wide = address.is_unspecified() || port.host_address.is_unspecified();
            port.host_port == number && (is_wide || address == port.host_address)
        })
    }

    async fn other_container(&self, docker: &Docker) -> Result<Option<(u16, String)>> {
        let all = docker.list_containers(None::<ListContainersOptions>).await.map_err(said)?;
        // One of hwctl's own by another name goes with the same plan.
        let is_own = |container: &ContainerSummary| {
            container.labels.as_ref().is_some_and(|labels| labels.contains_key(LABEL))
        };
        for container in all.into_iter().filter(|container| !is_own(container)) {
            let names = container.names.iter().flatten();
            let name = names.map(|name| name.trim_start_matches('/')).next().unwrap_or_default();
            let published =
                container.ports.iter().flatten().filter_map(|port| {
                    Some((port.public_port?, port.ip.as_deref()?.parse().ok()?))
                });
            let mut taken = published.filter(|(number, address)| self.is_to_get(*number, *address));
            if let (Some((number, _)), true) = (taken.next(), name != self.name) {
                return Ok(Some((number, format!("the container `{name}`"))));
            }
        }
        Ok(None)
    }

    /// Docker's own listeners are those of containers, this one's among them.
    fn other_program(&self) -> Option<(u16, String)> {
        let mut listeners = listeners().into_iter();
        let taken = listeners.find(|listener| {
            self.is_to_get(listener.port, listener.address) && !listener.is_of_docker()
        })?;
        Some((taken.port, taken.holder()))
    }
}
