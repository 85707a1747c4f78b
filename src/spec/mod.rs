//! What is said of the parts of a host beyond their resources, as data: it travels with the plan and is
//! kept on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::resource::Declared;

/// One part of a host, such as the API. What its resources say is not repeated here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartSpec {
    /// The name that `--only`, `logs` and the like take; the tag of its resources.
    pub name: String,
    /// The code on the host that knows its kind; none where all that is known of it is here.
    pub driver: Option<String>,
    /// The parts that have to run before it, by their names.
    pub requires: Vec<String>,
    /// How clients reach it.
    pub endpoints: Vec<Endpoint>,
    /// What is looked at on the host to know whether it works.
    pub probes: Vec<Probe>,
    /// What a client asks to know whether it works.
    pub questions: Vec<Question>,
    /// TCP ports that it listens on for the host alone: no client may reach them.
    pub private_ports: Vec<u16>,
    /// TCP ports that the firewall lets some clients in to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_ports: Vec<u16>,
    /// Its logs, in the order in which they are listed.
    pub logs: Vec<Log>,
    /// What of it can be restarted.
    pub restarts: Vec<Restart>,
    /// Whether it is an app of the operator's: it has versions, and clients can be told that it is out of service.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_app: bool,
    /// Whether its driver can copy its data, which backups then hold.
    pub has_dump: bool,
    /// What its driver has to know, in the driver's words. Never a secret.
    pub settings: BTreeMap<String, String>,
}

/// The parts in an order in which each comes after those that it requires, and otherwise as they are. In a
/// circle of requirements the first one goes first.
#[must_use]
pub fn in_order(parts: &[PartSpec]) -> Vec<&PartSpec> {
    fn place<'a>(
        part: &'a PartSpec,
        parts: &'a [PartSpec],
        visited: &mut BTreeSet<&'a str>,
        ordered: &mut Vec<&'a PartSpec>,
    ) {
        if !visited.insert(&part.name) {
            return;
        }
        let required = parts.iter().filter(|other| part.requires.contains(&other.name));
        for other in required {
            place(other, parts, visited, ordered);
        }
        ordered.push(part);
    }
    let (mut visited, mut ordered) = (BTreeSet::new(), Vec::new());
    for part in parts {
        place(part, parts, &mut visited, &mut ordered);
    }
    ordered
}

/// The endpoints of all parts.
#[must_use]
pub fn endpoints_of(parts: &[PartSpec]) -> Vec<Endpoint> {
    parts.iter().flat_map(|part| part.endpoints.clone()).collect()
}

/// The endpoint of this name.
#[must_use]
pub fn endpoint_of(parts: &[PartSpec], name: &str) -> Option<Endpoint> {
    endpoints_of(parts).into_iter().find(|endpoint| endpoint.name == name)
}

/// What `restart` knows by this name, with its part.
#[must_use]
pub fn restart_of<'a>(parts: &'a [PartSpec], name: &str) -> Option<(&'a PartSpec, &'a Restart)> {
    let mut all = parts.iter().flat_map(|part| part.restarts.iter().map(move |r| (part, r)));
    all.find(|(_, restart)| restart.name == name)
}

/// The parts that are meant, by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All parts, also those that are declared no more.
    All,
    /// These parts alone.
    Only(Vec<String>),
    /// All parts but these.
    Except(Vec<String>),
}

impl Scope {
    /// Whether the part of this name is meant.
    #[must_use]
    pub fn has(&self, part: &str) -> bool {
        let names = |parts: &[String]| parts.iter().any(|name| name == part);
        match self {
            Self::All => true,
            Self::Only(parts) => names(parts),
            Self::Except(parts) => !names(parts),
        }
    }

    /// Whether a resource is meant: one of its parts is.
    #[must_use]
    pub fn means(&self, declared: &Declared) -> bool {
        declared.parts().any(|part| self.has(part))
    }
}

/// How clients reach a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The name that probes refer to, unique on the host.
    pub name: String,
    /// The TCP port.
    pub port: u16,
    /// How a client knows that it has reached this host.
    pub pin: Pin,
}

/// How a client knows the server at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pin {
    /// By its certificate, which is the first one of this file on the host (PEM).
    File(PathBuf),
    /// Not at all: it speaks HTTP without TLS.
    Plain,
    /// By no certificate of this host: it passes TLS on to hosts behind it, each with a certificate of its own.
    Behind,
}

/// A question to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The endpoint's name.
    pub endpoint: String,
    /// The path that is asked for, such as `/open/`.
    pub path: String,
    /// The name of a server of its own that is asked for, at the host's address. None for the host itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What is right.
    pub wanted: Wanted,
}

