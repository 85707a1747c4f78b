//! The variable of the firewall.

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::inventory::patterns;
use crate::inventory::schema::{
    Declared, Field, Flag, Key, List, Map, Number, Optional, Reader, Rule, Shape, Text, Variable,
    Vars,
};
use crate::part::build::OpenTo;
use crate::part::network::{NETWORK, Network};
use crate::part::roles::{Role, Roles};
use crate::part::scalars::SENTENCE;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Firewall>()];

/// The ports of the web server, which answer by default on a host that has one.
pub(in crate::part) const WEB_PORTS: [u16; 2] = [80, 443];
/// The port that ssh has unless the host says otherwise.
pub(in crate::part) const SSH_PORT: u16 = 22;

/// Who has a port that no other service can have.
pub(in crate::part) fn holder_of(port: u16) -> Option<&'static str> {
    match port {
        SSH_PORT => Some("ssh"),
        port if WEB_PORTS.contains(&port) => Some("nginx"),
        _ => None,
    }
}

vars! {
    /// Which ports answer. The SSH port in use always does.
    pub struct Firewall {
        /// open ports, see below; `[80/tcp, 443/tcp]` where none are given, and none without the role `web` or `balancer`
        allow: Option<Vec<OpenPort>> = "null", Optional(List(OpenPorts));
        /// whether rules that hwctl did not make are removed
        exclusive: bool = "false", Flag;
    }
}

impl Variable for Firewall {
    const NAME: &'static str = "firewall";
    const DOC: &'static str = "which ports answer";
    const IS_COMMON: bool = true;
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}

/// The ports that are open on a host, besides that of ssh.
#[must_use]
pub fn open_ports(vars: &Vars) -> Vec<OpenPort> {
    let Roles(roles) = vars.get();
    let default = || match roles.iter().any(|role| [Role::Web, Role::Balancer].contains(role)) {
        true => WEB_PORTS.map(OpenPort::tcp_to_all).into(),
        false => Vec::new(),
    };
    vars.get::<Firewall>().allow.clone().unwrap_or_else(default)
}

/// A port that answers: to everybody, or to one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPort {
    /// Such as `80/tcp`.
    pub port: Port,
    /// From where it may be reached; from everywhere when absent.
    pub from: Option<Network>,
    /// What it is open for. ufw keeps it with the rule.
    pub comment: Option<String>,
}

impl OpenPort {
    /// A port that a part has opened to a network.
    pub(super) fn of_part(open: &OpenTo) -> Self {
        let port = Port { number: open.port, protocol: Protocol::Tcp };
        Self { port, from: Some(open.from.clone()), comment: None }
    }

    /// A TCP port that answers to everybody.
    fn tcp_to_all(number: u16) -> Self {
        let port = Port { number, protocol: Protocol::Tcp };
        Self { port, from: None, comment: None }
    }
}

/// A port with its protocol, written `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{}/{protocol}", self.number)
    }
}

impl Port {
    /// The port that a text such as `80/tcp` stands for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, protocol) = text.split_once('/')?;
        let number = number.parse::<u16>().ok().filter(|number| *number > 0)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        };
        Some(Self { number, protocol })
    }
}

/// ufw itself takes no single quote.
const COMMENT: Text<String> = Text {
    expected: "a line of up to 100 characters without `'`",
    pattern: r"[^'\u0000-\u001f\u007f-\u009f]{1,100}",
    check: |text| {
        let fits = text.chars().count() <= 100 && !text.contains('\'');
        (SENTENCE.check)(text).filter(|_| fits)
    },
};

/// A port that is open to all (`80/tcp`), or to one network (`{ port: 80, from: 10.0.0.0/8 }`).
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenPorts;

vars! {
    /// A port with who may reach it and what it is for.
    struct FromNetwork {
        /// port, such as `53/udp`; a number alone is one of TCP
        port: Port = "null", PortOrNumber;
        /// network that may reach it
        from: Option<Network> = "null", Optional(NETWORK);
        /// what it is open for, which `ufw status` shows as well
        comment: Option<String> = "null", Optional(COMMENT);
    }
}

impl Shape for OpenPorts {
    fn expected(&self) -> String {
        "a port such as `80/tcp` or `53/udp`, or a map such as `{ port: 80, from: 10.0.0.0/8, comment: shop }`"
            .to_owned()
    }

    fn json(&self) -> Json {
        json!({ "anyOf": [port_text(), Map::<FromNetwork>::new().json()] })
    }

    fn keys(&self) -> &'static [Key] {
        Map::<FromNetwork>::new().keys()
    }

    fn takes_scalar(&self) -> bool {
        true
    }
}

impl Rule for OpenPorts {
    type Value = OpenPort;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<OpenPort> {
        if field.is_map() {
            let FromNetwork { port, from, comment } = Map::new().read(reader, field)?;
            return Some(OpenPort { port, from, comment });
        }
        let port = reader.text(field, &self.expected(), Port::parse)?;
        Some(OpenPort { port, from: None, comment: None })
    }
}

/// A port such as `53/udp`, or the number of a TCP port.
#[derive(Clone, Copy, Debug)]
struct PortOrNumber;

const NUMBER: Number<u16> = Number { min: 1, max: u16::MAX };

impl Shape for PortOrNumber {
    fn expected(&self) -> String {
        "a number from 1 to 65535, or a port such as `53/udp`".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "anyOf": [NUMBER.json(), port_text()] })
    }
}

impl Rule for PortOrNumber {
    type Value = Port;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Port> {
        if field.is_number() {
            let number = NUMBER.read(reader, field)?;
            return Some(Port { number, protocol: Protocol::Tcp });
        }
        reader.text(field, &self.expected(), Port::parse)
    }
}

fn port_text() -> Json {
    json!({ "type": "string", "pattern": patterns::whole(patterns::PORT) })
}
