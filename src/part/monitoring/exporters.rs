//! The exporters: programs of the distribution that show what something else does as metrics. Each has a unit with hwctl's
//! own command line, which is there before the package could start it on all addresses.

use anyhow::Result;
use serde::Serialize;

use super::{FOLDER, GATEWAY_PORT, look};
use crate::inventory::Vars;
use crate::part::balancer;
use crate::part::build::{Builder, Contributions, HostView, Nothing, Package};
use crate::part::redis::{REDIS_PASSWORD, Redis};
use crate::part::{Claim, Role, Roles};
use crate::resource::{File, Id, OnChange, Owner, Unit};
use crate::spec::{Log, LogFormat, LogSource, PartSpec, Probe, Restart, RestartMethod};

/// One exporter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exporter {
    /// The name of its part.
    pub(super) part: &'static str,
    /// The job that its samples are of.
    pub(super) job: &'static str,
    /// The package, and its unit without suffix.
    pub(super) package: &'static str,
    pub(super) port: u16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Node,
    Nginx,
    Pages,
    Redis,
}

pub(super) const EXPORTERS: [Exporter; 4] = [
    Exporter {
        part: "node-exporter",
        job: "node",
        package: "prometheus-node-exporter",
        port: 9100,
        kind: Kind::Node,
    },
    Exporter {
        part: "nginx-exporter",
        job: "nginx",
        package: "prometheus-nginx-exporter",
        port: 9113,
        kind: Kind::Nginx,
    },
    Exporter {
        part: PAGES,
        job: PAGES,
        package: "prometheus-blackbox-exporter",
        port: 9115,
        kind: Kind::Pages,
    },
    Exporter {
        part: "redis-exporter",
        job: "redis",
        package: "prometheus-redis-exporter",
        port: 9121,
        kind: Kind::Redis,
    },
];

/// The part and the job of the exporter that looks at pages.
pub(super) const PAGES: &str = "page-exporter";
/// Where the exporter of Redis finds the password, as JSON: address to password.
const REDIS_CREDENTIAL: &str = "/etc/hwctl/monitoring/redis.json";
const PAGES_CONFIGURATION: &str = "/etc/hwctl/monitoring/pages.yml";

#[derive(Serialize)]
struct Service<'a> {
    description: &'a str,
    command: String,
    /// The name and the path of a file that systemd hands to the exporter alone.
    credential: Option<[&'a str; 2]>,
    /// Whether it reads what the kernel says of the host's disks and processes.
    sees_host: bool,
}

#[derive(Serialize)]
struct RedisAt {
    port: u16,
}

/// What Prometheus reads on the loopback of a host.
#[derive(Debug, Serialize)]
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) port: u16,
}

/// Whether a host has the web server.
pub(super) fn has_web(roles: &[Role]) -> bool {
    roles.contains(&Role::Web)
}

/// The exporters of a host with these roles.
pub(super) fn on(roles: &[Role], vars: &Vars) -> impl Iterator<Item = &'static Exporter> {
    let is_web = has_web(roles);
    let has_redis = roles.contains(&Role::Redis) && !vars.is_taken_away::<Redis>();
    EXPORTERS.iter().filter(move |exporter| match exporter.kind {
        Kind::Node => true,
        Kind::Nginx | Kind::Pages => is_web,
        Kind::Redis => has_redis,
    })
}

/// What a host with these roles measures, besides its applications and pages. HAProxy needs no exporter.
pub(super) fn jobs(roles: &[Role], vars: &Vars) -> impl Iterator<Item = Job> {
    let haproxy = Job { name: "haproxy", port: balancer::METRICS_PORT };
    let haproxy = roles.contains(&Role::Balancer).then_some(haproxy);
    on(roles, vars).map(|it| Job { name: it.job, port: it.port }).chain(haproxy)
}

/// The same without what the monitor of a fleet does not read: the exporter of pages looks at what others name, and is for
/// the host alone.
pub(super) fn shown(roles: &[Role], vars: &Vars) -> impl Iterator<Item = Job> {
    jobs(roles, vars).filter(|job| job.name != PAGES)
}

/// The exporter of a part.
///
/// # Panics
///
/// Where no exporter has that part, which is a fault of the program.
pub(super) fn of(part: &str) -> &'static Exporter {
    let found = EXPORTERS.iter().find(|exporter| exporter.part == part);
    found.unwrap_or_else(|| panic!("no exporter is called `{part}`"))
}

impl Exporter {
    pub(super) fn service(&self) -> String {
        format!("{}.service", self.package)
    }