/// The answers that are right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// A page.
    Page {
        /// The status codes that are right.
        statuses: Vec<u16>,
        /// A text that the body holds.
        holds: Option<String>,
        /// Whether the answer depends on the client's address.
        is_listed: bool,
    },
    /// A redirect to the same path of another endpoint, which this names.
    RedirectTo(String),
    /// A redirect to this URL.
    Location(String),
    /// Any answer, as long as the endpoint serves its certificate.
    Certificate,
}

/// Something that shows whether a part works, looked at on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The name of its check.
    pub name: String,
    /// Where the check is listed.
    pub group: Group,
    /// What is looked at.
    #[serde(rename = "look")]
    pub kind: ProbeKind,
}

impl Probe {
    /// Whether a unit of systemd is active.
    #[must_use]
    pub fn unit(name: &str) -> Self {
        Self { name: name.to_owned(), group: Group::Service, kind: ProbeKind::Unit }
    }
}

/// The groups in which checks are listed, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Group {
    /// Units and containers.
    Service,
    /// Files that services read.
    Configuration,
    /// What clients ask for.
    Page,
    /// Certificates and their lives.
    Certificate,
    /// Which ports are open.
    Firewall,
    /// Everything else on the host.
    Host,
}

/// What a probe looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeKind {
    /// The unit of systemd with the probe's name is active.
    Unit,
    /// The container of this name runs.
    Container(String),
    /// The endpoint answers 200 to a request for the path.
    Page {
        /// The name of the endpoint.
        endpoint: String,
        /// The path, such as `/open/`.
        path: String,
    },
    /// The certificate in this file (PEM) is valid for so many days more.
    Certificate {
        /// The file.
        path: PathBuf,
        /// The days.
        min_days: u16,
    },
    /// What the driver of the part looks at under the probe's name.
    Driver,
}

/// A log by the name that people know it by. Several logs can have one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The name that `logs` takes.
    pub name: String,
    /// Where its lines are.
    pub source: LogSource,
    /// How a line is read.
    pub format: LogFormat,
}

/// Where the lines of a log are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogSource {
    /// A file, and those that it was rotated to. Each line has its own time.
    File(PathBuf),
    /// The journal of a unit of systemd.
    Unit(String),
    /// The standard output and error of a container.
    Container(String),
}

/// Something of a part that can be restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The name that `restart` takes, unique on the host.
    pub name: String,
    /// What messages call it.
    pub label: String,
    /// How it is restarted.
    pub method: RestartMethod,
    /// Whether a restart of everything includes it.
    pub in_all: bool,
    /// Where it says why it does not start.
    pub log: LogSource,
}

/// How something is restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartMethod {
    /// By systemd. Behind a socket of systemd no request is lost.
    Unit(String),
    /// A socket of systemd and the service behind it. Requests of that moment are refused.
    Socket {
        /// The socket's unit.
        socket: String,
        /// The service's unit.
        service: String,
    },
    /// By Docker.
    Container {
        /// The container.
        name: String,
        /// How long it has to end before it is killed, in seconds.
        stop_s: u16,
    },
    /// By the driver of the part.
    Driver,
}

/// Which lines of a log report a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// A web server's access log in the combined format: an answer of 500 or more.
    Combined,
    /// A JSON object a line, with `level` or `status`: a warning, an error, an answer of 500 or more.
    Json,
    /// Text without a known structure: what its source marks as a warning or worse.
    Plain,
    /// Text that only the driver of this name can read.
    Driver(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_after_those_that_they_require() {
        let part = |name: &str, requires: &[&str]| PartSpec {
            name: name.to_owned(),
            requires: requires.iter().map(|name| (*name).to_owned()).collect(),
            ..PartSpec::default()
        };
        let names = |parts: &[PartSpec]| {
            in_order(parts).iter().map(|part| part.name.clone()).collect::<Vec<_>>().join(" ")
        };

        let parts =
            [part("a", &[]), part("b", &["d", "absent"]), part("c", &[]), part("d", &["c"])];
        assert_eq!(names(&parts), "a c d b");
        assert_eq!(names(&[part("a", &["b"]), part("b", &["a"])]), "b a");
    }

    #[test]
    fn a_scope_means_parts_by_their_names() {
        let shop = || vec!["shop".to_owned()];
        let has = |scope: Scope| ["shop", "api"].map(|part| scope.has(part));
        assert_eq!(has(Scope::All), [true, true]);
        assert_eq!(has(Scope::Only(shop())), [true, false]);
        assert_eq!(has(Scope::Except(shop())), [false, true]);
    }
}
