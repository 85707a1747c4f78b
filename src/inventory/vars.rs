//! The settings of one host after all merging, typed: the stack's variables and their meaning.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::resource::Secret;

/// The stack's variables of one host. Defaults are in `src/inventory/defaults.yaml`, deep-merged
/// below what the inventory says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vars {
    /// What the host is for. At least one.
    pub roles: Vec<Role>,
    /// Home of the API on the host: its `.env` and its binaries. Absolute.
    pub app_dir: PathBuf,
    /// Names the host serves besides its own address.
    pub server_names: Vec<String>,
    /// The certificate of port 443.
    pub tls: Tls,
    /// The static sites by name; `main` is the landing page at `/`.
    pub sites: BTreeMap<String, Site>,
    /// The API behind `/flask/`.
    pub api: Api,
    /// The Redis container.
    pub redis: Redis,
    /// Which ports answer.
    pub firewall: Firewall,
    /// Rotation of nginx's logs.
    pub logrotate: Logrotate,
}

/// What a host is for in its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It serves the sites and the API.
    Web,
    /// It has the Redis that the API counts in.
    Redis,
}

impl Role {
    /// All roles by their names in the inventory.
    pub const NAMES: [(&str, Self); 2] = [("web", Self::Web), ("redis", Self::Redis)];

    /// Its name in the inventory.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }
}

/// How port 443 gets its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Where the certificate comes from.
    pub mode: TlsMode,
    /// Life of a new certificate, in days (1 to 365: clients refuse longer ones).
    pub days: u16,
    /// Renew when fewer days than this are left.
    pub renew_before: u16,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Made and signed on the host itself.
    SelfSigned,
}

/// One static site.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// URL path it is served under, such as `/open`.
    pub path: String,
    /// Folder on the host that holds its pages. Absolute.
    pub root: PathBuf,
    /// Local folder whose content is uploaded; hwctl's own page when absent. Relative to the
    /// inventory's folder.
    #[serde(default)]
    pub source: Option<PathBuf>,
    /// Who may log in (basic auth): name to password. Open to all when empty.
    #[serde(default)]
    pub users: BTreeMap<String, Secret>,
    /// From where it may be reached; from everywhere when empty.
    #[serde(default)]
    pub allow: Vec<Network>,
}

impl Site {
    /// The path that clients ask for: that of a folder, with a slash at its end.
    #[must_use]
    pub fn url_path(&self) -> String {
        format!("{}/", self.path.trim_end_matches('/'))
    }
}

/// An address (`10.0.0.5`) or a network (`192.168.1.0/24`), shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    text: String,
    net: IpNet,
}

impl Network {
    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        self.net.contains(&address)
    }

    /// The text that the inventory has.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The network itself. A single address is one of full length.
    #[must_use]
    pub fn net(&self) -> IpNet {
        self.net
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
            .map_err(|_| format!("`{text}` is neither an IP address nor a network"))?;
        Ok(Self { text, net })
    }
}

/// The API's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Who may log in: name to password.
    pub users: BTreeMap<String, Secret>,
    /// Worker threads; the host's CPU count when `auto`.
    pub workers: Workers,
    /// Life of a token, in seconds.
    pub token_ttl: u32,
    /// Local binary that takes the place of hwctl's own API.
    pub binary: Option<PathBuf>,
}

/// How many worker threads the API has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Workers {
    /// Exactly this many.
    Count(std::num::NonZeroU16),
    /// One for each CPU of the host.
    Auto(Auto),
}

/// The word `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auto {
    /// Let hwctl choose.
    Auto,
}

/// The Redis container's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Image reference.
    pub image: String,
    /// Container name.
    pub container: String,
    /// Volume that keeps its data.
    pub volume: String,
    /// Port on the host's loopback.
    pub port: u16,
    /// Local image tar (as `docker save` writes it) that is loaded when the host lacks the
    /// image. Relative to the inventory's folder.
    #[serde(default)]
    pub image_archive: Option<PathBuf>,
}

/// Which ports answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    /// Open ports. The SSH port in use is always open.
    pub allow: Vec<OpenPort>,
    /// Whether rules that hwctl did not make are removed.
    pub exclusive: bool,
}

/// A port that answers: to everybody, or to one network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenPort {
    /// Such as `80/tcp`.
    pub port: Port,
    /// From where it may be reached; from everywhere when absent.
    #[serde(default)]
    pub from: Option<Network>,
}

impl OpenPort {
    /// A TCP port that answers to everybody.
    pub(super) fn tcp_to_all(number: u16) -> Self {
        Self { port: Port { number, protocol: Protocol::Tcp }, from: None }
    }
}

/// A port with its protocol, written `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
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

impl TryFrom<String> for Port {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a port such as `80/tcp` or `53/udp`");
        let (number, protocol) = text.split_once('/').ok_or_else(wrong)?;
        let number = number.parse::<u16>().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(wrong()),
        };
        Ok(Self { number, protocol })
    }
}

/// Rotation of nginx's logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logrotate {
    /// How many old logs are kept.
    pub keep: u16,
    /// How often they are rotated.
    pub every: Interval,
}

/// How often logs are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
}
