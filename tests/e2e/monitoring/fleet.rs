//! A monitor and the hosts that it collects from: who may read what they measure, and who is told of one that is gone.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::ask;
use crate::host::{MARK, Provisioned, changes, lab};
use crate::watch::{MINUTE, SETTLE, Watched};

crate::tests! {
    Lab: [a_monitor_reads_its_peers_and_tells_of_one_that_is_gone],
}

/// hwctl's own rules, save that nobody waits two minutes for a host that is gone.
const RULES: &str = include_str!("../../../templates/prometheus/alerts.yml");

struct Fleet {
    /// The monitor, which is called `vm`.
    monitor: Watched,
    web: Provisioned,
    /// A host without a web server.
    data: Provisioned,
}

impl Fleet {
    fn new() -> Self {
        let monitor = Watched::new();
        let (web, data) = (Provisioned::ready("trixie"), Provisioned::fresh("trixie"));
        let fleet = Self { monitor, web, data };
        let folder = fleet.monitor.host.folder();
        let rules = RULES.replace("for: 2m", "for: 10s");
        fs::create_dir_all(folder.join("templates/prometheus")).unwrap();
        fs::write(folder.join("templates/prometheus/alerts.yml"), rules).unwrap();
        fs::write(folder.join("monitoring.key"), format!("{MARK}{}\n", "a".repeat(40))).unwrap();
        let hosts = [&fleet.monitor.host, &fleet.web, &fleet.data];
        let known = hosts.map(|host| fs::read_to_string(host.host.known_hosts()).unwrap());
        fs::write(folder.join("known_hosts"), known.concat()).unwrap();
        fleet
    }

    /// Writes the inventory of the monitor and these hosts.
    fn declare(&self, own: &str, original: &str, others: &[(&str, &Provisioned, &str)]) {
        let archive = lab().prometheus_archive().expect("the stand-in for Prometheus's image");
        let monitoring = format!(
            "  vars:\n    monitoring:\n      enabled: true\n      interval: 5\n      image_archive: {}\n      \
             key: {{ file: monitoring.key }}\n",
            archive.display()
        );
        let mut text = original.replacen("  vars:\n", &monitoring, 1);
        text = text.replacen("    vm:\n", &format!("    vm:\n      roles: [{own}]\n"), 1);
        for (name, host, roles) in others {
            let (address, user) = (host.host.address, host.host.ssh_user());
            let key = host.host.identity().display().to_string();
            write!(
                text,
                "    {name}:\n      roles: [{roles}]\n      ansible_host: {address}\n      ansible_user: {user}\n      \
                 ansible_ssh_private_key_file: {key}\n"
            )
            .unwrap();
        }
        fs::write(self.monitor.host.folder().join("inventory.yaml"), text).unwrap();
    }

    fn hwctl(&self, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
        self.monitor.host.hwctl(verb, &[&["--known-hosts", "known_hosts"], args].concat())
    }

    /// The targets of the monitor that answer, as `INSTANCE JOB`.
    fn up(&self) -> BTreeSet<String> {
        let answer = ask(&self.monitor.host, "query?query=up==1");
        let found = answer["data"]["result"].as_array().expect("samples").iter();
        let label =
            |sample: &Value, name: &str| sample["metric"][name].as_str().unwrap().to_owned();
        found.map(|it| format!("{} {}", label(it, "instance"), label(it, "job"))).collect()
    }
}

