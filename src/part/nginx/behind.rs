//! nginx behind balancers: a port of its own for their connections, which tell the client's address.

use serde::Serialize;

use crate::inventory::InventoryHost;
use crate::part::build::{Contributions, HostView, OpenTo};
use crate::part::{Fleet, Network, Side};
use crate::spec::PartSpec;

/// How balancers reach this host.
#[derive(Serialize)]
pub(super) struct Behind {
    /// The port that speaks the PROXY protocol.
    pub(super) port: u16,
    /// The addresses that are believed what they say of clients.
    balancers: Vec<String>,
}

/// How balancers reach a host, where it is behind some.
pub(super) fn of(fleet: &Fleet, entry: Option<&InventoryHost>) -> Option<Behind> {
    let name = &entry?.name;
    let Side::Web { port, .. } = fleet.pooled(name)?.side else { return None };
    let balancers = fleet.balancers_of(name).map(|(_, source)| source.to_string()).collect();
    Some(Behind { port, balancers })
}

pub(super) fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    let Some(Behind { port, balancers }) = of(view.fleet, view.entry) else { return };
    let place = || view.place(&["balancer", "port"]);
    offered.add_port(port, place());
    for from in balancers.iter().filter_map(|address| Network::parse(address)) {
        offered.open_port(OpenTo { port, from }, place());
    }
}

pub(super) fn describe(view: &HostView<'_>, spec: &mut PartSpec) {
    let Some(Behind { port, balancers }) = of(view.fleet, view.entry) else { return };
    // Whoever works on the host from a balancer may see the port, and nobody else.
    let is_balancer =
        view.facts.ssh_client.is_some_and(|client| balancers.contains(&client.to_string()));
    match is_balancer {
        true => spec.open_ports.push(port),
        false => spec.private_ports.push(port),
    }
}
