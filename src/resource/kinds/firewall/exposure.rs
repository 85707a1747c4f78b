//! What others reach on the host besides what hwctl opens: ports of containers, which go past ufw, ports of
//! programs, and containers that are on the outer network themselves.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::Result;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    ListContainersOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
};
use serde::{Deserialize, Serialize};

use super::rules::Family;
use super::ufw::Ufw;
use super::{FirewallPort, Transport};
use crate::resource::host::Host;
use crate::resource::host::docker::{self, Daemon, said};
use crate::resource::host::listeners::listeners;

/// Which ports a client may find open, for a look from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Whether ufw keeps everything closed that no rule opens.
    pub is_filtered: bool,
    /// The TCP ports that rules of ufw open, be it to some networks only.
    pub open: Vec<Opening>,
    /// The TCP ports that containers publish to more than the host itself.
    pub published: Vec<u16>,
}

/// TCP ports that a rule of ufw opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The first of them.
    pub first: u16,
    /// The last of them.
    pub last: u16,
    /// Whether hwctl made the rule.
    pub is_own: bool,
}

impl Exposure {
    /// Whether a rule of ufw opens a TCP port, or nothing closes it.
    #[must_use]
    pub fn lets_in(&self, port: u16) -> bool {
        !self.is_filtered || self.open.iter().any(|opening| opening.has(port))
    }

    /// Whether others let a TCP port be reached: by a rule in ufw, or without any ufw.
    #[must_use]
    pub fn is_open_by_others(&self, port: u16) -> bool {
        !self.is_filtered || self.open.iter().any(|opening| !opening.is_own && opening.has(port))
    }
}

impl Opening {
    fn has(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// Reads what the host has now.
pub async fn exposure(host: &Host) -> Result<Exposure> {
    let ufw = Ufw::read(host).await?;
    let mut open = Vec::new();
    for family in [Family::V4, Family::V6] {
        let Some(ufw) = &ufw else { break };
        let found = ufw.rules(family)?.open_tcp();
        open.extend(found.into_iter().map(|(first, last, is_own)| Opening { first, last, is_own }));
    }
    let published = published(host).await?.into_iter();
    let mut published: Vec<_> =
        published.filter(|port| port.protocol == Transport::Tcp).map(|port| port.number).collect();
    published.sort_unstable();
    published.dedup();
    Ok(Exposure { is_filtered: ufw.is_some_and(|ufw| ufw.is_filtering()), open, published })
}

/// A port that others reach now, and would not once the firewall is as declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::resource) struct Closing {
    /// Such as `container theirs` or `program python3`.
    pub(super) holder: String,
    /// Such as `8081/tcp`.
    pub(super) port: String,
}

/// The ports that the firewall would close. Containers' ports are closed by the rules in Docker's chain,
/// and programs' ports by ufw.
pub(super) async fn closing(
    allow: &[FirewallPort],
    ufw: Option<&Ufw>,
    host: &Host,
) -> Result<Vec<Closing>> {
    let mut closing = Vec::new();
    let is_allowed = |number, protocol| {
        allow.iter().any(|port| port.number == number && port.protocol == protocol)
    };
    if !ufw.is_some_and(|ufw| ufw.guard.is_ours()) {
        let published = published(host).await?.into_iter();
        closing.extend(published.filter(|port| !is_allowed(port.number, port.protocol)).map(
            |port| Closing {
                holder: format!("container {}", port.container),
                port: format!("{}/{}", port.number, port.protocol.name()),
            },
        ));
    }
    if !ufw.is_some_and(Ufw::is_filtering) {
        let mut open = Vec::new();
        for family in [Family::V4, Family::V6] {
            if let Some(ufw) = ufw {
                open.extend(ufw.rules(family)?.open_tcp());
            }
        }
        let stays = |number| open.iter().any(|(a, b, _)| (*a..=*b).contains(&number));
        let listeners = listeners().into_iter().filter(|listener| {
            // Docker's own listeners are those of containers.
            !listener.is_of_docker()
                && !listener.address.is_loopback()
                && !is_allowed(listener.port, Transport::Tcp)
                && !stays(listener.port)
        });
        closing.extend(listeners.filter_map(|listener| {
            let (_, name) = listener.processes.first()?;
            let port = format!("{}/tcp", listener.port);
            Some(Closing { holder: format!("program {name}"), port })
        }));
    }
    closing.sort_unstable();
    closing.dedup();
    Ok(closing)
}

/// The containers that are on the outer network themselves, with the names of their networks: nothing that
/// goes to them passes the firewall of the host.
pub(super) async fn beside(host: &Host) -> Result<Vec<(String, String)>> {
    let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(Vec::new()) };
    let drivers = HashMap::from([("driver", vec!["macvlan", "ipvlan"])]);
    let options = ListNetworksOptionsBuilder::new().filters(&drivers).build();
    let mut found = Vec::new();
    for network in docker.list_networks(Some(options)).await.map_err(said)? {
        let Some(id) = &network.id else { continue };
        let on_it = HashMap::from([("network", vec![id.as_str()])]);
        let options = ListContainersOptionsBuilder::new().filters(&on_it).build();
        let containers = docker.list_containers(Some(options)).await.map_err(said)?;
        let name = network.name.clone().unwrap_or_default();
        found.extend(containers.iter().map(|container| (name_of(container), name.clone())));
    }
    found.sort_unstable();
    Ok(found)
}

/// A port that a container publishes.
struct Published {
    container: String,
    number: u16,
    protocol: Transport,
}

/// The ports that containers publish to more than the host itself.
async fn published(host: &Host) -> Result<Vec<Published>> {
    let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(Vec::new()) };
    let containers = docker.list_containers(None::<ListContainersOptions>).await.map_err(said)?;
    let mut all = Vec::new();
    for container in containers {
        for port in container.ports.iter().flatten() {
            let address = port.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
            let Some(number) = port.public_port else { continue };
            let protocol = match port.typ.map(|kind| kind.to_string()).as_deref() {
                Some("tcp") => Transport::Tcp,
                Some("udp") => Transport::Udp,
                _ => continue,
            };
            if !address.is_some_and(|address| address.is_loopback()) {
                all.push(Published { container: name_of(&container), number, protocol });
            }
        }
    }
    Ok(all)
}

fn name_of(container: &ContainerSummary) -> String {
    let names = container.names.iter().flatten();
    names.map(|name| name.trim_start_matches('/')).next().unwrap_or_default().to_owned()
}
