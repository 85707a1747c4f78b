//! Prometheus: in a container, or as the distribution's package. Its configuration and its rules are the same for both,
//! and promtool has to accept them before Prometheus reads them.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::authority::{self, Kind};
use super::exporters::{self, Job, describe_unit, drop_in, looks_at_pages};
use super::gateway;
use super::host::INSTANCE;
use super::{GATEWAY_PORT, Monitoring, Source, instance, look, targets};
use crate::client::url_host;
use crate::part::build::{Builder, Contributions, HostView, Package};
use crate::part::docker::{self, Declaration};
use crate::part::{Claim, Measured, Role, Roles, Tls, roles};
use crate::resource::container::{HOST_NETWORK, NO_NETWORK};
use crate::resource::{Container, Id, Mount, MountSource, OnChange, Owner, Task, Unit};
use crate::spec::{LogFormat, PartSpec, Probe};

pub(super) const PART: &str = "prometheus";
/// It has the same path in the container, so that messages name files of the host.
pub(super) const FOLDER: &str = "/etc/hwctl/prometheus";
const CONFIGURATION: &str = "/etc/hwctl/prometheus/prometheus.yml";
const RULES: &str = "/etc/hwctl/prometheus/alerts.yml";
const CONTAINER: &str = "prometheus";
const SERVICE: &str = "prometheus.service";
/// The user and group `nobody` of the image.
const USER: &str = "65534:65534";
/// The same on the host, where Prometheus is a package: the user of files that it may read, and their group.
const KEY_OWNER: (&str, &str) = ("65534", "65534");
/// The certificate of a monitor, its key, and the authority of its peers.
const PEERS: &str = "/etc/hwctl/prometheus/fleet";
const PIDS: u32 = 256;
/// How long promtool may take, in seconds.
const CHECK_TIMEOUT_S: u32 = 60;

#[derive(Serialize)]
struct Configuration<'a> {
    folder: &'a str,
    instance: &'a str,
    port: u16,
    interval: u16,
    jobs: Vec<Job>,
    pages: Option<u16>,
    peers: Vec<Peer<'a>>,
}

/// A host of the fleet that a monitor collects from.
#[derive(Serialize)]
struct Peer<'a> {
    name: &'a str,
    /// Where its gateway is, as in URLs.
    target: String,
    /// The name in its certificate.
    server_name: String,
    jobs: &'a [&'static str],
}

#[derive(Serialize)]
struct Rules<'a> {
    instance: &'a str,
    has_peers: bool,
    /// A certificate is renewed by itself with so many days left; one with fewer was not.
    certificate_days: u16,
}

#[derive(Serialize)]
struct Service<'a> {
    command: String,
    memory_mib: u32,
    /// The group that may read the key of a monitor.
    key_group: Option<&'a str>,
}

pub(super) fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    let monitoring = view.vars.get::<Monitoring>();
    let place =
        |key: &str| view.place(&["monitoring", key]).or_else(|| view.place(&["monitoring"]));
    offered.add_port(monitoring.port, place("port"));
    offered.add_claim(Claim::Name(PART.to_owned()), place("enabled"));
    if exporters::has_web(view.roles()) {
        offered.add_port(GATEWAY_PORT, place("enabled"));
        offered.metrics_port = Some(GATEWAY_PORT);
    }
    match monitoring.source {
        Source::Package => offered.add_package(Package::new("prometheus")),
        Source::Container => {
            let volume = (monitoring.volume.clone(), place("volume"));
            let container = (CONTAINER, place("enabled"));
            docker::contribute(view, offered, container, std::iter::once(volume));
        }
    }
}

pub(super) fn describe(view: &HostView<'_>, offered: &Contributions, spec: &mut PartSpec) {
    let monitoring = view.vars.get::<Monitoring>();
    spec.private_ports = vec![monitoring.port];
    if exporters::has_web(view.roles()) {
        spec.private_ports.push(GATEWAY_PORT);
    }
    match monitoring.source {
        Source::Package => {
            spec.probes = vec![Probe::unit(SERVICE)];
            describe_unit(spec, SERVICE);
        }
        Source::Container => {
            docker::describe(spec, offered, (PART, CONTAINER), LogFormat::Plain);
            spec.probes.push(docker::probe(CONTAINER));
        }
    }
    spec.probes.push(look("targets of Prometheus"));
    let is_other = |peer: &roles::Peer| view.entry.is_none_or(|entry| entry.name != peer.name);
    let has_peers = view.fleet.hosts.iter().any(|it| it.measured.is_some() && is_other(it));
    if view.roles().contains(&Role::Monitor) && has_peers {
        spec.probes.push(gateway::certificate(PEERS, PART));
    }
    spec.settings.insert("port".to_owned(), monitoring.port.to_string());
    if let Some(entry) = view.entry {
        spec.settings.insert(INSTANCE.to_owned(), entry.name.clone());
    }
}

pub(super) fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(FOLDER, 0o755);
    targets::declare(offered, builder)?;
    if looks_at_pages(builder.vars) {
        targets::declare_pages(offered, builder)?;
    }
    let mut inputs = vec![rules(builder)?, configuration(builder)?];
    inputs.extend(identity(builder)?);
    match builder.vars.get::<Monitoring>().source {
        Source::Package => package(builder, inputs),
        Source::Container => container(builder, inputs),
    }
}

