//! The balancer: HAProxy in front of the web hosts of its pool. It passes connections on as they are, so TLS ends at the
//! web hosts, and tells them the client's address by the PROXY protocol.

mod fleet;
mod host;
mod vars;
mod virtual_address;

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::build::{Builder, Contributions, HostView, Names, Package};
use super::nginx::{HTTP, HTTPS, question};
use super::roles::{HealthPage, Peer, Role, Side};
use super::{Fleet, PartKind, Parts, tls};
use crate::client::url_host;
use crate::resource::{Content, File, OnChange, Owner, Unit};
use crate::spec::{
    Endpoint, Group, Log, LogFormat, LogSource, PartSpec, Pin, Probe, ProbeKind, Question, Restart,
    RestartMethod, Wanted,
};

pub(in crate::part) use fleet::{pool, require_whole};
pub use host::{keep_state, require_answer};
pub use vars::Balancing;

const PART: &str = "balancer";
const SERVICE: &str = "hwctl-balancer.service";
const FOLDER: &str = "/etc/hwctl/balancer";
const CONFIGURATION: &str = "/etc/hwctl/balancer/haproxy.cfg";
/// Where its sockets are, and what it has to know after a reload. systemd makes the folder and removes it again.
const RUNTIME_FOLDER: &str = "/run/hwctl-balancer";
/// Where HAProxy shows its metrics, on the loopback.
pub(in crate::part) const METRICS_PORT: u16 = 8405;
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
const PORTS: [u16; 3] = [HTTP_PORT, HTTPS_PORT, METRICS_PORT];
/// Open files of the service. systemd takes as many as the host allows; HAProxy itself uses what its connections need.
const OPEN_FILES: u32 = 1 << 20;
/// The name of the look at a web host, before the name of that host.
const WEB_HOST: &str = "web host ";
/// The setting with the address and the port of a web host, before the name of that host.
const ADDRESS_OF: &str = "address of ";

pub(super) const KIND: PartKind = PartKind {
    name: PART,
    roles: &[Role::Balancer],
    parts: Parts::Named(|view| {
        let shared = virtual_address::of(view).map(|_| virtual_address::PART);
        [PART].into_iter().chain(shared).map(str::to_owned).collect()
    }),
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Balancer),
    contribute: |view, offered| match offered.part() {
        virtual_address::PART => virtual_address::contribute(view, offered),
        _ => contribute(view, offered),
    },
    describe: |view, _, spec| match spec.name.as_str() {
        virtual_address::PART => virtual_address::describe(view, spec),
        _ => describe(view, spec),
    },
    declare: |_, builder| match builder.part() {
        virtual_address::PART => virtual_address::declare(builder),
        _ => declare(builder),
    },
};

fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    offered.add_package(Package::new("haproxy"));
    for port in PORTS {
        offered.add_port(port, view.place(&["roles"]));
    }
}

/// Adds the names of the balancers to those of a web host behind them: that is what clients ask for.
pub(super) fn add_names(view: &HostView<'_>, names: &mut Names) {
    let Some(entry) = view.entry else { return };
    let is_web = view.roles().contains(&Role::Web);
    for (_, side) in view.fleet.pool_of(&entry.name).filter(|_| is_web) {
        let Side::Balancer { names: asked, .. } = side else { continue };
        for name in asked.iter().filter_map(|name| tls::normal(name)) {
            if !names.certificate.contains(&name) {
                names.certificate.push(name.clone());
            }
            if name.parse::<IpAddr>().is_err() && !names.server.contains(&name) {
                names.server.push(name);
            }
        }
    }
}

/// The web hosts behind a balancer.
fn web_hosts<'a>(fleet: &'a Fleet, own: &str) -> Vec<(&'a Peer, WebHost)> {
    let web = fleet.pool_of(own).filter_map(|(peer, side)| match side {
        Side::Web { address, port, .. } => {
            let name = server_name(&peer.name);
            Some((peer, WebHost { name, address: format!("{}:{port}", url_host(address)) }))
        }
        Side::Balancer { .. } => None,
    });
    web.collect()
}

/// A web host in HAProxy's terms.
#[derive(Serialize)]
struct WebHost {
    name: String,
    address: String,
}

/// The name of a host as HAProxy takes it.
fn server_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    name.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// The page that all web hosts of the pool have, and that tells most of them.
fn health_page(fleet: &Fleet, own: &str) -> HealthPage {
    let pages = fleet.pool_of(own).filter_map(|(_, side)| match side {
        Side::Web { check, .. } => Some(*check),
        Side::Balancer { .. } => None,
    });
    pages.max().unwrap_or(HealthPage::Top)
}

