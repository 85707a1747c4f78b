//! What a host is for, and which hosts there are.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::network::Network;
use crate::inventory::schema::{Choice, Field, List, Reader, Rule, Shape, Variable};

/// What a host is for in its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It serves the sites and the API.
    Web,
    /// It has the Redis that the API counts in.
    Redis,
    /// Its Prometheus collects what all hosts of the fleet measure.
    Monitor,
    /// It passes the connections of clients on to the hosts that serve.
    Balancer,
}

impl Role {
    /// All roles by their names in the inventory.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("web", Self::Web),
        ("redis", Self::Redis),
        ("monitor", Self::Monitor),
        ("balancer", Self::Balancer),
    ];

    /// Its name in the inventory.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }
}

/// The roles of a host. There is at least one, and none is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(pub Vec<Role>);

impl Variable for Roles {
    const NAME: &'static str = "roles";
    const DOC: &'static str =
        "what the host is for: a list of `web`, `redis`, `monitor` and `balancer`, see below";
    const DEFAULT: &'static str = "[web, redis]";
    const IS_COMMON: bool = true;
    type Rule = RoleList;
    const RULE: &'static RoleList = &RoleList(List(Choice(&Role::NAMES)));
}

/// Roles, each once.
#[derive(Clone, Copy, Debug)]
pub struct RoleList(List<Choice<Role>>);

impl Shape for RoleList {
    fn expected(&self) -> String {
        self.0.expected()
    }

    fn json(&self) -> serde_json::Value {
        let mut json = self.0.json();
        json["minItems"] = 1.into();
        json["uniqueItems"] = true.into();
        json
    }

    fn each(&self) -> Option<&dyn Shape> {
        self.0.each()
    }
}

impl Rule for RoleList {
    type Value = Roles;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Roles> {
        let roles = self.0.read(reader, field)?;
        let twice = roles.iter().enumerate().find(|(at, role)| roles[..*at].contains(role));
        if let Some((at, _)) = twice {
            return reader.refuse(field, format!("`roles[{at}]` is in the list already"), "");
        }
        if roles.is_empty() {
            let message = "`roles` is empty: a host needs at least one";
            return reader.refuse(field, message, "leave it out for `[web, redis]`");
        }
        Some(Roles(roles))
    }
}

/// All hosts of an inventory, whichever of them are worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// In the order of the inventory.
    pub hosts: Vec<Peer>,
}

/// What a monitor collects from a host, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The address at which the monitor reaches it, and a monitor's peers see that.
    pub address: String,
    /// The port of its gateway.
    pub port: u16,
    /// The jobs of its exporters.
    pub jobs: Vec<&'static str>,
}

/// The place of a host in a pool: one or more balancers, and the web hosts behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pooled {
    /// The name of the pool.
    pub pool: String,
    /// What the others of the pool have to know of it.
    pub side: Side,
}

/// On which side of the balancers a host of a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// A balancer.
    Balancer {
        /// The address that its connections to the web hosts come from.
        source: IpAddr,
        /// Names and addresses that clients ask it for.
        names: Vec<String>,
        /// The address that the balancers of the pool share.
        shared: Option<Network>,
    },
    /// A web host behind balancers.
    Web {
        /// The address or the name at which the balancers reach it.
        address: String,
        /// The port that takes the connections of its balancers alone.
        port: u16,
        /// The page that shows whether it can do its work.
        check: HealthPage,
    },
}

/// A page that shows whether a web host can do its work, the most telling one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthPage {
    /// That of the API and its database.
    Health,
    /// That of the API, on a host without a database.
    Ping,
    /// The page at the top, on a host without the API.
    Top,
}

/// A host as its peers see it: without its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name in the inventory.
    pub name: String,
    /// Where ssh goes.
    pub address: String,
    /// What it is for.
    pub roles: Vec<Role>,
    /// What a monitor of the fleet collects from it. None where there is no monitor, or nothing is measured.
    pub measured: Option<Measured>,
    /// Its place in a pool. None where it is in none, or its pool has no balancer.
    pub pooled: Option<Pooled>,
}

impl Fleet {
    /// The place of the host with this name in its pool.
    #[must_use]
    pub fn pooled(&self, name: &str) -> Option<&Pooled> {
        self.hosts.iter().find(|peer| peer.name == name)?.pooled.as_ref()
    }

    /// All hosts in the pool of the host with this name, in the order of the inventory. None where it is in no pool.
    pub fn pool_of(&self, name: &str) -> impl Iterator<Item = (&Peer, &Side)> {
        let pool = self.pooled(name).map(|own| own.pool.as_str());
        let peers = self.hosts.iter().filter_map(|peer| Some((peer, peer.pooled.as_ref()?)));
        peers
            .filter(move |(_, pooled)| pool == Some(pooled.pool.as_str()))
            .map(|(peer, pooled)| (peer, &pooled.side))
    }

    /// The balancers in front of the host with this name, each with the address that its connections come from.
    pub fn balancers_of(&self, name: &str) -> impl Iterator<Item = (&Peer, IpAddr)> {
        let is_web = self.pooled(name).is_some_and(|own| matches!(own.side, Side::Web { .. }));
        self.pool_of(name).filter(move |_| is_web).filter_map(|(peer, side)| match side {
            Side::Balancer { source, .. } => Some((peer, *source)),
            Side::Web { .. } => None,
        })
    }
}