fn rules(builder: &mut Builder<'_>) -> Result<Id> {
    let renewed = builder.vars.get::<Tls>().renew_before;
    let (instance, has_peers) = (instance(builder), !peers(builder).is_empty());
    let rules = Rules { instance, has_peers, certificate_days: renewed / 2 };
    builder.file(RULES, "prometheus/alerts.yml", &rules)
}

fn configuration(builder: &mut Builder<'_>) -> Result<Id> {
    let (vars, instance) = (builder.vars, instance(builder));
    let pages = exporters::of(exporters::PAGES).port;
    let configuration = Configuration {
        folder: FOLDER,
        instance,
        port: vars.get::<Monitoring>().port,
        interval: vars.get::<Monitoring>().interval,
        jobs: exporters::jobs(&vars.get::<Roles>().0, vars).collect(),
        pages: looks_at_pages(vars).then_some(pages),
        peers: peers(builder),
    };
    builder.file(CONFIGURATION, "prometheus/prometheus.yml", &configuration)
}

/// The hosts that this one collects from. None unless it is a monitor.
fn peers<'a>(builder: &Builder<'a>) -> Vec<Peer<'a>> {
    let is_monitor = builder.vars.get::<Roles>().0.contains(&Role::Monitor);
    let own = instance(builder);
    let others = builder.fleet.hosts.iter().filter(|peer| is_monitor && peer.name != own);
    let peer = |peer: &'a roles::Peer| {
        let Measured { address, port, jobs } = peer.measured.as_ref()?;
        let (target, server_name) =
            (format!("{}:{port}", url_host(address)), authority::name(&peer.name));
        Some(Peer { name: &peer.name, target, server_name, jobs })
    };
    others.filter_map(peer).collect()
}

/// The certificate that a monitor shows to its peers.
fn identity(builder: &mut Builder<'_>) -> Result<Vec<Id>> {
    if peers(builder).is_empty() {
        return Ok(Vec::new());
    }
    builder.directory(PEERS, 0o755);
    gateway::identity(builder, Kind::Monitor, (PEERS, Owner::new(KEY_OWNER.0, KEY_OWNER.1), 0o440))
}

/// The arguments of Prometheus, whose data is in this folder.
fn arguments(builder: &Builder<'_>, data: &str) -> Vec<String> {
    let Monitoring { port, retention, retention_size, .. } = builder.vars.get();
    vec![
        format!("--config.file={CONFIGURATION}"),
        format!("--storage.tsdb.path={data}"),
        format!("--storage.tsdb.retention.time={retention}"),
        format!("--storage.tsdb.retention.size={retention_size}"),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]
}

fn package(builder: &mut Builder<'_>, mut inputs: Vec<Id>) -> Result<()> {
    let words = [
        vec!["/usr/bin/prometheus".to_owned()],
        arguments(builder, "/var/lib/prometheus/metrics2/"),
    ];
    let memory_mib = builder.vars.get::<Monitoring>().memory;
    let key_group = (!peers(builder).is_empty()).then_some(KEY_OWNER.1);
    let service = Service { command: words.concat().join(" "), memory_mib, key_group };
    inputs.push(builder.add(check(inputs.clone(), None)));
    inputs.push(drop_in(builder, SERVICE, "systemd/prometheus.service.conf", &service)?);
    let unit = Unit::new(SERVICE, inputs, OnChange::Restart);
    builder.add(Unit { ports: vec![builder.vars.get::<Monitoring>().port], ..unit });
    Ok(())
}

fn container(builder: &mut Builder<'_>, inputs: Vec<Id>) -> Result<()> {
    docker::declare(builder)?;
    let Monitoring { image, image_archive, volume, memory, .. } = builder.vars.get();
    let container = Container {
        command: arguments(builder, "/prometheus"),
        user: Some(USER.to_owned()),
        mounts: vec![
            Mount::read_only(MountSource::Path(FOLDER.into()), FOLDER),
            Mount::new(MountSource::Volume(volume.clone()), "/prometheus"),
        ],
        tmpfs: vec!["/tmp".into()],
        // On the host's own loopback, where the exporters are.
        networks: vec![HOST_NETWORK.to_owned()],
        inputs,
        variable: Some("monitoring".to_owned()),
        ..Container::new(CONTAINER, image, (*memory, PIDS))
    };
    let archive = image_archive.clone();
    let declaration = Declaration { container, archive, login: None, series: None };
    let mut container = docker::add_needs(builder, declaration)?;
    let checked = check(container.inputs.clone(), Some(container.clone()));
    container.inputs.push(builder.add(checked));
    builder.add(container);
    Ok(())
}

/// Has promtool look at configuration and rules: on the host, or in a container like that of Prometheus.
fn check(inputs: Vec<Id>, container: Option<Container>) -> Task {
    let name = "prometheus-check";
    let container = container.map(|container| {
        Box::new(Container {
            name: name.to_owned(),
            networks: vec![NO_NETWORK.to_owned()],
            ..container
        })
    });
    Task {
        name: name.to_owned(),
        command: ["promtool", "check", "config", CONFIGURATION].map(str::to_owned).into(),
        user: "nobody".to_owned(),
        folder: PathBuf::from("/"),
        environment: None,
        writable: Vec::new(),
        inputs,
        timeout_s: CHECK_TIMEOUT_S,
        state: None,
        stands_alone: false,
        container,
    }
}
