//! What shows the exporters of a host to the monitor of its fleet: a small nginx of its own, over TLS with certificates on
//! both sides. The host's web server, where it has one, knows nothing of it.

use std::time::SystemTime;

use anyhow::Result;
use serde::Serialize;

use super::authority::{Authority, Identity, Kind, MIN_DAYS, MIN_KEY};
use super::exporters::{self, Job, describe_unit};
use super::{Monitoring, instance};
use crate::failure::Failure;
use crate::part::build::{Builder, Contributions, HostView, OpenTo, Package};
use crate::part::{Claim, Network, Role, Roles};
use crate::resource::{Content, File, Id, OnChange, Owner, Part, Secret, Unit};
use crate::spec::{Group, PartSpec, Probe, ProbeKind};

pub(super) const PART: &str = "metrics-gateway";
const SERVICE: &str = "hwctl-metrics.service";
const FOLDER: &str = "/etc/hwctl/metrics-gateway";
const NGINX: &str = "nginx.service";

#[derive(Serialize)]
struct Gateway<'a> {
    folder: &'a str,
    port: u16,
    ipv6: bool,
    monitors: Vec<&'a str>,
    shown: Vec<Job>,
    prometheus_port: u16,
}

/// The addresses of the monitors that collect from this host: those of its fleet other than itself.
pub(super) fn monitors<'a>(view: &HostView<'a>) -> Vec<&'a str> {
    let Some(entry) = view.entry else { return Vec::new() };
    let others = view.fleet.hosts.iter().filter(|peer| peer.name != entry.name);
    let monitors = others.filter(|peer| peer.roles.contains(&Role::Monitor));
    monitors.filter_map(|peer| peer.measured.as_ref()).map(|it| it.address.as_str()).collect()
}

pub(super) fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    let port = view.vars.get::<Monitoring>().gateway_port;
    let place = || {
        let whole = || view.place(&["monitoring"]);
        view.place(&["monitoring", "gateway_port"]).or_else(whole)
    };
    offered.add_package(Package::new("nginx"));
    offered.add_port(port, place());
    offered.add_claim(Claim::Name(PART.to_owned()), place());
    for from in monitors(view).into_iter().filter_map(Network::parse) {
        offered.open_port(OpenTo { port, from }, place());
    }
}

pub(super) fn describe(view: &HostView<'_>, spec: &mut PartSpec) {
    spec.requires = vec!["node-exporter".to_owned()];
    spec.open_ports = vec![view.vars.get::<Monitoring>().gateway_port];
    spec.probes = vec![Probe::unit(SERVICE), certificate(FOLDER, PART)];
    describe_unit(spec, SERVICE);
}

/// The look at the life of a certificate that hwctl has handed out.
pub(super) fn certificate(folder: &str, name: &str) -> Probe {
    let path = format!("{folder}/certificate.pem").into();
    let kind = ProbeKind::Certificate { path, min_days: MIN_DAYS };
    Probe { name: format!("certificate of {name}"), group: Group::Certificate, kind }
}

pub(super) fn declare(builder: &mut Builder<'_>) -> Result<()> {
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(FOLDER, 0o755);
    let view = builder.view();
    let monitoring = view.vars.get::<Monitoring>();
    let roles = &view.vars.get::<Roles>().0;
    let gateway = Gateway {
        folder: FOLDER,
        port: monitoring.gateway_port,
        ipv6: view.facts.ipv6,
        monitors: monitors(&view),
        shown: exporters::shown(roles, view.vars).collect(),
        prometheus_port: monitoring.port,
    };
    let mut inputs = identity(builder, Kind::Measured, (FOLDER, Owner::root(), 0o400))?;
    inputs.push(builder.file(
        format!("{FOLDER}/nginx.conf"),
        "monitoring/gateway.conf",
        &gateway,
    )?);
    // Not among what the unit reads: a unit with its own file is started while packages are installed, and this one runs
    // nginx. What may change in the file is in the configuration, too.
    let path = format!("/etc/systemd/system/{SERVICE}");
    builder.file(path, &format!("systemd/{SERVICE}"), &gateway)?;
    if !exporters::has_web(roles) {
        // The package starts a web server, and this host is to have none.
        let unit = Unit::new(NGINX, Vec::new(), OnChange::Restart);
        builder.add(Unit { enabled: false, active: false, ..unit });
    }
    let unit = Unit::new(SERVICE, inputs, OnChange::Restart);
    builder.add(Unit { ports: vec![monitoring.gateway_port], ..unit });
    Ok(())
}

/// Declares the certificate of this host, its key, and the certificate of the authority of the other side. `owner` and the
/// mode are those of the key.
pub(super) fn identity(
    builder: &mut Builder<'_>,
    kind: Kind,
    (folder, owner, mode): (&str, Owner, u32),
) -> Result<Vec<Id>> {
    let (others, file) = match kind {
        Kind::Monitor => (Kind::Measured, "measured.pem"),
        Kind::Measured => (Kind::Monitor, "monitors.pem"),
    };
    let Some(key) = &builder.vars.get::<Monitoring>().key else { return Ok(Vec::new()) };
    let secret = builder.reveal(key)?;
    let is_known = builder.context.passwords.has(builder.part());
    let (own, authority) = if is_known {
        require_long(&secret, key.path())?;
        let all = Authority(&secret);
        let own = all.identity(kind, instance(builder), SystemTime::now())?;
        (own, all.certificate(others)?)
    } else {
        (Identity { certificate: String::new(), key: secret }, String::new())
    };
    // The certificates are no secrets, but they follow from one, which not every verb knows.
    let content =
        |name: &str, value| Content::Parts(vec![Part::Secret { name: name.to_owned(), value }]);
    let certificate = content("the certificate of this host", Secret::new(own.certificate));
    let authority = content("the certificate of the authority", Secret::new(authority));
    let own_key = content("the key of this host", own.key);
    let mut add = |name: &str, content, mode, owner| {
        builder.add(File::new(format!("{folder}/{name}"), content, mode, owner))
    };
    Ok(vec![
        add("certificate.pem", certificate, 0o644, Owner::root()),
        add(file, authority, 0o644, Owner::root()),
        add("key.pem", own_key, mode, owner),
    ])
}

fn require_long(key: &Secret, path: &str) -> Result<(), Failure> {
    if key.expose().len() >= MIN_KEY {
        return Ok(());
    }
    let what = format!("`{path}` is too short: it takes {MIN_KEY} characters or more");
    let why = "all certificates of the monitor and its peers follow from it";
    Err(Failure::usage(what).why(why).hint("`openssl rand -hex 32` makes a good one"))
}
