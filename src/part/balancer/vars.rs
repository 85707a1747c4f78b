//! The variable of balancers and of the web hosts behind them.

use crate::inventory::patterns;
use crate::inventory::schema::{Declared, Map, Number, Optional, Text, Variable};
use crate::part::Network;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Balancing>()];

vars! {
    /// How a host shares the work with others.
    pub struct Balancing {
        /// hosts with the same word here belong together: the web hosts, and the balancers in front of them
        pool: String = "web", WORD;
        /// address at which the others of the pool see this host, where that is not the one for SSH
        address: Option<String> = "null", Optional(ADDRESS);
        /// address that the balancers of a pool share, such as `192.0.2.9/24`; one that works has it
        virtual_address: Option<Network> = "null", Optional(SHARED);
        /// network interface that gets the shared address; needed where a balancer has several
        interface: Option<String> = "null", Optional(INTERFACE);
        /// port on which a web host takes the connections of its balancers alone, with the client's address
        port: u16 = "8443", Number { min: 1024, max: u16::MAX };
        /// most connections that a balancer has at once
        max_connections: u32 = "8000", Number { min: 100, max: 500_000 };
        /// seconds until a web host that has come back gets its full share
        slow_start: u16 = "10", Number { min: 1, max: 600 };
    }
}

const WORD: Text<String> = Text {
    expected: "a word of up to 32 letters, digits, `_` and `-`",
    pattern: "[A-Za-z0-9_-]{1,32}",
    check: |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let is_word = (1..=32).contains(&text.len()) && text.chars().all(fits);
        is_word.then(|| text.to_owned())
    },
};

const ADDRESS: Text<String> = Text {
    expected: "an IP address",
    pattern: patterns::ADDRESS,
    check: |text| text.parse::<std::net::IpAddr>().is_ok().then(|| text.to_owned()),
};

/// Without the length of its network, the address alone.
const SHARED: Text<Network> = Text {
    expected: "an IP address, with the length of its network as in `192.0.2.9/24`",
    pattern: patterns::NETWORK,
    check: |text| {
        let network = Network::parse(text)?;
        let is_host = network.net().addr() != network.net().network();
        (is_host || network.net().prefix_len() == network.net().max_prefix_len()).then_some(network)
    },
};

const INTERFACE: Text<String> = Text {
    expected: "the name of a network interface",
    pattern: "[A-Za-z0-9_.-]{1,15}",
    check: |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let is_name = (1..=15).contains(&text.len()) && text.chars().all(fits);
        is_name.then(|| text.to_owned())
    },
};

impl Variable for Balancing {
    const NAME: &'static str = "balancer";
    const DOC: &'static str = "web hosts behind balancers, see [several hosts](fleet.md)";
    const IS_COMMON: bool = true;
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}
