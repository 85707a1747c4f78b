//! Grafana behind nginx: its settings, its data source and its dashboards are files that hwctl writes.

use anyhow::Result;
use serde::Serialize;

use super::{Grafana, Monitoring, dashboards, look};
use crate::client::url_host;
use crate::inventory::schema::Users;
use crate::part::Claim;
use crate::part::build::{Builder, Card, Contributions, HostView, Route, RouteTarget, Upstream};
use crate::part::docker::{self, Declaration};
use crate::part::nginx::guarded_question;
use crate::resource::container::HOST_NETWORK;
use crate::resource::{
    Container, Content, File, Health, HealthAddress, Id, Mount, MountSource, Owner, Part,
};
use crate::spec::{LogFormat, PartSpec};

pub(super) const PART: &str = "grafana";
/// The host's secret that is the first password of Grafana's user `admin`.
pub const GRAFANA_PASSWORD: &str = "grafana-password";
const FOLDER: &str = "/etc/hwctl/grafana";
const PASSWORD: &str = "/etc/hwctl/grafana/admin-password";
const CONTAINER: &str = "grafana";
/// The path that clients have. Grafana knows it, and so makes the right links.
const PATH: &str = "/grafana";
/// The user `grafana` of the image, and its group.
const USER: (&str, &str) = ("472", "0");
const PIDS: u32 = 256;
/// How long the first start may take, which makes the database, in seconds.
const START_TIMEOUT_S: u16 = 120;

#[derive(Serialize)]
struct Settings<'a> {
    port: u16,
    path: &'a str,
    /// What the host is called, as in URLs; the first is for links.
    names: Vec<String>,
}

#[derive(Serialize)]
struct Sources {
    prometheus_port: u16,
    interval: u16,
}

fn of(monitoring: &Monitoring) -> &Grafana {
    monitoring.grafana.as_ref().expect("the part is there only with its variable")
}

pub(super) fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    let Grafana { port, volume, allow, .. } = of(view.vars.get());
    let place = |key: &str| {
        let whole = || view.place(&["monitoring", "grafana"]);
        view.place(&["monitoring", "grafana", key]).or_else(whole)
    };
    offered.add_port(*port, place("port"));
    offered.add_claim(Claim::Name(PART.to_owned()), place("image"));
    let volume = (volume.clone(), place("volume"));
    docker::contribute(view, offered, (CONTAINER, place("image")), std::iter::once(volume));
    let upstream = Upstream {
        is_websocket: true,
        has_own_policy: true,
        read_timeout_s: 60,
        allow: allow.clone(),
        ..Upstream::at(format!("127.0.0.1:{port}"))
    };
    let page = Some(format!("{PATH}/"));
    let card = Card::new("Grafana", Some("What is measured here.".to_owned()));
    let card = Card { page, ..card };
    let route = Route::new(PART, PATH, RouteTarget::Application(upstream));
    offered.add_route(Route { card: Some(card), ..route }, place("image"));
}

pub(super) fn describe(view: &HostView<'_>, offered: &Contributions, spec: &mut PartSpec) {
    let Grafana { port, allow, .. } = of(view.vars.get());
    spec.requires = vec!["prometheus".to_owned()];
    spec.private_ports = vec![*port];
    docker::describe(spec, offered, (PART, CONTAINER), LogFormat::Driver("monitoring".to_owned()));
    spec.probes.extend([docker::probe(CONTAINER), look("health of Grafana")]);
    let guard = (allow.as_slice(), &Users::nobody());
    spec.questions = vec![guarded_question(&format!("{PATH}/login"), &[200], guard, view.facts)];
    spec.settings.insert("port".to_owned(), port.to_string());
}

pub(super) fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let Monitoring { port: prometheus_port, interval, .. } = *builder.vars.get::<Monitoring>();
    let Grafana { port, .. } = *of(builder.vars.get());
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(FOLDER, 0o755);
    let kinds = ["", "/alerting", "/dashboards", "/datasources", "/plugins"];
    // Grafana complains in its log about each that is missing.
    for folder in kinds.map(|kind| format!("provisioning{kind}")) {
        builder.directory(format!("{FOLDER}/{folder}"), 0o755);
    }
    builder.directory(format!("{FOLDER}/dashboards"), 0o755);
    let names = offered.names.certificate.iter().map(|name| url_host(name)).collect();
    let settings = Settings { port, path: PATH, names };
    let sources = Sources { prometheus_port, interval };
    let at = |name: &str| format!("{FOLDER}/{name}");
    let inputs = vec![
        password(builder)?,
        builder.file(at("grafana.ini"), "grafana/grafana.ini", &settings)?,
        builder.file(
            at("provisioning/datasources/hwctl.yaml"),
            "grafana/datasources.yaml",
            &sources,
        )?,
        builder.file(
            at("provisioning/dashboards/hwctl.yaml"),
            "grafana/dashboards.yaml",
            &sources,
        )?,
    ];
    // Grafana reads dashboards again by itself when their files change.
    for dashboard in dashboards::all() {
        let text = serde_json::to_string_pretty(&dashboard.json())? + "\n";
        builder.add(File::text(at(&format!("dashboards/{}.json", dashboard.name)), text));
    }
    docker::declare(builder)?;
    let container = container(of(builder.vars.get()), inputs);
    let archive = of(builder.vars.get()).image_archive.clone();
    docker::add_container(builder, Declaration { container, archive, login: None, series: None })
}

/// The first password in a file that Grafana alone reads.
fn password(builder: &mut Builder<'_>) -> Result<Id> {
    let part = match &of(builder.vars.get()).password {
        None => {
            builder.host_secret(GRAFANA_PASSWORD, 16)?;
            Part::HostSecret(GRAFANA_PASSWORD.to_owned())
        }
        Some(password) => {
            let value = builder.reveal(password)?;
            Part::Secret { name: password.path().to_owned(), value }
        }
    };
    let owner = Owner::new(USER.0, USER.1);
    Ok(builder.add(File::new(PASSWORD, Content::Parts(vec![part]), 0o400, owner)))
}

fn container(grafana: &Grafana, inputs: Vec<Id>) -> Container {
    let health = Health {
        address: HealthAddress::Port(grafana.port),
        path: format!("{PATH}/api/health"),
        timeout_s: START_TIMEOUT_S,
    };
    Container {
        user: Some(format!("{}:{}", USER.0, USER.1)),
        mounts: vec![
            Mount::read_only(MountSource::Path(FOLDER.into()), "/etc/grafana"),
            Mount::new(MountSource::Volume(grafana.volume.clone()), "/var/lib/grafana"),
        ],
        tmpfs: vec!["/tmp".into(), "/var/log/grafana".into()],
        // On the host's own loopback, where Prometheus is.
        networks: vec![HOST_NETWORK.to_owned()],
        inputs,
        variable: Some("monitoring.grafana".to_owned()),
        health: Some(Box::new(health)),
        ..Container::new(CONTAINER, &grafana.image, (grafana.memory, PIDS))
    }
}
