//! The hosts of an inventory as their peers see them.

use super::schema::{self, Schema};
use super::yaml::node::{self, Entry, Node, Value};
use super::yaml::place;
use super::{Inventory, InventoryHost, Lookup, Role};
use crate::failure::Failure;

/// All hosts of an inventory, whichever of them are worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// In the order of the inventory.
    pub hosts: Vec<Peer>,
}

/// A host as its peers see it: without its variables, which would need its passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name in the inventory.
    pub name: String,
    /// Where ssh goes.
    pub address: String,
    /// What it is for.
    pub roles: Vec<Role>,
}

impl Inventory {
    /// All hosts as their peers see them.
    pub fn fleet(&self) -> Result<Fleet, Failure> {
        let mut defaults = schema::defaults()?;
        defaults.value = Value::Map(roles_in(defaults.entries().unwrap_or_default()));
        let peer = |host: InventoryHost| {
            let roles = self.roles(&host, &defaults)?;
            Ok(Peer { name: host.name, address: host.address, roles })
        };
        let hosts = self.hosts()?.into_iter().map(peer);
        Ok(Fleet { hosts: hosts.collect::<Result<_, Failure>>()? })
    }

    fn roles(&self, host: &InventoryHost, defaults: &Node) -> Result<Vec<Role>, Failure> {
        let said = host.variable(schema::ROLES)?;
        let said = said.as_slice();
        let value = Value::Map(node::lay(defaults.entries().unwrap_or_default(), said));
        let root = Node::new(value, defaults.place.clone());
        let mut schema = Schema::new(&self.passwords, &self.folder, Lookup::Never);
        let roles = schema.roles_of(&root);
        roles
            .ok_or_else(|| place::failure(schema.reader.problems).not_done("no host was contacted"))
    }
}

/// The entries that say what a host is for.
fn roles_in(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().filter(|entry| entry.key == schema::ROLES).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load};
    use super::*;

    fn fleet(text: &str) -> Result<Fleet, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        std::fs::write(&path, text).unwrap();
        load(&Sources::at(&path, Vec::new()))?.fleet()
    }

    #[test]
    fn peers_have_the_roles_of_their_groups_and_their_own() {
        let text = "all:\n  vars: { roles: [redis] }\n  hosts:\n    a:\n    b: { ansible_host: 192.0.2.7, roles: [web] }\n";

        let fleet = fleet(text).unwrap();

        let peer = |name: &str, address: &str, role| Peer {
            name: name.to_owned(),
            address: address.to_owned(),
            roles: vec![role],
        };
        let expected = [peer("a", "a", Role::Redis), peer("b", "192.0.2.7", Role::Web)];
        assert_eq!(fleet.hosts, expected);
    }

    #[test]
    fn roles_of_any_host_have_to_make_sense() {
        let failure = fleet("all:\n  hosts:\n    a:\n    b: { roles: [wbe] }\n").unwrap_err();

        assert!(
            failure.what.contains("inventory.yaml:4:") && failure.what.contains("`roles[0]`"),
            "{failure:?}"
        );
        assert_eq!(failure.not_done.as_deref(), Some("no host was contacted"));
    }
}
