//! nginx: the site `homework` in front of everything.

mod behind;
mod context;
mod host;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use context::{Application, Homework, application};

use super::build::{
    Builder, CertificateAt, Contributions, Nothing, Offer, Package, Route, RouteTarget, Slot,
    Upstream,
};
use super::{Network, PartKind, Parts, Role};
use crate::inventory::schema::Users;
use crate::resource::{Absent, Facts, Id, Link, OnChange, Unit, Version};
use crate::spec::{
    Endpoint, Group, Log, LogFormat, LogSource, PartSpec, Pin, Probe, ProbeKind, Question, Restart,
    RestartMethod, Wanted,
};

/// The ports of HTTP and of HTTPS.
const PORTS: [u16; 2] = [80, 443];
/// Before this version `http2` is an option of `listen`.
const HTTP2_DIRECTIVE: Version = Version(1, 25, 1);
/// From this version on a reload can leave kept connections open for a while.
const KEEPALIVE_MIN_TIMEOUT: Version = Version(1, 27, 4);

/// The version of each release, for a host whose facts do not tell it.
const RELEASES: [(&str, &str, Version); 6] = [
    ("debian", "12", Version(1, 22, 1)),
    ("debian", "13", Version(1, 26, 3)),
    ("ubuntu", "22.04", Version(1, 18, 0)),
    ("ubuntu", "24.04", Version(1, 24, 0)),
    ("ubuntu", "25.04", Version(1, 26, 3)),
    ("ubuntu", "25.10", Version(1, 28, 0)),
];

/// The upstreams that change with each version of an application.
const UPSTREAMS: &str = "/etc/nginx/upstreams";

/// Where applications show their metrics on the loopback.
const METRICS: &str = "/etc/nginx/metrics";

/// The name of the endpoint that leads clients to the other one.
pub const HTTP: &str = "http";
/// The name of the endpoint of all sites and of the API.
pub const HTTPS: &str = "https";

pub(super) const KIND: PartKind = PartKind {
    name: "nginx",
    roles: &[Role::Web],
    parts: Parts::One,
    vars: &[],
    takes: &[Slot::Routes, Slot::Certificates],
    driver: Some(&host::Nginx),
    contribute: |view, offered| {
        offered.add_package(Package::new("nginx"));
        for port in PORTS {
            offered.add_port(port, None);
        }
        behind::contribute(view, offered);
    },
    describe: |view, offered, spec| {
        describe(offered, spec);
        behind::describe(view, spec);
    },
    declare,
};

fn describe(offered: &Contributions, spec: &mut PartSpec) {
    spec.requires = vec!["tls".to_owned()];
    spec.requires.extend(applications(offered).map(|(offer, _)| offer.part.clone()));
    let pin = offered.certificate().map(|at| Pin::File(at.certificate.clone()));
    let https = pin.map(|pin| Endpoint { name: HTTPS.to_owned(), port: PORTS[1], pin });
    let http = Endpoint { name: HTTP.to_owned(), port: PORTS[0], pin: Pin::Plain };
    spec.endpoints = std::iter::once(http).chain(https).collect();
    spec.restarts = vec![Restart {
        name: "nginx".to_owned(),
        label: "nginx".to_owned(),
        method: RestartMethod::Driver,
        in_all: true,
        log: LogSource::Unit("nginx.service".to_owned()),
    }];
    spec.probes = vec![
        Probe::unit("nginx.service"),
        Probe {
            name: "nginx configuration".to_owned(),
            group: Group::Configuration,
            kind: ProbeKind::Driver,
        },
    ];
    spec.probes.extend(has_open_page(offered).then(|| page("/")));
    spec.questions = vec![Question {
        endpoint: HTTP.to_owned(),
        path: "/".to_owned(),
        host: None,
        wanted: Wanted::RedirectTo(HTTPS.to_owned()),
    }];
    // A route of files has its logs with them.
    let of_applications = applications(offered).flat_map(|(offer, _)| {
        let name = &offer.value.name;
        log_files(name, &format!("{name}_"))
    });
    spec.logs = of_applications.chain(log_files("nginx", "")).collect();
}

