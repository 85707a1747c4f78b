//! Which hosts of an inventory are balancers and which are behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Balancing;
use crate::failure::Failure;
use crate::inventory::{InventoryHost, Vars};
use crate::part::Network;
use crate::part::api::Api;
use crate::part::redis::Redis;
use crate::part::roles::{HealthPage, Peer, Pooled, Role, Side};

/// Adds to a host its place in a pool.
pub(in crate::part) fn pool(
    peer: &mut Peer,
    host: &InventoryHost,
    vars: &Vars,
) -> Result<(), Failure> {
    peer.pooled = pooled(peer, vars, host)?;
    Ok(())
}

/// Takes the places of web hosts whose pool has no balancer, and refuses a balancer whose pool has no web host.
pub(in crate::part) fn require_whole(
    peers: &mut [Peer],
    hosts: &[InventoryHost],
) -> Result<(), Failure> {
    require_one_shared_address(peers, hosts)?;
    require_free_shared_addresses(peers, hosts)?;
    let balanced: BTreeSet<String> = pools(peers, true);
    let served = pools(peers, false);
    for (peer, host) in peers.iter_mut().zip(hosts) {
        let Some(Pooled { pool, side }) = &peer.pooled else { continue };
        match side {
            Side::Web { .. } if !balanced.contains(pool) => peer.pooled = None,
            Side::Balancer { .. } if !served.contains(pool) => {
                let what = format!(
                    "`{}` is a balancer, and no web host is in its pool `{pool}`",
                    peer.name
                );
                let hint = "give hosts that serve the role `web` and the same `balancer.pool`";
                return Err(host.refused(&what, &["roles"]).hint(hint));
            }
            Side::Web { .. } | Side::Balancer { .. } => {}
        }
    }
    Ok(())
}

/// Refuses balancers of one pool that are to share different addresses.
fn require_one_shared_address(peers: &[Peer], hosts: &[InventoryHost]) -> Result<(), Failure> {
    let mut first: BTreeMap<&str, (&Peer, &Option<Network>)> = BTreeMap::new();
    for (peer, host) in peers.iter().zip(hosts) {
        let Some(Pooled { pool, side: Side::Balancer { shared, .. } }) = &peer.pooled else {
            continue;
        };
        let (other, theirs) = *first.entry(pool).or_insert((peer, shared));
        if theirs != shared {
            let what = format!(
                "`{}` and `{}` are balancers of the pool `{pool}` with different \
                 `balancer.virtual_address`",
                other.name, peer.name
            );
            let hint = "set it once, for the group of the balancers";
            return Err(host.refused(&what, &["balancer", "virtual_address"]).hint(hint));
        }
    }
    Ok(())
}

/// Refuses to share an address that one of the hosts has for itself.
fn require_free_shared_addresses(peers: &[Peer], hosts: &[InventoryHost]) -> Result<(), Failure> {
    for (peer, host) in peers.iter().zip(hosts) {
        let Some(Pooled { side: Side::Balancer { shared: Some(shared), .. }, .. }) = &peer.pooled
        else {
            continue;
        };
        let shared = shared.net().addr();
        let has_it = |peer: &&Peer| {
            let inside = peer.pooled.as_ref().map(|pooled| match &pooled.side {
                Side::Balancer { source, .. } => source.to_string(),
                Side::Web { address, .. } => address.clone(),
            });
            inside.into_iter().chain([peer.address.clone()]).any(|at| at.parse() == Ok(shared))
        };
        if let Some(owner) = peers.iter().find(has_it) {
            let what =
                format!("the balancers are to share `{shared}`, the address of `{}`", owner.name);
            let hint = "take an address of their network that no host has";
            return Err(host.refused(&what, &["balancer", "virtual_address"]).hint(hint));
        }
    }
    Ok(())
}