/// What became of each host, in the order of the inventory.
fn outcomes(events: &[Value]) -> Vec<String> {
    let summary = events.iter().find(|event| event["event"] == "summary").expect("a summary");
    let hosts = summary["hosts"].as_array().unwrap().iter();
    hosts.map(|host| host["outcome"].as_str().unwrap().to_owned()).collect()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(90), "never: {what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn a_monitor_reads_its_peers_and_tells_of_one_that_is_gone() {
    let mut fleet = Fleet::new();
    let original = fs::read_to_string(fleet.monitor.host.folder().join("inventory.yaml")).unwrap();
    let all = "web, redis, monitor";
    fleet.declare(
        all,
        &original,
        &[("web", &fleet.web, "web, redis"), ("data", &fleet.data, "redis")],
    );

    let (code, events) = fleet.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = fleet.hwctl("provision", &[]);
    assert_eq!((code, outcomes(&events)), (0, vec!["unchanged".to_owned(); 3]), "{events:#?}");

    let wanted: BTreeSet<String> = [
        ("vm", "node nginx redis prometheus flask"),
        ("web", "node nginx redis fleet flask pages certificate"),
        ("data", "node redis fleet"),
    ]
    .iter()
    .flat_map(|(host, jobs)| jobs.split(' ').map(move |job| format!("{host} {job}")))
    .collect();
    wait_for("all targets answer", || fleet.up().is_superset(&wanted));
    // What the applications of a peer count is there, too.
    let counted = ask(&fleet.monitor.host, "query?query=count(http_requests_total)by(instance)");
    assert_eq!(counted["data"]["result"].as_array().unwrap().len(), 2, "{counted:#}");
    for verb in ["status", "verify", "doctor"] {
        let (code, events) = fleet.hwctl(verb, &[]);
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }
    nobody_else_may_read(&fleet);

    one_that_is_gone_is_told_once(&mut fleet);

    fleet.declare(all, &original, &[("web", &fleet.web, "web, redis")]);
    let (code, events) = fleet.hwctl("provision", &["--limit", "vm"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"file /etc/hwctl/prometheus/prometheus.yml"), "{events:#?}");
    let targets = || ask(&fleet.monitor.host, "targets?state=active").to_string();
    wait_for("the host has left the targets", || {
        !targets().contains(r#""instance":"data""#) && targets().contains(r#""instance":"web""#)
    });

    fleet.declare("web, redis", &original, &[("web", &fleet.web, "web, redis")]);
    let (code, events) = fleet.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let left = "ls -d /etc/hwctl/metrics-gateway /etc/hwctl/prometheus/fleet /etc/systemd/system/hwctl-metrics* \
                /etc/systemd/system/*/hwctl-metrics* 2>/dev/null; ufw status | grep 9443; ss -Hltn '( sport = :9443 )'; :";
    for host in [&fleet.web, &fleet.monitor.host] {
        assert_eq!(host.sh(left), "");
    }
}

fn nobody_else_may_read(fleet: &Fleet) {
    let (monitor, web) = (&fleet.monitor.host, &fleet.web);
    let ask = |host: &Provisioned, path: &str, more: &str| {
        let url = format!("https://{}:9443{path}", web.host.address);
        host.sh(&format!("curl -sk -m 3 -o /run/answer -w '%{{http_code}}' {more} {url}; :"))
    };
    let own = "--cert /etc/hwctl/prometheus/fleet/certificate.pem --key /etc/hwctl/prometheus/fleet/key.pem";
    assert_eq!(ask(monitor, "/node", own), "200");
    assert!(monitor.sh("cat /run/answer").contains("node_cpu_seconds_total"));
    for path in ["/", "/metrics", "/probe?target=127.0.0.1:22", "/page-exporter", "/api/v1/query"] {
        assert_eq!(ask(monitor, path, own), "404", "{path}");
    }
    assert_eq!(ask(monitor, "/node", ""), "400", "without a certificate");
    // What a peer has proves nothing to another one.
    let theirs = web.host.root().join("etc/hwctl/metrics-gateway");
    for name in ["certificate.pem", "key.pem"] {
        let to = monitor.host.root().join("root").join(name);
        fs::copy(theirs.join(name), to).unwrap();
    }
    let of_peer = "--cert /root/certificate.pem --key /root/key.pem";
    assert_eq!(ask(monitor, "/node", of_peer), "400", "with the certificate of a peer");
    // Even with the monitor's own, nobody comes from elsewhere: not a neighbor, and not the operator.
    assert_eq!(ask(&fleet.data, "/node", ""), "000");
    assert!(!web.answers(9443) && !fleet.data.answers(9443));
    // Keys are for those who need them.
    let keys = "/etc/hwctl/metrics-gateway/key.pem /etc/hwctl/prometheus/fleet/key.pem";
    for host in [monitor, web, &fleet.data] {
        assert!(!host.sh_ok(&format!("su -s /bin/sh www-data -c 'cat {keys}'")));
        let shown = host.sh(&format!("grep -rslF {MARK}a /etc /run /var/lib/hwctl /var/log || :"));
        assert_eq!(shown, "", "the key of the fleet is on a host");
    }
    assert_eq!(fleet.data.sh("systemctl is-active nginx.service; :"), "inactive");
    assert_eq!(fleet.data.sh("systemctl is-enabled nginx.service; :"), "disabled");
}

fn one_that_is_gone_is_told_once(fleet: &mut Fleet) {
    let monitor = &mut fleet.monitor;
    monitor.now = Timestamp::now().as_second();
    monitor.is_quiet(MINUTE, "all is well");
    fleet.web.host.cut_network().unwrap();
    let firing = |monitor: &Watched| ask(&monitor.host, "alerts").to_string();
    wait_for("the alert fires", || {
        let told = firing(monitor);
        told.contains("HostGone") && told.contains(r#""state":"firing""#)
    });

    let (state, id, text) = monitor.told_one(MINUTE, "a host is gone");

    assert_eq!((state.as_str(), id.as_str()), ("fault", "alert/HostGone instance=web job=node"));
    assert!(text.contains("web does not answer the monitor vm"), "{text}");
    assert!(text.contains("hwctl status --limit web"), "{text}");
    monitor.is_quiet(MINUTE, "it was told");
    // A peer that cannot be reached stays in what the monitor collects, and makes no fault of the monitor's.
    let args = ["--known-hosts", "known_hosts", "--connect-timeout", "3", "--limit", "vm,web"];
    let (code, events) = monitor.host.hwctl("provision", &args);
    let seen = outcomes(&events);
    assert_eq!(
        (code, seen),
        (5, vec!["unchanged".to_owned(), "unreachable".to_owned()]),
        "{events:#?}"
    );
    assert!(monitor.host.sh("cat /etc/hwctl/prometheus/prometheus.yml").contains("fleet/web"));

    fleet.web.host.restore_network().unwrap();
    wait_for("the alert is over", || !firing(monitor).contains("HostGone"));
    monitor.is_quiet(MINUTE, "it may go again");
    let (state, id, _) = monitor.told_one(SETTLE, "the host is back");
    assert_eq!(
        (state.as_str(), id.as_str()),
        ("recovered", "alert/HostGone instance=web job=node")
    );
}
