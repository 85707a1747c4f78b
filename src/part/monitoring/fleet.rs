//! What a monitor collects from the other hosts of its inventory.

use super::exporters;
use super::vars::Monitoring;
use crate::failure::Failure;
use crate::inventory::{InventoryHost, Vars};
use crate::part::roles::{Measured, Peer, Role};

/// Adds to a host of a fleet with a monitor what that collects from it.
pub(in crate::part) fn measure(
    peer: &mut Peer,
    host: &InventoryHost,
    vars: &Vars,
    has_others: bool,
) -> Result<(), Failure> {
    peer.measured = measured(peer, vars);
    if has_others { require_whole(peer, host, vars.get()) } else { Ok(()) }
}

fn measured(peer: &Peer, vars: &Vars) -> Option<Measured> {
    let Monitoring { enabled, address, gateway_port: port, .. } = vars.get();
    let jobs = exporters::shown(&peer.roles, vars).map(|job| job.name).collect();
    let address = address.clone().unwrap_or_else(|| peer.address.clone());
    enabled.then_some(Measured { address, port: *port, jobs })
}

/// Refuses a monitor that could collect nothing, and a host that a monitor could not be sure of.
fn require_whole(peer: &Peer, host: &InventoryHost, vars: &Monitoring) -> Result<(), Failure> {
    let name = &peer.name;
    let is_monitor = peer.roles.contains(&Role::Monitor);
    let refuse = |what: String, path: &[&str]| host.refused(&what, path);
    let Some(measured) = &peer.measured else {
        let what = format!("`{name}` is a monitor and has no Prometheus");
        let hint = "set `monitoring.enabled: true` for it, or leave `monitor` out of its roles";
        return if is_monitor { Err(refuse(what, &["roles"]).hint(hint)) } else { Ok(()) };
    };
    if vars.key.is_none() {
        let what = format!("`{name}` is measured by a monitor, and `monitoring.key` is not set");
        let why = "the certificates by which both know each other follow from it";
        let hint = "make one with `openssl rand -hex 32 > monitoring.key`, and set \
                    `monitoring.key: { file: monitoring.key }` for all hosts";
        return Err(refuse(what, &["monitoring"]).why(why).hint(hint));
    }
    if is_monitor && measured.address.parse::<std::net::IpAddr>().is_err() {
        let what = format!(
            "`{name}` is a monitor at `{}`, and the firewalls of its peers take addresses alone",
            measured.address
        );
        let hint =
            format!("set `monitoring.address` of `{name}` to the address that its peers see");
        return Err(refuse(what, &["roles"]).hint(hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::failure::Failure;
    use crate::inventory::{Sources, load};
    use crate::part::{Fleet, Kinds};

    fn fleet(hosts: &str, vars: &str) -> Result<Fleet, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        let api = "api: { users: { a: long-enough } }";
        let text =
            format!("all:\n  vars: {{ {api}, monitoring: {{ {vars} }} }}\n  hosts:\n{hosts}");
        std::fs::write(&path, text).unwrap();
        Kinds::builtin().fleet(&load(&Sources::at(&path, Vec::new()))?)
    }

    const HOSTS: &str = "    mon: { ansible_host: 192.0.2.1, roles: [monitor, balancer] }\n    \
                         a: { ansible_host: a.example.org }\n    \
                         b: { ansible_host: 192.0.2.3, roles: [redis], redis: null }\n";

    #[test]
    fn a_monitor_knows_what_its_peers_measure() {
        let fleet = fleet(HOSTS, "enabled: true, key: k, gateway_port: 9000").unwrap();

        let measured = fleet.hosts.iter().map(|peer| peer.measured.as_ref().unwrap());
        let seen: Vec<_> =
            measured.map(|it| (it.address.as_str(), it.port, it.jobs.join(" "))).collect();
        let expected = [
            ("192.0.2.1", 9000, "node haproxy".to_owned()),
            ("a.example.org", 9000, "node nginx redis".to_owned()),
            ("192.0.2.3", 9000, "node".to_owned()),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn without_a_monitor_no_host_is_measured_by_another() {
        let fleet = fleet("    a:\n    b:\n", "enabled: true").unwrap();

        assert!(fleet.hosts.iter().all(|peer| peer.measured.is_none()));
    }

    #[test]
    fn a_monitor_that_cannot_do_its_work_is_refused() {
        let refused = |hosts: &str, vars: &str| {
            let failure = fleet(hosts, vars).unwrap_err();
            assert_eq!(failure.not_done.as_deref(), Some("no host was contacted"));
            format!("{} {}", failure.what, failure.hint.unwrap_or_default())
        };
        for (hosts, vars, expected) in [
            (
                HOSTS,
                "enabled: true",
                "`mon` is measured by a monitor, and `monitoring.key` is not set",
            ),
            (HOSTS, "key: k", "`mon` is a monitor and has no Prometheus"),
            (
                "    mon: { ansible_host: mon.example.org, roles: [monitor] }\n    a:\n",
                "enabled: true, key: k",
                "`monitoring.address` of `mon`",
            ),
        ] {
            let told = refused(hosts, vars);
            assert!(told.contains(expected), "{told}");
        }
    }
}
