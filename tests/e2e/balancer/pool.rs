//! A balancer and web hosts behind it, in one inventory.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;

use serde_json::Value;

use crate::host::{MARK, Provisioned, lab};
use crate::load::Target;

/// A pool of lab hosts. The balancer is called `lb`, a second one `lb2`, the others `web1` and so on.
pub(super) struct Pool {
    pub(super) lb: Provisioned,
    /// Another balancer, with the address that the two share.
    pub(super) second: Option<(Provisioned, IpAddr)>,
    pub(super) web: Vec<Provisioned>,
}

impl Pool {
    /// Hosts that were never provisioned, and an inventory that names all of them.
    pub(super) fn fresh(release: &str, web: usize) -> Self {
        Self::of(Provisioned::fresh(release), None, release, web)
    }

    /// The same with two balancers that share an address.
    pub(super) fn with_two_balancers(release: &str, web: usize) -> Self {
        let mut balancers = Provisioned::fresh_neighbors(release, 2).into_iter();
        let (lb, second) = (balancers.next().unwrap(), balancers.next().unwrap());
        let shared = beside(&lb, 100).parse().unwrap();
        Self::of(lb, Some((second, shared)), release, web)
    }

    fn of(
        lb: Provisioned,
        second: Option<(Provisioned, IpAddr)>,
        release: &str,
        web: usize,
    ) -> Self {
        let web = (0..web).map(|_| Provisioned::fresh(release)).collect();
        let pool = Self { lb, second, web };
        let other = pool.second.iter().map(|(host, _)| host);
        let hosts = std::iter::once(&pool.lb).chain(other).chain(&pool.web);
        let known: String =
            hosts.map(|host| fs::read_to_string(host.host.known_hosts()).unwrap()).collect();
        fs::write(pool.lb.folder().join("known_hosts"), known).unwrap();
        pool.declare(pool.web.len(), "");
        pool
    }

    /// Writes the inventory of the balancer and of the first `count` web hosts. Those have the lines `more`, too.
    pub(super) fn declare(&self, count: usize, more: &str) {
        self.declare_with(count, more, "");
    }

    /// The same with more keys of `api`, each after a comma.
    pub(super) fn declare_with(&self, count: usize, more: &str, api: &str) {
        let archive = lab().redis_archive().expect("the stand-in for Redis's image");
        let mut text = format!(
            "all:\n  vars:\n    redis: {{ image_archive: {} }}\n    \
             api: {{ users: {{ admin: {MARK}api }}{api} }}\n    \
             sites: {{ site2: {{ users: {{ admin: {MARK}site }}, allow: [{}] }} }}\n  hosts:\n",
            archive.display(),
            self.operator(),
        );
        let mut add = |name: &str, host: &Provisioned, lines: &str| {
            let (address, user) = (host.host.address, host.host.ssh_user());
            let key = host.host.identity().display();
            write!(
                text,
                "    {name}:\n      ansible_host: {address}\n      ansible_user: {user}\n      \
                 ansible_ssh_private_key_file: {key}\n{lines}"
            )
            .unwrap();
        };
        // The balancer stands first, and its turn comes last.
        let role = "      roles: [balancer]\n";
        match &self.second {
            None => add("lb", &self.lb, role),
            Some((second, shared)) => {
                let lines = format!("{role}      balancer: {{ virtual_address: {shared}/24 }}\n");
                add("lb", &self.lb, &lines);
                add("lb2", second, &lines);
            }
        }
        for (at, host) in self.web.iter().take(count).enumerate() {
            add(&format!("web{}", at + 1), host, &format!("      roles: [web]\n{more}"));
        }
        fs::write(self.lb.folder().join("inventory.yaml"), text).unwrap();
    }

    /// The address of this machine as the balancer sees it.
    pub(super) fn operator(&self) -> String {
        beside(&self.lb, 1)
    }

    pub(super) fn hwctl(&self, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
        self.lb.hwctl(verb, &[&["--known-hosts", "known_hosts"], args].concat())
    }

    /// Runs a verb that has to succeed.
    pub(super) fn must(&self, verb: &str, args: &[&str]) -> Vec<Value> {
        let (code, events) = self.hwctl(verb, args);
        assert_eq!(code, 0, "{verb}: {events:#?}");
        events
    }

    /// The balancer as clients with load on it know it.
    pub(super) fn target(&self) -> Target {
        let certificate = |host: &Provisioned| host.sh("cat /etc/nginx/ssl/homework.crt");
        let certificates: Vec<String> = self.web.iter().map(certificate).collect();
        Target::of_many(self.lb.host.address, &certificates, "")
    }

    /// The status that this machine gets for a path of the balancer.
    pub(super) fn status(&self, path: &str, more: &[&str]) -> String {
        let url = self.lb.url(path);
        let own = ["-o", "/dev/null", "-w", "%{http_code}", &url];
        Provisioned::curl(&[more, &own].concat())
    }

    /// The same for a host of the lab.
    pub(super) fn status_for(&self, host: &Provisioned, path: &str, more: &str) -> String {
        let url = self.lb.url(path);
        host.sh(&format!("curl -sk -m 5 -o /dev/null -w '%{{http_code}}' {more} {url}; :"))
    }

    /// How HAProxy lists the web hosts, as `NAME STATUS`.
    pub(super) fn servers(&self) -> Vec<String> {
        let (_, events) = self.hwctl("status", &["--limit", "lb"]);
        let checks = events.iter().flat_map(|it| it["hosts"].as_array().into_iter().flatten());
        let checks = checks.flat_map(|host| host["checks"].as_array().into_iter().flatten());
        let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
        let told = checks.filter_map(|check| {
            let name = text(check, "name");
            let host = name.strip_prefix("web host ")?.to_owned();
            Some(format!("{host} {}", if check["ok"] == true { "ok" } else { "down" }))
        });
        told.collect()
    }
}

/// The address with this last byte in the network of a host.
fn beside(host: &Provisioned, last: u8) -> String {
    let address = host.host.address.to_string();
    let (network, _) = address.rsplit_once('.').unwrap();
    format!("{network}.{last}")
}

/// What became of each host, as `NAME OUTCOME`, in the order of the inventory.
pub(super) fn outcomes(events: &[Value]) -> Vec<String> {
    let summary = events.iter().find(|event| event["event"] == "summary").expect("a summary");
    let hosts = summary["hosts"].as_array().unwrap().iter();
    let text = |host: &Value, name: &str| host[name].as_str().unwrap().to_owned();
    hosts.map(|host| format!("{} {}", text(host, "host"), text(host, "outcome"))).collect()
}

/// The hosts in the order in which the work on them ended.
pub(super) fn ended(events: &[Value]) -> Vec<String> {
    let done = events.iter().filter(|event| event["event"] == "done");
    done.filter_map(|event| Some(event["host"].as_str()?.to_owned())).collect()
}
