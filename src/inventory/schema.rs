//! The stack's variables: which there are, what they take, and what must hold between them.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use super::fields::{Field, Fields, Reader};
use super::names::shown;
use super::password::Passwords;
use super::vars::{
    Api, Auto, Firewall, Interval, Logrotate, Network, OpenPort, Port, Protocol, Redis, Role, Tls,
    TlsMode, Vars, Workers,
};
use super::yaml::load::parse;
use super::yaml::node::{Entry, Node, Value, get};
use super::yaml::place::{Problem, Source, nearest};
use super::{Lookup, Warning, check, folders};

/// The variable that says what a host is for.
pub(super) const ROLES: &str = "roles";
/// The stack's variables.
const KEYS: [&str; 9] =
    ["roles", "app_dir", "server_names", "tls", "sites", "api", "redis", "firewall", "logrotate"];

/// Keys of the stack's variables whose values are no secrets, so that a message may show them.
const SHOWN: [&str; 22] = [
    "allow",
    "app_dir",
    "binary",
    "container",
    "days",
    "every",
    "exclusive",
    "from",
    "image",
    "image_archive",
    "keep",
    "mode",
    "path",
    "port",
    "renew_before",
    "roles",
    "root",
    "server_names",
    "source",
    "token_ttl",
    "volume",
    "workers",
];

/// The port that ssh has unless the host says otherwise.
const SSH_PORT: u16 = 22;
/// The ports that answer by default on a host that serves the web.
const WEB_PORTS: [u16; 2] = [80, 443];

/// Which of a host's own services has a port, whatever the inventory says.
fn holder_of(port: u16) -> Option<&'static str> {
    match port {
        SSH_PORT => Some("ssh"),
        port if WEB_PORTS.contains(&port) => Some("nginx"),
        _ => None,
    }
}

fn port_is_taken(node: &Node, port: u16, holder: &str) -> Problem {
    let message = format!("`redis.port` cannot be {port}: that port is {holder}'s");
    Problem::at(&node.place, message).hint("choose a free port, such as 6379")
}

/// What a port of the firewall is.
const PORT: &str =
    "a port such as `80/tcp` or `53/udp`, or a map such as `{ port: 80, from: 10.0.0.0/8 }`";

/// Whether this is one of the stack's variables.
pub(super) fn is_variable(key: &str) -> bool {
    KEYS.contains(&key)
}

/// Whether the value of this key of a variable may be shown.
pub(super) fn is_field(key: &str) -> bool {
    SHOWN.contains(&key)
}

/// hwctl's own defaults.
pub(super) fn defaults() -> Result<Node, Problem> {
    let source = Source::builtin("hwctl's defaults", include_str!("defaults.yaml"));
    parse(&source)?.ok_or_else(|| Problem::nowhere("hwctl has no defaults"))
}

/// Checks the name of a variable that is not Ansible's: the stack's, or the user's own `x_…`.
pub(super) fn check_name(entry: &Entry) -> Result<(), Problem> {
    let key = entry.key.as_str();
    if KEYS.contains(&key) || key.starts_with("x_") || key.starts_with("x-") {
        return Ok(());
    }
    let meant = nearest(key, KEYS);
    let problem = Problem::at(&entry.place, format!("unknown variable `{}`", shown(key)))
        .hiding(&entry.node, meant);
    Err(match meant {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem.hint("name your own variables `x_…`; hwctl passes these over"),
    })
}

/// Reads the vars of one host from what is merged, defaults included.
pub(super) struct Schema<'a> {
    pub(super) reader: Reader,
    pub(super) passwords: &'a Passwords,
    pub(super) folder: &'a Path,
    pub(super) lookup: Lookup,
    pub(super) warnings: Vec<Warning>,
    /// Whether the host has the role `web`: without it nobody logs in, and no password is asked for.
    pub(super) serves: bool,
}

impl<'a> Schema<'a> {
    pub(super) fn new(passwords: &'a Passwords, folder: &'a Path, lookup: Lookup) -> Self {
        let (reader, warnings) = (Reader::default(), Vec::new());
        Self { reader, passwords, folder, lookup, warnings, serves: true }
    }

    /// Refuses the port of ssh, by which this session comes in, as that of another service.
    pub(super) fn require_not_ssh(&mut self, root: &Node, vars: &Vars, ssh: u16) {
        if vars.redis.port != ssh {
            return;
        }
        let redis = root.entries().and_then(|entries| get(entries, "redis")).unwrap_or(root);
        let port = redis.entries().and_then(|entries| get(entries, "port")).unwrap_or(redis);
        self.reader.problem(port_is_taken(port, ssh, "ssh"));
    }

