//! A port that the firewall lets clients in to.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A port that is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FirewallPort {
    /// 1 to 65535.
    pub number: u16,
    /// `tcp` or `udp`.
    pub protocol: Transport,
    /// The network that it is open to. None: every address, of IPv4 and IPv6.
    #[serde(default, with = "crate::resource::model::as_text")]
    pub from: Option<IpNet>,
    /// The client that has to be let in. A rule of others that does makes this port unnecessary.
    #[serde(default, with = "crate::resource::model::as_text")]
    pub enough_for: Option<IpAddr>,
    /// What the port is open for, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a port's number is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP, which HTTP/3 uses too.
    Udp,
}

impl FirewallPort {
    /// A port that every address may reach.
    #[must_use]
    pub fn open_to_all(number: u16, protocol: Transport) -> Self {
        Self { number, protocol, from: None, enough_for: None, comment: None }
    }

    /// The network as ufw writes it: a single address has no length, and all addresses are none.
    pub(super) fn source(&self) -> Option<String> {
        let from = self.from.filter(|from| from.prefix_len() > 0)?.trunc();
        let is_single = from.prefix_len() == from.max_prefix_len();
        Some(if is_single { from.addr().to_string() } else { from.to_string() })
    }
}

impl fmt::Display for FirewallPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.name())?;
        match self.source() {
            Some(from) => write!(f, " from {from}"),
            None => Ok(()),
        }
    }
}

impl Transport {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