/// The pools that have a balancer, or else a web host.
fn pools(peers: &[Peer], of_balancers: bool) -> BTreeSet<String> {
    let places = peers.iter().filter_map(|peer| peer.pooled.as_ref());
    let meant = places.filter(|place| matches!(place.side, Side::Balancer { .. }) == of_balancers);
    meant.map(|place| place.pool.clone()).collect()
}

fn pooled(peer: &Peer, vars: &Vars, host: &InventoryHost) -> Result<Option<Pooled>, Failure> {
    let Balancing { pool, address, port, virtual_address, .. } = vars.get();
    let has = |role| peer.roles.contains(&role);
    let address = address.clone().unwrap_or_else(|| peer.address.clone());
    let side = match (has(Role::Balancer), has(Role::Web)) {
        (false, false) => return Ok(None),
        (false, true) => {
            let has_database = has(Role::Redis) && !vars.is_taken_away::<Redis>();
            let check = match vars.is_taken_away::<Api>() {
                true => HealthPage::Top,
                false if has_database => HealthPage::Health,
                false => HealthPage::Ping,
            };
            Side::Web { address, port: *port, check }
        }
        (true, true) => {
            let what = format!("`{}` is a balancer and a web host", peer.name);
            let why = "both would listen on the ports 80 and 443";
            return Err(host
                .refused(&what, &["roles"])
                .why(why)
                .hint("leave `balancer` or `web` out of its `roles`"));
        }
        (true, false) => {
            let source = address.parse::<IpAddr>().map_err(|_| {
                let what = format!(
                    "`{}` is a balancer at `{address}`, and the firewalls of the web hosts take \
                     addresses alone",
                    peer.name
                );
                let hint = format!(
                    "set `balancer.address` of `{}` to the address that its web hosts see",
                    peer.name
                );
                host.refused(&what, &["roles"]).hint(hint)
            })?;
            let shared = virtual_address.clone();
            let other_family =
                |shared: &&Network| shared.net().addr().is_ipv4() != source.is_ipv4();
            if let Some(shared) = shared.as_ref().filter(other_family) {
                let what = format!(
                    "`balancer.virtual_address` is `{}`, and `{}` is at `{source}`",
                    shared.as_str(),
                    peer.name
                );
                let failure = host.refused(&what, &["balancer", "virtual_address"]);
                return Err(failure.hint("take an address of the same family for both"));
            }
            let mut names = vec![peer.address.clone(), address];
            names.extend(shared.iter().map(|shared| shared.net().addr().to_string()));
            names.dedup();
            Side::Balancer { source, names, shared }
        }
    };
    Ok(Some(Pooled { pool: pool.clone(), side }))
}

#[cfg(test)]
mod tests {
    use crate::failure::Failure;
    use crate::inventory::{Sources, load};
    use crate::part::{Fleet, Kinds, Side};

