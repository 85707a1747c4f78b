//! Other firewalls on the host. Next to one of them ufw opens nothing, or loses its rules at the next boot,
//! so a plan refuses it by name. What only bans single addresses, such as fail2ban, is no obstacle.

mod iptables;
mod nft;

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::kernel::listing;
use super::{FirewallPort, Transport};
use crate::resource::host::Host;
use crate::resource::host::interfaces::outer_interfaces;
use crate::resource::host::units::unit_is_on;
use crate::resource::model::hint::Hint;

/// A service that sets up a firewall of its own.
struct Service {
    unit: &'static str,
    name: &'static str,
    /// What it does to the rules of ufw.
    why: &'static str,
}

const SERVICES: [Service; 9] = [
    service("firewalld.service", "firewalld", CLOSES),
    service("nftables.service", "nftables", FLUSHES),
    service("netfilter-persistent.service", "netfilter-persistent", FLUSHES),
    service("iptables.service", "iptables.service", FLUSHES),
    service("shorewall.service", "Shorewall", FLUSHES),
    service("ferm.service", "ferm", FLUSHES),
    service("firehol.service", "FireHOL", FLUSHES),
    service("csf.service", "csf", FLUSHES),
    service("arno-iptables-firewall.service", "arno-iptables-firewall", FLUSHES),
];

const CLOSES: &str = "it closes the ports that ufw opens";
const FLUSHES: &str = "it removes the rules of ufw when it starts";

/// What `netfilter-persistent` loads. Without these files it changes nothing.
const SAVED: [&str; 2] = ["/etc/iptables/rules.v4", "/etc/iptables/rules.v6"];
/// Where packages and administrators put units.
const UNITS: [&str; 3] = ["/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system"];

const fn service(unit: &'static str, name: &'static str, why: &'static str) -> Service {
    Service { unit, name, why }
}

/// A new TCP connection from anywhere.
#[derive(Clone, Copy)]
struct Packet<'a> {
    /// The interface by which it comes in.
    interface: &'a str,
    port: u16,
}

/// What a firewall does with such a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    /// By a rule or policy that is shown so.
    Dropped(String),
    /// The chain ends without a decision.
    Undecided,
}

/// Says which units will be asked about: those that the host has.
pub(super) fn expect(host: &Host) {
    installed(host).for_each(|service| host.expect_unit(service.unit));
}

fn installed(host: &Host) -> impl Iterator<Item = &'static Service> {
    let exists =
        |unit: &str| UNITS.iter().any(|folder| host.path(&Path::new(folder).join(unit)).exists());
    SERVICES.iter().filter(move |service| exists(service.unit))
}

/// Refuses a host that has another firewall.
pub(super) async fn require_none(allow: &[FirewallPort], host: &Host) -> Result<()> {
    for service in installed(host) {
        if has_rules(service, host) && unit_is_on(host, service.unit).await? {
            return Err(refusal(service));
        }
    }
    let listing = listing(host).await?;
    let interfaces = outer_interfaces(host).await?;
    let ports = allow.iter().filter(|port| port.protocol == Transport::Tcp && port.from.is_none());
    let packets = ports.flat_map(|port| {
        interfaces.iter().map(|interface| Packet { interface, port: port.number })
    });
    for packet in packets {
        let judged = [
            iptables::judge(&listing.v4, packet),
            iptables::judge(&listing.v6, packet),
            nft::judge(&listing.nft, packet),
        ];
        let dropped = judged.into_iter().find_map(|verdict| match verdict {
            Verdict::Dropped(rule) => Some(rule),
            _ => None,
        });
        if let Some(rule) = dropped {
            return Err(in_the_way(packet.port, &rule));
        }
    }
    Ok(())
}

/// Whether a service that loads saved rules has any.
fn has_rules(service: &Service, host: &Host) -> bool {
    service.unit != "netfilter-persistent.service"
        || SAVED.iter().any(|path| {
            let text = fs::read_to_string(host.path(Path::new(path))).unwrap_or_default();
            text.lines().any(|line| line.trim() == "*filter")
        })
}

fn refusal(service: &Service) -> anyhow::Error {
    let Service { unit, name, why } = service;
    anyhow!("{why}").context(format!("`{name}` is another firewall on this host")).context(Hint(
        format!(
            "`--skip firewall` leaves the host's firewall to you. To let hwctl set up ufw instead, \
             run `systemctl disable --now {unit}` on the host first"
        ),
    ))
}

fn in_the_way(port: u16, rule: &str) -> anyhow::Error {
    anyhow!("`{rule}` drops new connections to port {port}")
        .context("another firewall is active on this host")
        .context(Hint(
            "`--skip firewall` leaves the host's firewall to you. To let hwctl set up ufw instead, \
             remove those rules and what loads them first"
                .to_owned(),
        ))
}
