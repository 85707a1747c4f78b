//! The ports of a container: on the host's loopback, or open to a network.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::{Value as Json, json};

use crate::inventory::schema::{Field, Key, Map, Number, Optional, Reader, Rule, Shape};
use crate::part::network::{NETWORK, Network};
use crate::resource::PublishedPort;
use crate::vars;

/// `5432`, or a map with the port inside and a network.
#[derive(Clone, Copy, Debug)]
pub(in crate::part) struct Ports;

const NUMBER: Number<u16> = Number { min: 1, max: u16::MAX };

vars! {
    /// A port of the host that leads into a container.
    pub struct PortVar {
        /// port of the host
        port: u16 = "null", NUMBER;
        /// port inside; the same where none is given
        to: Option<u16> = "null", Optional(NUMBER);
        /// network that may reach it; without one it is on the host's loopback alone
        from: Option<Network> = "null", Optional(NETWORK);
    }
}

impl Shape for Ports {
    fn expected(&self) -> String {
        "a port such as 5432, or a map such as `{ port: 5432, from: 10.0.0.0/8 }`".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "anyOf": [NUMBER.json(), Map::<PortVar>::new().json()] })
    }

    fn keys(&self) -> &'static [Key] {
        Map::<PortVar>::new().keys()
    }

    fn takes_scalar(&self) -> bool {
        true
    }
}

impl Rule for Ports {
    type Value = PortVar;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<PortVar> {
        if field.is_map() {
            return Map::new().read(reader, field);
        }
        if !field.is_number() {
            return reader.wrong(field, self.expected());
        }
        Some(PortVar { port: NUMBER.read(reader, field)?, to: None, from: None })
    }
}

/// Each port of the host with the networks that may reach it; none for one of the loopback.
pub(super) fn by_number(ports: &[PortVar]) -> BTreeMap<u16, Vec<&Network>> {
    let mut numbers: BTreeMap<u16, Vec<&Network>> = BTreeMap::new();
    for port in ports {
        numbers.entry(port.port).or_default().extend(&port.from);
    }
    numbers
}

/// The ports as Docker publishes them. A port for a network is bound to all addresses of the network's family, and
/// the firewall lets that network in and nobody else.
pub(super) fn published(ports: &[PortVar]) -> Vec<PublishedPort> {
    let mut published = Vec::new();
    for PortVar { port, to, from } in ports {
        let host_address = match from.as_ref().map(Network::net) {
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(IpNet::V4(_)) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Some(IpNet::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let (host_port, container_port) = (*port, to.unwrap_or(*port));
        let port = PublishedPort { host_address, host_port, container_port };
        if !published.contains(&port) {
            published.push(port);
        }
    }
    published
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(port: u16, to: Option<u16>, from: Option<&str>) -> PortVar {
        PortVar { port, to, from: from.map(|from| Network::parse(from).unwrap()) }
    }

    #[test]
    fn a_port_is_on_the_loopback_unless_a_network_may_reach_it() {
        let ports = [
            port(5432, None, None),
            port(80, Some(8080), Some("10.0.0.0/8")),
            port(80, Some(8080), Some("192.0.2.7")),
            port(80, Some(8080), Some("2001:db8::/32")),
        ];

        let bound: Vec<_> = published(&ports)
            .iter()
            .map(|port| format!("{} {} {}", port.host_address, port.host_port, port.container_port))
            .collect();

        assert_eq!(bound, ["127.0.0.1 5432 5432", "0.0.0.0 80 8080", ":: 80 8080"]);
        let networks: Vec<_> =
            by_number(&ports).into_iter().map(|(n, from)| (n, from.len())).collect();
        assert_eq!(networks, [(80, 3), (5432, 0)]);
    }
}
