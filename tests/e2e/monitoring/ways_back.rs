//! What becomes of monitoring when a host changes: it goes with the way back of its run, and follows the versions of an
//! app.

use std::fs;

use serde_json::Value;

use super::{targets, with};
use crate::host::{Provisioned, outcome, wait_until};

crate::tests! {
    Lab: [
        a_way_back_takes_monitoring_away_and_keeps_what_was_measured,
        the_metrics_of_an_app_follow_its_versions,
    ],
}

/// Ports, units, users, rules of the firewall, files and containers of a host.
const STATE: &str = r#"
ss -Hltn | awk '{print "port", $4}' | sort -u
systemctl list-unit-files --state=enabled --no-legend | awk '{print "unit", $1}' | sort
systemctl list-units --plain --no-legend --state=failed | awk '{print "failed", $1}' | sort
getent passwd | sed 's/^/user /' | sort
ufw status | grep -v '^$' | sed 's/^/rule /' | sort
find /etc/hwctl /etc/nginx /etc/systemd/system -printf 'file %p %m %u %g %l\n' | sort
docker ps -a --format 'container {{.Names}}' | sort
"#;

fn a_way_back_takes_monitoring_away_and_keeps_what_was_measured() {
    let host = &Provisioned::ready("trixie");
    let before = host.sh(STATE);
    let (code, events) = with(host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_ne!(host.sh(STATE), before);

    let (code, events) = host.hwctl("rollback", &["--yes"]);

    assert_eq!(code, 0, "{events:#?}");
    // The user of Debian's packages is nobody's to remove: files of others may belong to it.
    let after = host.sh(STATE);
    let is_of_package = |line: &&str| line.starts_with("user prometheus:");
    let after: Vec<_> = after.lines().filter(|line| !is_of_package(line)).collect();
    let lost: Vec<_> = before.lines().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> =
        after.iter().filter(|line| !before.lines().any(|old| old == **line)).collect();
    assert!(lost.is_empty() && new.is_empty(), "lost: {lost:#?}, new: {new:#?}");
    assert!(host.sh_ok("docker volume inspect prometheus-data"));
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    for verb in ["status", "verify", "doctor"] {
        let (code, events) = host.hwctl(verb, &[]);
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }
}

const APP: &str = r#"
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'shop_build_info{version="VERSION"} 1\n')

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

const APPS: &str = "all:\n  vars:\n    apps:\n      shop: { path: /shop, source: shop, run: [python3, app.py], \
                    packages: [python3], health: /shop/healthz, metrics: /shop/metrics }\n";

fn the_metrics_of_an_app_follow_its_versions() {
    let host = &Provisioned::ready("trixie");
    let folder = host.folder();
    fs::create_dir_all(folder.join("shop")).unwrap();
    fs::write(folder.join("apps.yaml"), APPS).unwrap();
    let write = |version: &str| {
        fs::write(folder.join("shop/app.py"), APP.replace("VERSION", version)).unwrap();
    };
    let both = ["-i", "inventory.yaml", "-i", "apps.yaml"];
    let run = |verb: &str, args: &[&str]| {
        let (code, events) = with(host, verb, &[args, &both].concat());
        assert_eq!(code, 0, "{verb}: {events:#?}");
    };
    let query = |query: &str| {
        let asked =
            format!("-G --data-urlencode 'query={query}' http://127.0.0.1:9090/api/v1/query");
        let answer: Value =
            serde_json::from_str(&host.sh(&format!("curl -s -m 10 {asked}"))).unwrap();
        answer["data"]["result"].clone()
    };
    let serves = |version: &str| {
        let found = query("shop_build_info");
        found.as_array().unwrap().len() == 1 && found[0]["metric"]["version"] == version
    };
    write("one");
    run("provision", &[]);
    wait_until("the first version is read", || serves("one"));

    write("two");
    run("deploy", &["shop"]);
    wait_until("the second version is read", || serves("two"));
    let found = targets(host);
    assert!(found["shop"].starts_with("up"), "{found:#?}");
    run("deploy", &["shop", "--rollback"]);
    wait_until("the first version is read again", || serves("one"));

    let metric = &query("shop_build_info")[0]["metric"];
    assert_eq!((&metric["instance"], &metric["replica"]), (&"vm".into(), &"1".into()), "{metric}");
    let missed =
        query("count_over_time(up{job=\"shop\"}[10m])-sum_over_time(up{job=\"shop\"}[10m])");
    let missed: f64 = missed[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!(missed <= 2.0, "{missed} looks found no app");
    let fired =
        query("count_over_time(ALERTS{alertname=\"TargetDown\",alertstate=\"firing\"}[10m])");
    assert_eq!(fired, serde_json::json!([]));
    // Nobody else gets to see them.
    let status =
        |path: &str| Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", &host.url(path)]);
    assert_eq!((status("/shop/metrics"), status("/shop/")), ("404".to_owned(), "200".to_owned()));
}