    /// All of it; `None` when there are problems.
    pub(super) fn vars(&mut self, root: &Node) -> Option<Vars> {
        let root = Fields { node: root, path: "" };
        let roles = self.part(root, ROLES, Self::roles);
        self.serves = roles.as_ref().is_none_or(|roles| roles.contains(&Role::Web));
        let app_dir = self.part(root, "app_dir", Self::own_folder);
        let server_names = self.part(root, "server_names", |schema, field| {
            schema.reader.list(field, |reader, field| {
                reader.text(field, "a host name or an IP address", check::server_name)
            })
        });
        let tls = self.part(root, "tls", Self::tls);
        let sites = self.part(root, "sites", Self::sites);
        let api = self.part(root, "api", Self::api);
        let redis = self.part(root, "redis", Self::redis);
        let firewall = self.part(root, "firewall", Self::firewall);
        let logrotate = self.part(root, "logrotate", Self::logrotate);
        if let (Some(app_dir), Some(sites)) = (&app_dir, &sites) {
            self.require_apart(root, app_dir, sites);
        }
        Some(Vars {
            roles: roles?,
            app_dir: app_dir?,
            server_names: server_names?,
            tls: tls?,
            sites: sites?,
            api: api?,
            redis: redis?,
            firewall: firewall?,
            logrotate: logrotate?,
        })
    }

    /// What the host is for; `None` when there are problems.
    pub(super) fn roles_of(&mut self, root: &Node) -> Option<Vec<Role>> {
        self.part(Fields { node: root, path: "" }, ROLES, Self::roles)
    }

    /// The value of a key that must be there.
    pub(super) fn part<T>(
        &mut self,
        fields: Fields,
        key: &str,
        read: impl FnOnce(&mut Self, &Field) -> Option<T>,
    ) -> Option<T> {
        let field = self.reader.required(fields, key)?;
        read(self, &field)
    }

    pub(super) fn host_path(&mut self, field: &Field) -> Option<PathBuf> {
        let expected = "an absolute path of letters, digits and `._-+@`, without `..`";
        self.reader.text(field, expected, check::host_path)
    }

    fn roles(&mut self, field: &Field) -> Option<Vec<Role>> {
        let roles = self.reader.list(field, |reader, field| reader.choice(field, &Role::NAMES))?;
        let twice = roles.iter().enumerate().find(|(at, role)| roles[..*at].contains(role));
        if let Some((at, _)) = twice {
            let message = format!("`roles[{at}]` is in the list already");
            self.reader.problem(Problem::at(&field.node.place, message));
            return None;
        }
        if roles.is_empty() {
            let message = "`roles` is empty: a host needs at least one".to_owned();
            let problem = Problem::at(&field.node.place, message);
            self.reader.problem(problem.hint("leave it out for `[web, redis]`"));
            return None;
        }
        Some(roles)
    }

    fn tls(&mut self, field: &Field) -> Option<Tls> {
        let tls = self.reader.fields(field, &["mode", "days", "renew_before"])?;
        let mode = self.part(tls, "mode", |schema, field| {
            schema.reader.choice(field, &[("self-signed", TlsMode::SelfSigned)])
        });
        let life = self.reader.required(tls, "days");
        let before = self.reader.required(tls, "renew_before");
        let (life, before) = (life?, before?);
        let days: Option<u16> = self.reader.number(&life, 1..=365);
        let renew_before: Option<u16> = self.reader.number(&before, 1..=364);
        let (mode, days, renew_before) = (mode?, days?, renew_before?);
        if renew_before >= days {
            let message = format!(
                "`tls.renew_before` is {renew_before}, which is not less than `tls.days`, {days}"
            );
            let field = if before.node.place.is_builtin() { life } else { before };
            self.reader.problem(Problem::at(&field.node.place, message));
            return None;
        }
        Some(Tls { mode, days, renew_before })
    }

    /// A path on the operator's machine that must be there, if it is looked up.
    pub(super) fn local(
        &mut self,
        field: &Field,
        is: fn(&Path) -> bool,
        what: &str,
    ) -> Option<PathBuf> {
        let path = self.reader.text(field, &format!("the path of {what}"), check::local_path)?;
        if self.lookup == Lookup::Now && !is(&self.folder.join(&path)) {
            let message =
                format!("`{}`: `{}` is not {what}", field.path, shown(&path.to_string_lossy()));
            let problem = Problem::at(&field.node.place, message);
            self.reader.problem(problem.hint("relative paths begin at the inventory's folder"));
            return None;
        }
        Some(path)
    }

    fn api(&mut self, field: &Field) -> Option<Api> {
        let api = self.reader.fields(field, &["users", "workers", "token_ttl", "binary"])?;
        let users = if let Some(field) = api.optional("users") {
            self.users(&field)
        } else {
            self.no_users("api.users")
        };
        let workers = self.part(api, "workers", |schema, field| {
            if let Value::Text(_) = &field.node.value {
                let auto = |text: &str| (text == "auto").then_some(Workers::Auto(Auto::Auto));
                return schema.reader.text(field, "`auto` or a whole number from 1 to 1024", auto);
            }
            let count = schema.reader.number(field, 1..=1024)?;
            NonZeroU16::new(count).map(Workers::Count)
        });
        let token_ttl = self
            .part(api, "token_ttl", |schema, field| schema.reader.number(field, 1..=31_536_000));
        let binary = match api.optional("binary") {
            Some(field) => self.local(&field, Path::is_file, "a file").map(Some),
            None => Some(None),
        };
        Some(Api { users: users?, workers: workers?, token_ttl: token_ttl?, binary: binary? })
    }

