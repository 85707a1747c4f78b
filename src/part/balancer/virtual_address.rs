//! The address that the balancers of a pool share: keepalived gives it to one whose HAProxy answers.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::{Balancing, FOLDER, SERVICE as BALANCER};
use crate::failure::Failure;
use crate::part::Side;
use crate::part::build::{Builder, Contributions, HostView, LetIn, Package};
use crate::resource::{Content, File, OnChange, Owner, Unit};
use crate::spec::{
    Group, Log, LogFormat, LogSource, PartSpec, Probe, ProbeKind, Restart, RestartMethod,
};

pub(super) const PART: &str = "virtual-address";
pub(super) const SERVICE: &str = "hwctl-virtual-address.service";
/// The look at who has the address, and the setting with the address.
pub(super) const ADDRESS: &str = "virtual address";
const CONFIGURATION: &str = "/etc/hwctl/balancer/keepalived.conf";
/// The number of VRRP among the protocols of IP.
/// <https://www.iana.org/assignments/protocol-numbers/protocol-numbers.xhtml>
const VRRP: u8 = 112;
/// The priority of the balancer that stands first in the inventory; 255 is for the owner of the address.
const FIRST_PRIORITY: usize = 200;

/// What a balancer has to know to share an address.
pub(super) struct Shared {
    /// The shared address with the length of its network.
    address: String,
    /// The shared address alone.
    bare: IpAddr,
    /// Where this balancer speaks to the others from.
    source: IpAddr,
    /// The addresses of the other balancers.
    peers: Vec<IpAddr>,
    priority: usize,
}

/// What the host shares, where it is a balancer that shares an address.
pub(super) fn of(view: &HostView<'_>) -> Option<Shared> {
    let own = &view.entry?.name;
    let Side::Balancer { source, shared: Some(shared), .. } = &view.fleet.pooled(own)?.side else {
        return None;
    };
    let balancers: Vec<(&str, IpAddr)> = view
        .fleet
        .pool_of(own)
        .filter_map(|(peer, side)| match side {
            Side::Balancer { source, .. } => Some((peer.name.as_str(), *source)),
            Side::Web { .. } => None,
        })
        .collect();
    let place = balancers.iter().position(|(name, _)| name == own).unwrap_or_default();
    let others = balancers.iter().filter(|(name, _)| name != own);
    Some(Shared {
        address: shared.net().to_string(),
        bare: shared.net().addr(),
        source: *source,
        peers: others.map(|(_, source)| *source).collect(),
        priority: FIRST_PRIORITY.saturating_sub(place).max(1),
    })
}

pub(super) fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    offered.add_package(Package::new("keepalived"));
    for from in of(view).into_iter().flat_map(|shared| shared.peers) {
        offered.let_in(LetIn { protocol: VRRP, from });
    }
}

pub(super) fn describe(view: &HostView<'_>, spec: &mut PartSpec) {
    let Some(shared) = of(view) else { return };
    spec.requires = vec![super::PART.to_owned()];
    spec.settings.insert(ADDRESS.to_owned(), shared.bare.to_string());
    let probe = Probe { name: ADDRESS.to_owned(), group: Group::Service, kind: ProbeKind::Driver };
    spec.probes = vec![Probe::unit(SERVICE), probe];
    let log = LogSource::Unit(SERVICE.to_owned());
    spec.logs = vec![Log { name: PART.to_owned(), source: log.clone(), format: LogFormat::Plain }];
    spec.restarts = vec![Restart {
        name: PART.to_owned(),
        label: "keepalived".to_owned(),
        method: RestartMethod::Unit(SERVICE.to_owned()),
        // All balancers at once would leave nobody with the address for a moment.
        in_all: false,
        log,
    }];
}

#[derive(Serialize)]
struct Context<'a> {
    configuration: &'a str,
    binary: &'a Path,
    balancer: &'a str,
    interface: String,
    address: String,
    router: u8,
    priority: usize,
    source: IpAddr,
    peers: Vec<IpAddr>,
}

pub(super) fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let view = builder.view();
    let Some(shared) = of(&view) else { return Ok(()) };
    let interface = interface(&view)?;
    let binary = builder.own_hwctl()?;
    let context = Context {
        configuration: CONFIGURATION,
        binary: &binary,
        balancer: BALANCER,
        interface,
        address: shared.address,
        router: router(shared.bare),
        priority: shared.priority,
        source: shared.source,
        peers: shared.peers,
    };
    builder.shared_directory(FOLDER, 0o755)?;
    // Not among what the unit reads: a reload takes up the configuration, and the address stays where it is.
    builder.file(
        format!("/etc/systemd/system/{SERVICE}"),
        &format!("systemd/{SERVICE}"),
        &context,
    )?;
    let text = builder.templates.render_text("keepalived/keepalived.conf", &context)?;
    let file = File::new(CONFIGURATION, Content::text(text), 0o644, Owner::root());
    let validate =
        ["/usr/sbin/keepalived", "--config-test", "--use-file", "%s"].map(str::to_owned).into();
    let file = builder.add(File { validate, ..file });
    builder.add(Unit::new(SERVICE, vec![file], OnChange::Reload));
    Ok(())
}

/// The interface that gets the address.
fn interface(view: &HostView<'_>) -> Result<String, Failure> {
    let named = view.vars.get::<Balancing>().interface.as_ref();
    let known = view.facts.interfaces.as_slice();
    let (what, key) = match (named, known) {
        (Some(named), []) => return Ok(named.clone()),
        (Some(named), _) if known.contains(named) => return Ok(named.clone()),
        (Some(named), _) => (format!("the host has no network interface `{named}`"), "interface"),
        // Nothing is known of the host yet.
        (None, []) => return Ok(String::new()),
        (None, [only]) => return Ok(only.clone()),
        (None, several) => {
            let count = several.len();
            let what = format!(
                "the host has {count} network interfaces, and one is to have the shared address"
            );
            (what, "virtual_address")
        }
    };
    let place = view.place(&["balancer", key]).map(|place| format!(" ({place})"));
    let what = format!("{what}{}", place.unwrap_or_default());
    let hint = format!("set `balancer.interface` of this host to one of {}", known.join(", "));
    Err(Failure::usage(what).not_done("nothing was changed on the host").hint(hint))
}

/// The number that keepalived knows the shared address by: its last byte, as nearly everybody has it.
fn router(address: IpAddr) -> u8 {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    last.max(1)
}