    fn fleet(hosts: &str) -> Result<Fleet, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        let text = format!(
            "all:\n  vars: {{ api: {{ users: {{ a: long-enough }} }} }}\n  hosts:\n{hosts}"
        );
        std::fs::write(&path, text).unwrap();
        Kinds::builtin().fleet(&load(&Sources::at(&path, Vec::new()))?)
    }

    /// The members of the pool that a host is in, as `NAME SIDE`.
    fn pool(fleet: &Fleet, name: &str) -> Vec<String> {
        let told = |side: &Side| match side {
            Side::Balancer { source, names, .. } => format!("{source} {}", names.join(",")),
            Side::Web { address, port, check } => format!("{address}:{port} {check:?}"),
        };
        fleet.pool_of(name).map(|(peer, side)| format!("{} {}", peer.name, told(side))).collect()
    }

    #[test]
    fn a_balancer_and_the_web_hosts_of_its_pool_know_each_other() {
        let fleet = fleet(
            "    lb: { ansible_host: lb.example.org, roles: [balancer], balancer: { address: 192.0.2.1 } }\n    \
             a: { ansible_host: 192.0.2.11 }\n    \
             b: { ansible_host: b.example.org, roles: [web], balancer: { port: 9000 } }\n    \
             c: { roles: [web], api: null, balancer: { address: 192.0.2.13 } }\n    \
             data: { roles: [redis] }\n    \
             other: { balancer: { pool: test } }\n",
        )
        .unwrap();

        let expected = [
            "lb 192.0.2.1 lb.example.org,192.0.2.1",
            "a 192.0.2.11:8443 Health",
            "b b.example.org:9000 Ping",
            "c 192.0.2.13:8443 Top",
        ];
        assert_eq!(pool(&fleet, "lb"), expected);
        assert_eq!(pool(&fleet, "a"), expected);
        assert!(pool(&fleet, "data").is_empty() && pool(&fleet, "other").is_empty());
        let names = |of| fleet.balancers_of(of).map(|(peer, _)| peer.name.as_str());
        assert_eq!(names("a").collect::<Vec<_>>(), ["lb"]);
        assert_eq!(names("lb").count() + names("other").count(), 0);
    }

    #[test]
    fn without_a_balancer_no_host_is_in_a_pool() {
        let fleet = fleet("    a:\n    b: { roles: [web] }\n").unwrap();

        assert!(fleet.hosts.iter().all(|peer| peer.pooled.is_none()));
    }

    #[test]
    fn balancers_of_a_pool_share_one_address() {
        let balancers = |first: &str, second: &str| {
            fleet(&format!(
                "    lb1: {{ ansible_host: 192.0.2.1, roles: [balancer], balancer: {{ {first} }} }}\n    \
                 lb2: {{ ansible_host: 192.0.2.2, roles: [balancer], balancer: {{ {second} }} }}\n    a:\n"
            ))
        };
        let shared = "virtual_address: 192.0.2.9/24";

        let of_both = balancers(shared, shared).unwrap();

        assert_eq!(pool(&of_both, "a")[1], "lb2 192.0.2.2 192.0.2.2,192.0.2.9");
        for (first, second) in [(shared, ""), (shared, "virtual_address: 192.0.2.8/24")] {
            let failure = balancers(first, second).unwrap_err();
            let told = "`lb1` and `lb2` are balancers of the pool `web` with different";
            assert!(failure.what.contains(told), "{failure:?}");
        }
    }

    #[test]
    fn a_balancer_that_cannot_do_its_work_is_refused() {
        for (hosts, expected, hint) in [
            (
                "    lb: { roles: [balancer] }\n    a:\n",
                "`lb` is a balancer at `lb`",
                "`balancer.address` of `lb`",
            ),
            (
                "    lb: { ansible_host: 192.0.2.1, roles: [balancer] }\n    a: { balancer: { pool: b } }\n",
                "no web host is in its pool `web`",
                "`balancer.pool`",
            ),
            (
                "    lb: { ansible_host: 192.0.2.1, roles: [balancer], balancer: { virtual_address: 2001:db8::9 } }\n    a:\n",
                "`balancer.virtual_address` is `2001:db8::9`, and `lb` is at `192.0.2.1`",
                "the same family",
            ),
            (
                "    lb: { ansible_host: 192.0.2.1, roles: [balancer], balancer: { virtual_address: 192.0.2.3/24 } }\n    a: { ansible_host: 192.0.2.3 }\n",
                "the balancers are to share `192.0.2.3`, the address of `a`",
                "that no host has",
            ),
            (
                "    lb: { ansible_host: 192.0.2.1, roles: [balancer, web] }\n",
                "`lb` is a balancer and a web host",
                "leave `balancer` or `web` out",
            ),
        ] {
            let failure = fleet(hosts).unwrap_err();
            assert_eq!(failure.not_done.as_deref(), Some("no host was contacted"));
            assert!(failure.what.contains(expected), "{failure:?}");
            assert!(failure.what.contains("inventory.yaml:4:"), "{failure:?}");
            assert!(failure.hint.as_deref().is_some_and(|it| it.contains(hint)), "{failure:?}");
        }
    }
}