    /// The words of its command line. None of them is a secret.
    fn command(&self, vars: &Vars) -> Vec<String> {
        let own: Vec<String> = match self.kind {
            Kind::Node => {
                // The restarts of services, which nothing else counts.
                let units =
                    "(nginx|docker|flask-app|prometheus.*|.*-[0-9a-f]{8}(-[0-9]+)?)[.]service";
                vec![
                    "--collector.systemd".to_owned(),
                    "--collector.systemd.enable-restarts-metrics".to_owned(),
                    format!("--collector.systemd.unit-include={units}"),
                ]
            }
            Kind::Nginx => {
                vec![format!("--nginx.scrape-uri=http://127.0.0.1:{GATEWAY_PORT}/nginx")]
            }
            Kind::Pages => vec![format!("--config.file={PAGES_CONFIGURATION}")],
            Kind::Redis => vec![
                format!("--redis.addr=redis://127.0.0.1:{}", vars.get::<Redis>().port),
                // By name, since systemd alone knows the folder.
                "--redis.password-file=${CREDENTIALS_DIRECTORY}/redis".to_owned(),
            ],
        };
        let program = format!("/usr/bin/{}", self.package);
        let address = format!("--web.listen-address=127.0.0.1:{}", self.port);
        [program, address].into_iter().chain(own).collect()
    }
}

pub(super) fn contribute(exporter: &Exporter, view: &HostView<'_>, offered: &mut Contributions) {
    let place = || view.place(&["monitoring"]);
    offered.add_package(Package::new(exporter.package));
    offered.add_port(exporter.port, place());
    offered.add_claim(Claim::Name(exporter.part.to_owned()), place());
}

pub(super) fn describe(exporter: &Exporter, spec: &mut PartSpec) {
    let service = exporter.service();
    spec.requires = match exporter.kind {
        Kind::Node => Vec::new(),
        Kind::Nginx | Kind::Pages => vec!["nginx".to_owned()],
        Kind::Redis => vec!["redis".to_owned()],
    };
    spec.private_ports = vec![exporter.port];
    spec.probes = vec![Probe::unit(&service), look(&format!("metrics of {}", exporter.part))];
    spec.settings.insert("port".to_owned(), exporter.port.to_string());
    describe_unit(spec, &service);
}

/// The log and the restart of a part that is one unit.
pub(super) fn describe_unit(spec: &mut PartSpec, service: &str) {
    let log = LogSource::Unit(service.to_owned());
    let name = spec.name.clone();
    spec.logs = vec![Log { name: name.clone(), source: log.clone(), format: LogFormat::Plain }];
    spec.restarts = vec![Restart {
        label: service.to_owned(),
        method: RestartMethod::Unit(service.to_owned()),
        in_all: true,
        name,
        log,
    }];
}

pub(super) fn declare(exporter: &Exporter, builder: &mut Builder<'_>) -> Result<()> {
    let service = exporter.service();
    let mut inputs = Vec::new();
    let mut credential = None;
    match exporter.kind {
        Kind::Node | Kind::Nginx => {}
        Kind::Pages => {
            folder(builder)?;
            inputs.push(builder.file(PAGES_CONFIGURATION, "prometheus/pages.yml", &Nothing {})?);
        }
        Kind::Redis => {
            folder(builder)?;
            inputs.push(redis_credential(builder)?);
            credential = Some(["redis", REDIS_CREDENTIAL]);
        }
    }
    let command = exporter.command(builder.vars).join(" ");
    let sees_host = exporter.kind == Kind::Node;
    let context = Service { description: exporter.part, command, credential, sees_host };
    inputs.push(drop_in(builder, &service, "systemd/exporter.service.conf", &context)?);
    let unit = Unit::new(service, inputs, OnChange::Restart);
    builder.add(Unit { ports: vec![exporter.port], ..unit });
    Ok(())
}

fn folder(builder: &mut Builder<'_>) -> Result<()> {
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.shared_directory(FOLDER, 0o755).map(drop)
}

/// The password in a file that root alone reads. In the command line or the environment others could see it.
fn redis_credential(builder: &mut Builder<'_>) -> Result<Id> {
    builder.host_secret(REDIS_PASSWORD, 32)?;
    let port = builder.vars.get::<Redis>().port;
    let access = (0o400, Owner::root());
    builder.secret_file(REDIS_CREDENTIAL, access, "prometheus/redis.json", &RedisAt { port }, None)
}

/// hwctl's own settings for the unit of a package.
pub(super) fn drop_in(
    builder: &mut Builder<'_>,
    service: &str,
    template: &str,
    context: &impl Serialize,
) -> Result<Id> {
    let folder = format!("/etc/systemd/system/{service}.d");
    builder.directory(&folder, 0o755);
    let text = builder.templates.render_text(template, context)?;
    Ok(builder.add(File::text(format!("{folder}/hwctl.conf"), text)))
}

/// Whether the host has the exporter that looks at pages.
pub(super) fn looks_at_pages(vars: &Vars) -> bool {
    has_web(&vars.get::<Roles>().0)
}
