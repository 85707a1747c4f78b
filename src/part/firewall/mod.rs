//! The ports that answer, and the guard that keeps Docker's published ports behind them.

mod host;
mod vars;

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use serde::Serialize;

use super::build::{Builder, Contributions, LetIn, Package};
use super::{Network, PartKind, Parts};
use crate::failure::Failure;
use crate::resource::{self, Content, File, FirewallPort, Id, Owner, Transport};
use crate::spec::{Group, PartSpec, Probe, ProbeKind};

pub use vars::{Firewall, OpenPort, Port, Protocol, open_ports};
pub(super) use vars::{SSH_PORT, holder_of};

#[derive(Serialize)]
struct Guard<'a> {
    interfaces: &'a [String],
    allow: Vec<GuardPort>,
    let_in: Vec<GuardProtocol>,
}

/// A protocol without ports that the firewall lets in from one address.
#[derive(Serialize)]
struct GuardProtocol {
    protocol: u8,
    from: IpAddr,
}

#[derive(Serialize)]
struct GuardPort {
    number: u16,
    protocol: Protocol,
    /// With the length of its prefix, also for one address: as iptables lists it.
    from: Option<String>,
}

/// The family of addresses that a file of ufw's is for.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    V4,
    V6,
}

pub(super) const KIND: PartKind = PartKind {
    name: "firewall",
    roles: &[],
    parts: Parts::One,
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Firewall),
    contribute: |_, offered| {
        offered.add_package(Package::new("ufw"));
    },
    describe: |_, _, spec| describe(spec),
    declare,
};

fn describe(spec: &mut PartSpec) {
    spec.probes = vec![Probe {
        name: "firewall".to_owned(),
        group: Group::Firewall,
        kind: ProbeKind::Driver,
    }];
}

fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let mut open = open_ports(builder.vars);
    open.extend(offered.open_ports.iter().map(|offer| OpenPort::of_part(&offer.value)));
    let mut ports: Vec<FirewallPort> = open.iter().map(firewall_port).collect();
    for number in builder.facts.ssh_ports.iter().copied() {
        ports.extend(ssh_port(builder, &open, number)?);
    }
    let inputs = vec![
        guard(builder, (&open, &offered.let_in), "after.rules", Family::V4)?,
        guard(builder, (&open, &offered.let_in), "after6.rules", Family::V6)?,
    ];
    let exclusive = builder.vars.get::<Firewall>().exclusive;
    // A set: each port once, and always in the same order.
    let allow: BTreeSet<FirewallPort> = ports.into_iter().collect();
    builder.add(resource::Firewall { allow: allow.into_iter().collect(), exclusive, inputs });
    Ok(())
}

fn firewall_port(open: &OpenPort) -> FirewallPort {
    let protocol = match open.port.protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
    };
    let from = open.from.as_ref().map(|from| from.net().trunc());
    let comment = open.comment.clone();
    FirewallPort { number: open.port.number, protocol, from, enough_for: None, comment }
}

/// The port of ssh, unless the inventory itself says from where it may be reached. That has to let this
/// session in.
fn ssh_port(builder: &Builder<'_>, open: &[OpenPort], number: u16) -> Result<Option<FirewallPort>> {
    let client = builder.facts.ssh_client;
    let declared = open
        .iter()
        .filter(|open| open.port.number == number && open.port.protocol == Protocol::Tcp);
    let declared: Vec<_> = declared.map(|open| open.from.as_ref()).collect();
    if declared.is_empty() {
        let port = FirewallPort::open_to_all(number, Transport::Tcp);
        return Ok(Some(FirewallPort { enough_for: client, ..port }));
    }
    let lets_in =
        |client| declared.iter().any(|from| from.is_none_or(|network| network.contains(client)));
    match client {
        Some(client) if !lets_in(client) => {
            let networks: Vec<_> = declared.iter().flatten().map(|from| from.as_str()).collect();
            let what = format!(
                "`firewall.allow` lets nobody in to ssh (port {number}) but {}, and this session comes \
                 from {client}",
                networks.join(", ")
            );
            let hint = format!("add `- {{ port: {number}, from: {client} }}` to `firewall.allow`");
            Err(Failure::usage(what).not_done("nothing was changed on the host").hint(hint).into())
        }
        _ => Ok(None),
    }
}

/// The network, unless it is all of its family.
fn narrow(open: &OpenPort) -> Option<IpNet> {
    let from = open.from.as_ref()?.net().trunc();
    (from.prefix_len() > 0).then_some(from)
}

/// The guard in one of the files that ufw loads after its own rules.
fn guard(
    builder: &mut Builder<'_>,
    (open, let_in): (&[OpenPort], &[LetIn]),
    name: &str,
    family: Family,
) -> Result<Id> {
    let is_of_family = |open: &&OpenPort| match open.from.as_ref().map(Network::net) {
        None => true,
        Some(IpNet::V4(_)) => family == Family::V4,
        Some(IpNet::V6(_)) => family == Family::V6,
    };
    let allow = open.iter().filter(is_of_family).map(|open| GuardPort {
        number: open.port.number,
        protocol: open.port.protocol,
        from: narrow(open).map(|from| from.to_string()),
    });
    let let_in = let_in
        .iter()
        .filter(|let_in| let_in.from.is_ipv4() == (family == Family::V4))
        .map(|let_in| GuardProtocol { protocol: let_in.protocol, from: let_in.from });
    let interfaces = &builder.facts.interfaces;
    let guard = Guard { interfaces, allow: allow.collect(), let_in: let_in.collect() };
    let text = builder.templates.render_text("ufw/after.rules", &guard)?;
    Ok(builder.add(File::new(
        format!("/etc/ufw/{name}"),
        Content::Block { marker: "hwctl".to_owned(), text },
        0o640,
        Owner::root(),
    )))
}
