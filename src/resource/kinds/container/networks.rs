//! The Docker networks of a container. Docker takes the first one when the container is made; the others are joined
//! before it starts, since Docker before version 25 takes no more than one.

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::models::{ContainerInspectResponse, NetworkConnectRequest};

use crate::resource::host::docker::said;

/// The network of the host itself, which Docker has by this name. A container in it is in no other.
pub const HOST_NETWORK: &str = "host";
/// A network with nothing but a loopback of its own, which Docker has by this name.
pub const NO_NETWORK: &str = "none";
/// Networks that Docker itself has.
pub const OWN_NETWORKS: [&str; 2] = [HOST_NETWORK, NO_NETWORK];

/// The network that a container is in unless it is told otherwise.
const DEFAULT: [&str; 2] = ["bridge", "default"];

/// Joins the networks after the first one.
pub(super) async fn join_others(docker: &Docker, name: &str, networks: &[String]) -> Result<()> {
    for network in networks.iter().skip(1) {
        let request = NetworkConnectRequest { container: name.to_owned(), endpoint_config: None };
        docker
            .connect_network(network, request)
            .await
            .map_err(said)
            .with_context(|| format!("join the network `{network}`"))?;
    }
    Ok(())
}

/// The networks that a container is in: the one that it was made with first, then the others by name. Without Docker's
/// default one.
pub(super) fn of(inspected: &ContainerInspectResponse) -> Vec<String> {
    let settings = inspected.network_settings.as_ref();
    let joined = settings.and_then(|settings| settings.networks.as_ref());
    let mut networks: Vec<_> = joined.into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let first = inspected.host_config.as_ref().and_then(|config| config.network_mode.clone());
    networks.sort_by_key(|name| (Some(name) != first.as_ref(), name.clone()));
    networks.retain(|name| !DEFAULT.contains(&name.as_str()));
    networks
}
