//! Addresses and networks of an inventory.

use ipnet::IpNet;

use crate::inventory::patterns;
use crate::inventory::schema::Text;

/// An address or network from which something may be reached.
pub(crate) const NETWORK: Text<Network> = Text {
    expected: "an IP address or a network such as `10.0.0.0/8`",
    pattern: patterns::NETWORK,
    check: Network::parse,
};

/// An address (`10.0.0.5`) or a network (`192.168.1.0/24`), shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    text: String,
    net: IpNet,
}

impl Network {
    /// The network that a text stands for. None where it is neither an address nor a network.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let address = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        let net = text.parse().ok().or_else(address)?;
        Some(Self { text: text.to_owned(), net })
    }

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
