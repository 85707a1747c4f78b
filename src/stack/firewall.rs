//! The ports that answer, and the guard that keeps Docker's published ports behind them.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;

use super::Builder;
use crate::inventory::{Port, Protocol};
use crate::resource::{Content, File, Firewall, FirewallPort, Id, Owner, Transport};

#[derive(Serialize)]
struct Guard {
    allow: Vec<GuardPort>,
}

#[derive(Serialize)]
struct GuardPort {
    number: u16,
    protocol: &'static str,
}

pub(super) fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let ssh = builder.facts.ssh_ports.iter();
    let ssh = ssh.map(|number| Port { number: *number, protocol: Protocol::Tcp });
    // A set: each port once, and always in the same order.
    let ports: BTreeSet<Port> = builder.vars.firewall.allow.iter().copied().chain(ssh).collect();
    let inputs = vec![guard(builder, "after.rules")?, guard(builder, "after6.rules")?];
    let allow = ports.into_iter().map(|port| FirewallPort {
        number: port.number,
        protocol: match port.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
        },
    });
    builder.add(Firewall {
        allow: allow.collect(),
        exclusive: builder.vars.firewall.exclusive,
        inputs,
    });
    Ok(())
}

/// The guard in one of the files that ufw loads after its own rules, for IPv4 and for IPv6.
fn guard(builder: &mut Builder<'_>, name: &str) -> Result<Id> {
    let allow = builder.vars.firewall.allow.iter().map(|port| GuardPort {
        number: port.number,
        protocol: match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        },
    });
    let text =
        builder.templates.render_text("ufw/after.rules", &Guard { allow: allow.collect() })?;
    Ok(builder.add(File {
        path: format!("/etc/ufw/{name}").into(),
        content: Content::Block { marker: "hwctl".to_owned(), text },
        mode: 0o640,
        owner: Owner::root(),
    }))
}