/// Whether everybody gets a page at the top of the host.
fn has_open_page(offered: &Contributions) -> bool {
    let is_one = |route: &Route| {
        let is_file = matches!(route.target, RouteTarget::Files(_));
        let is_open = !route.target.asks_for_login() && !route.target.is_limited();
        is_file && is_open && route.host.is_none() && route.path == "/"
    };
    offered.routes.iter().any(|offer| is_one(&offer.value))
}

/// The routes that lead to applications.
fn applications(offered: &Contributions) -> impl Iterator<Item = (&Offer<Route>, &Upstream)> {
    offered.routes.iter().filter_map(|offer| match &offer.value.target {
        RouteTarget::Application(upstream) => Some((offer, upstream)),
        RouteTarget::Files(_) | RouteTarget::Redirect(_) => None,
    })
}

/// A look at a page of this host, as a client on the host itself would have it.
#[must_use]
pub fn page(path: &str) -> Probe {
    Probe {
        name: format!("https://127.0.0.1{path}"),
        group: Group::Page,
        kind: ProbeKind::Page { endpoint: HTTPS.to_owned(), path: path.to_owned() },
    }
}

/// A question to a page that has one right answer, the same for all clients.
#[must_use]
pub fn question(path: &str, status: u16, holds: Option<&str>) -> Question {
    let (statuses, holds) = (vec![status], holds.map(str::to_owned));
    let wanted = Wanted::Page { statuses, holds, is_listed: false };
    Question { endpoint: HTTPS.to_owned(), path: path.to_owned(), host: None, wanted }
}

/// A question to a page that some addresses are let in to, or users. One of the `right` statuses is for those who
/// get in, 403 for those who are not on its list, and 401 for the others where users have to log in.
pub(super) fn guarded_question(
    path: &str,
    right: &[u16],
    (allow, users): (&[Network], &Users),
    facts: &Facts,
) -> Question {
    let listed = facts.ssh_client.map(|us| allow.iter().any(|network| network.contains(us)));
    let let_in = if users.is_empty() { right } else { &[401] };
    let statuses = match listed {
        _ if allow.is_empty() => let_in.to_vec(),
        Some(true) => let_in.to_vec(),
        Some(false) => vec![403],
        None => [let_in, &[403]].concat(),
    };
    let wanted = Wanted::Page { statuses, holds: None, is_listed: !allow.is_empty() };
    Question { endpoint: HTTPS.to_owned(), path: path.to_owned(), host: None, wanted }
}

/// An access log and an error log, which have one name.
#[must_use]
pub fn log_files(name: &str, prefix: &str) -> Vec<Log> {
    let log = |kind: &str, format| Log {
        name: name.to_owned(),
        source: LogSource::File(format!("/var/log/nginx/{prefix}{kind}.log").into()),
        format,
    };
    vec![log("access", LogFormat::Combined), log("error", LogFormat::Driver("nginx".to_owned()))]
}

fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    #[derive(Serialize)]
    struct General {
        keepalive_min_timeout: bool,
    }
    let version = nginx_version(builder.facts);
    let http2_directive = version.is_some_and(|version| version >= HTTP2_DIRECTIVE);
    let keepalive_min_timeout = version.is_some_and(|version| version >= KEEPALIVE_MIN_TIMEOUT);
    let CertificateAt { certificate, key } =
        offered.certificate().context("no part has a certificate for nginx")?;
    let style = builder.templates.render_text("nginx/refusal.css", &Nothing {})?;
    let homework = Homework {
        metrics_port: offered.metrics_port,
        ipv6: builder.facts.ipv6,
        http2_directive,
        http2_option: if http2_directive { "" } else { " http2" },
        certificate: text_of(certificate)?,
        key: text_of(key)?,
        behind: behind::of(builder.fleet, builder.entry),
        ..Homework::of(offered, &style)?
    };
    let available = "/etc/nginx/sites-available/homework";
    let drop_ins = "/etc/systemd/system/nginx.service.d";
    builder.directory(drop_ins, 0o755);
    // Debian's package brings these, nginx.org's does not.
    builder.directory("/etc/nginx/sites-available", 0o755);
    builder.directory("/etc/nginx/sites-enabled", 0o755);
    let upstreams = upstreams(builder, offered)?;
    let metrics = metrics(builder, offered)?;
    let mut inputs = vec![
        Id::new("certificate", text_of(certificate)?),
        builder.file(
            format!("{drop_ins}/hwctl.conf"),
            "systemd/nginx.service.conf",
            &Nothing {},
        )?,
        builder.file(
            "/etc/nginx/nginx.conf",
            "nginx/nginx.conf",
            &General { keepalive_min_timeout },
        )?,
        builder.file(available, "nginx/homework", &homework)?,
        builder.add(Link {
            path: "/etc/nginx/sites-enabled/homework".into(),
            target: available.into(),
        }),
        // The package's site: it would be a second default server on port 80.
        builder.add(Absent {
            path: "/etc/nginx/sites-enabled/default".into(),
            brought_by: Some("nginx".to_owned()),
        }),
    ];
    inputs.extend(upstreams.into_iter().chain(metrics));
    let unit = Unit::new("nginx.service", inputs, OnChange::Reload);
    let ports = PORTS.into_iter().chain(homework.behind.map(|behind| behind.port));
    builder.add(Unit { ports: ports.collect(), ..unit });
    Ok(())
}

/// Where the upstream of an application is that changes with each version.
fn upstream_file(route: &Route) -> String {
    format!("{UPSTREAMS}/{}.conf", route.name)
}

/// Declares the upstreams that change with each version. Each is a file of the part that it leads to, so that a version is
/// switched, and switched back, without a change of other routes.
fn upstreams(builder: &mut Builder<'_>, offered: &Contributions) -> Result<Vec<Id>> {
    #[derive(Serialize)]
    struct Switched<'a> {
        app: Application<'a>,
    }
    let switched = applications(offered).filter(|(offer, _)| offer.value.comes_first);
    let switched: Vec<_> = switched.collect();
    if !switched.is_empty() {
        builder.directory(UPSTREAMS, 0o755);
    }
    let own = builder.part.clone();
    let mut ids = Vec::new();
    for (offer, upstream) in switched {
        builder.part.clone_from(&offer.part);
        let app = application(&offer.value, upstream);
        let made = builder.file(upstream_file(&offer.value), "nginx/switched", &Switched { app });
        builder.part.clone_from(&own);
        ids.push(made?);
    }
    Ok(ids)
}

/// Declares where the metrics of applications are shown on the loopback, where somebody collects them. Each is a file of
/// the application's part, as its upstream is.
fn metrics(builder: &mut Builder<'_>, offered: &Contributions) -> Result<Vec<Id>> {
    #[derive(Serialize)]
    struct Shown {
        /// Each with the URL behind it.
        locations: Vec<[String; 2]>,
    }
    if offered.metrics_port.is_none() {
        return Ok(Vec::new());
    }
    builder.directory(METRICS, 0o755);
    let own = builder.part.clone();
    let mut ids = Vec::new();
    for Offer { part, value: shown, .. } in &offered.metrics {
        let location = |(at, server): (usize, &String)| {
            // A socket's path ends where that of the request begins.
            let end = if server.starts_with("unix:") { ":" } else { "" };
            [shown.location(at + 1), format!("http://{server}{end}{}", shown.path)]
        };
        let locations = shown.servers.iter().enumerate().map(location).collect();
        builder.part.clone_from(part);
        let made = builder.file(
            format!("{METRICS}/{}.conf", shown.name),
            "nginx/metrics_of",
            &Shown { locations },
        );
        builder.part.clone_from(&own);
        ids.push(made?);
    }
    Ok(ids)
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the path `{}` is no text", path.display()))
}

fn nginx_version(facts: &Facts) -> Option<Version> {
    let release =
        RELEASES.iter().find(|(os, version, _)| facts.os == *os && facts.os_version == *version);
    // Unknown is taken for old: the option still works on a new nginx, with a warning.
    facts.version_of("nginx").or(release.map(|(_, _, version)| *version))
}