    fn redis(&mut self, field: &Field) -> Option<Redis> {
        let known = ["image", "container", "volume", "port", "image_archive"];
        let redis = self.reader.fields(field, &known)?;
        let image = self.part(redis, "image", |schema, field| {
            schema.reader.text(field, "an image such as `redis:7-alpine`", check::image)
        });
        let container = self.part(redis, "container", Self::docker_name);
        let volume = self.part(redis, "volume", Self::docker_name);
        let port = self.part(redis, "port", Self::own_port);
        let image_archive = match redis.optional("image_archive") {
            Some(field) => self.local(&field, Path::is_file, "a file").map(Some),
            None => Some(None),
        };
        Some(Redis {
            image: image?,
            container: container?,
            volume: volume?,
            port: port?,
            image_archive: image_archive?,
        })
    }

    /// A port for a service that has it to itself.
    fn own_port(&mut self, field: &Field) -> Option<u16> {
        let port = self.reader.number(field, 1..=65535)?;
        let Some(holder) = holder_of(port) else { return Some(port) };
        self.reader.problem(port_is_taken(field.node, port, holder));
        None
    }

    /// A folder of the host that hwctl has to itself.
    pub(super) fn own_folder(&mut self, field: &Field) -> Option<PathBuf> {
        let folder = self.host_path(field)?;
        let Some(why) = folders::refusal(&folder) else { return Some(folder) };
        let message = format!("`{}` cannot be `{}`: {why}", field.path, folder.display());
        let problem = Problem::at(&field.node.place, message);
        self.reader.problem(problem.hint("name a folder of its own, such as `/srv/NAME`"));
        None
    }

    fn docker_name(&mut self, field: &Field) -> Option<String> {
        let expected = "a name that Docker takes (letters, digits and `_.-`)";
        self.reader.text(field, expected, check::docker_name)
    }

    fn firewall(&mut self, field: &Field) -> Option<Firewall> {
        let firewall = self.reader.fields(field, &["allow", "exclusive"])?;
        let allow = match firewall.optional("allow") {
            Some(field) => self.reader.list(&field, open_port),
            None if self.serves => Some(WEB_PORTS.map(OpenPort::tcp_to_all).into()),
            None => Some(Vec::new()),
        };
        let exclusive = self.part(firewall, "exclusive", |schema, field| schema.reader.flag(field));
        Some(Firewall { allow: allow?, exclusive: exclusive? })
    }

    fn logrotate(&mut self, field: &Field) -> Option<Logrotate> {
        let logrotate = self.reader.fields(field, &["keep", "every"])?;
        let keep =
            self.part(logrotate, "keep", |schema, field| schema.reader.number(field, 1..=3650));
        let every = self.part(logrotate, "every", |schema, field| {
            let words = [
                ("daily", Interval::Daily),
                ("weekly", Interval::Weekly),
                ("monthly", Interval::Monthly),
            ];
            schema.reader.choice(field, &words)
        });
        Some(Logrotate { keep: keep?, every: every? })
    }
}

/// A port that is open to all (`80/tcp`), or to one network (`{ port: 80, from: 10.0.0.0/8 }`).
fn open_port(reader: &mut Reader, field: &Field) -> Option<OpenPort> {
    if field.node.entries().is_none() {
        return Some(OpenPort { port: port(reader, field, PORT)?, from: None });
    }
    let fields = reader.fields(field, &["port", "from"])?;
    let number = reader.required(fields, "port").and_then(|field| match field.node.value {
        Value::Number(_) => {
            let number = reader.number(&field, 1..=65535)?;
            Some(Port { number, protocol: Protocol::Tcp })
        }
        _ => port(reader, &field, "a number from 1 to 65535, or a port such as `53/udp`"),
    });
    let from = match fields.optional("from") {
        Some(field) => network(reader, &field).map(Some),
        None => Some(None),
    };
    Some(OpenPort { port: number?, from: from? })
}

fn port(reader: &mut Reader, field: &Field, expected: &str) -> Option<Port> {
    reader.text(field, expected, |text| Port::try_from(text.to_owned()).ok())
}

/// An address or a network that may reach something.
pub(super) fn network(reader: &mut Reader, field: &Field) -> Option<Network> {
    let expected = "an IP address or a network such as `10.0.0.0/8`";
    reader.text(field, expected, |text| Network::try_from(text.to_owned()).ok())
}
