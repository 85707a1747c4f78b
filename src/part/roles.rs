//! What a host is for, and which hosts there are.

use serde::{Deserialize, Serialize};

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
}

impl Role {
    /// All roles by their names in the inventory.
    pub const NAMES: [(&'static str, Self); 3] =
        [("web", Self::Web), ("redis", Self::Redis), ("monitor", Self::Monitor)];

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
        "what the host is for: a list of `web`, `redis` and `monitor`, see below";
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
}