fn describe(view: &HostView<'_>, spec: &mut PartSpec) {
    let own = view.entry.map_or("", |entry| &entry.name);
    spec.private_ports = vec![METRICS_PORT];
    let endpoint = |name: &str, port, pin| Endpoint { name: name.to_owned(), port, pin };
    spec.endpoints =
        vec![endpoint(HTTP, HTTP_PORT, Pin::Plain), endpoint(HTTPS, HTTPS_PORT, Pin::Behind)];
    let page = |endpoint: &str, wanted| Question {
        endpoint: endpoint.to_owned(),
        path: "/".to_owned(),
        host: None,
        wanted,
    };
    let through = match health_page(view.fleet, own) {
        HealthPage::Health | HealthPage::Ping => {
            question("/flask/api/ping", 200, Some("{\"status\":\"ok\"}"))
        }
        HealthPage::Top => page(HTTPS, Wanted::Certificate),
    };
    spec.questions = vec![page(HTTP, Wanted::RedirectTo(HTTPS.to_owned())), through];
    let driver =
        |name: &str, group| Probe { name: name.to_owned(), group, kind: ProbeKind::Driver };
    spec.probes = vec![Probe::unit(SERVICE), driver("haproxy configuration", Group::Configuration)];
    for (peer, WebHost { name, address }) in web_hosts(view.fleet, own) {
        spec.settings.insert(format!("{ADDRESS_OF}{}", peer.name), address);
        let probe = format!("{WEB_HOST}{}", peer.name);
        spec.probes.push(driver(&probe, Group::Service));
        spec.settings.insert(probe, name);
    }
    let log = LogSource::Unit(SERVICE.to_owned());
    spec.logs = vec![Log { name: PART.to_owned(), source: log.clone(), format: LogFormat::Plain }];
    spec.restarts = vec![Restart {
        name: PART.to_owned(),
        label: "haproxy".to_owned(),
        method: RestartMethod::Driver,
        in_all: true,
        log,
    }];
}

#[derive(Serialize)]
struct Configuration<'a> {
    folder: &'a str,
    metrics_port: u16,
    ipv6: bool,
    max_connections: u32,
    slow_start: u16,
    check_path: &'a str,
    check_host: String,
    check_expect: &'a str,
    /// None for an address: it is no name for TLS.
    check_sni: Option<String>,
    servers: Vec<WebHost>,
}

#[derive(Serialize)]
struct Service<'a> {
    configuration: &'a str,
    folder: &'a str,
    runtime_directory: &'a str,
    binary: &'a Path,
    open_files: u32,
}

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let binary = builder.own_hwctl()?;
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(FOLDER, 0o755);
    let service = Service {
        configuration: CONFIGURATION,
        folder: RUNTIME_FOLDER,
        runtime_directory: RUNTIME_FOLDER.trim_start_matches("/run/"),
        binary: &binary,
        open_files: OPEN_FILES,
    };
    // Not among what the unit reads: a reload, which loses no connection, takes up the configuration alone. Another unit file
    // counts from the next start on.
    builder.file(
        format!("/etc/systemd/system/{SERVICE}"),
        &format!("systemd/{SERVICE}"),
        &service,
    )?;
    let text = builder.templates.render_text("haproxy/haproxy.cfg", &configuration(builder))?;
    let file = File::new(CONFIGURATION, Content::text(text), 0o644, Owner::root());
    let validate = ["/usr/sbin/haproxy", "-c", "-f", "%s"].map(str::to_owned).into();
    let file = builder.add(File { validate, ..file });
    let unit = Unit::new(SERVICE, vec![file], OnChange::Reload);
    builder.add(Unit { ports: PORTS.into(), ..unit });
    Ok(())
}

fn configuration(builder: &Builder<'_>) -> Configuration<'static> {
    let own = builder.entry.map_or("", |entry| entry.name.as_str());
    let Balancing { max_connections, slow_start, .. } = builder.vars.get();
    let (check_path, check_expect) = match health_page(builder.fleet, own) {
        HealthPage::Health => ("/flask/api/health", "status 200"),
        HealthPage::Ping => ("/flask/api/ping", "status 200"),
        // Whoever gets in and what is there, it answers. 421 says that it does not know the name.
        HealthPage::Top => ("/", "! rstatus ^(5|421)"),
    };
    // A name that the web hosts know, since it is this balancer's own.
    let name = builder.fleet.pooled(own).and_then(|pooled| match &pooled.side {
        Side::Balancer { names, .. } => names.iter().find_map(|name| tls::normal(name)),
        Side::Web { .. } => None,
    });
    let name = name.unwrap_or_else(|| "localhost".to_owned());
    let servers = web_hosts(builder.fleet, own).into_iter().map(|(_, host)| host).collect();
    Configuration {
        folder: RUNTIME_FOLDER,
        metrics_port: METRICS_PORT,
        ipv6: builder.facts.ipv6,
        max_connections: *max_connections,
        slow_start: *slow_start,
        check_path,
        check_host: url_host(&name),
        check_expect,
        check_sni: Some(name).filter(|name| name.parse::<IpAddr>().is_err()),
        servers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_become_names_of_servers() {
        assert_eq!(server_name("web-1.example.org"), "web-1.example.org");
        assert_eq!(server_name("web 1/ä"), "web_1__");
    }
}
