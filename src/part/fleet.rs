//! What is known of all hosts of an inventory before any of them is contacted.

use super::roles::{Fleet, Peer, Role, Roles};
use super::{Kinds, balancer, monitoring};
use crate::failure::Failure;
use crate::inventory::{Inventory, InventoryHost};

impl Kinds {
    /// All hosts of an inventory as their peers see them.
    pub fn fleet(self, inventory: &Inventory) -> Result<Fleet, Failure> {
        let hosts = inventory.hosts()?;
        let peer = |host: &InventoryHost| {
            let Roles(roles) = inventory.value(host)?;
            let (name, address) = (host.name.clone(), host.address.clone());
            Ok(Peer { name, address, roles, measured: None, pooled: None })
        };
        let mut peers = hosts.iter().map(peer).collect::<Result<Vec<_>, Failure>>()?;
        let has = |role| peers.iter().any(|peer| peer.roles.contains(&role));
        let (is_measured, is_balanced) = (has(Role::Monitor), has(Role::Balancer));
        let has_others = peers.len() > 1;
        if is_measured || is_balanced {
            // All of them: which variables are hwctl's is seen from those that stand together.
            let declared = self.variables();
            for (peer, host) in peers.iter_mut().zip(&hosts) {
                let (vars, _) = inventory.vars(host, &declared)?;
                if is_measured {
                    monitoring::measure(peer, host, &vars, has_others)?;
                }
                if is_balanced {
                    balancer::pool(peer, host, &vars)?;
                }
            }
        }
        balancer::require_whole(&mut peers, &hosts)?;
        Ok(Fleet { hosts: peers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Sources, load};
    use crate::part::roles::Role;

    fn fleet(text: &str) -> Result<Fleet, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        std::fs::write(&path, text).unwrap();
        let inventory = load(&Sources::at(&path, Vec::new()))?;
        Kinds::builtin().fleet(&inventory)
    }

    #[test]
    fn peers_have_the_roles_of_their_groups_and_their_own() {
        let text = "all:\n  vars: { roles: [redis] }\n  hosts:\n    a:\n    b: { ansible_host: 192.0.2.7, roles: [web] }\n";

        let fleet = fleet(text).unwrap();

        let peer = |name: &str, address: &str, role| Peer {
            name: name.to_owned(),
            address: address.to_owned(),
            roles: vec![role],
            measured: None,
            pooled: None,
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
