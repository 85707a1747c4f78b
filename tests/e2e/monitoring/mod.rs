//! Exporters, Prometheus and Grafana on a host: what they measure, who may reach them, and what is left when they go.

pub(crate) mod alerts;
pub(crate) mod fleet;
mod rules;
pub(crate) mod ways_back;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{MARK, Provisioned, changes, failure, lab, outcome, wait_until};
use crate::typescript;

crate::tests! {
    Lab: [
        a_host_measures_itself_for_itself_alone,
        prometheus_comes_as_a_package_too,
        grafana_has_its_dashboards_from_files,
    ],
}

/// The ports of all parts of monitoring.
const PORTS: [u16; 9] = [3000, 9090, 9093, 9100, 9113, 9115, 9121, 9145, 9094];
const ON: [&str; 4] = ["--set", "monitoring.enabled=true", "--set", "monitoring.interval=5"];

/// Runs a verb with monitoring on, and with other settings (`KEY=VALUE`) and words.
pub(crate) fn with(host: &Provisioned, verb: &str, others: &[&str]) -> (i32, Vec<Value>) {
    let archive = lab().prometheus_archive().expect("the stand-in for Prometheus's image");
    let archive = format!("monitoring.image_archive={}", archive.display());
    let mut args = ON.to_vec();
    args.extend(["--set", &archive]);
    for other in others {
        let set = (!other.starts_with('-') && other.contains('=')).then_some("--set");
        args.extend(set.into_iter().chain([*other]));
    }
    host.hwctl(verb, &args)
}

/// What Prometheus answers to a query of its API.
fn ask(host: &Provisioned, path: &str) -> Value {
    let answer = host.sh(&format!("curl -s -m 10 'http://127.0.0.1:9090/api/v1/{path}'"));
    serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}"))
}

/// How many series a query gives, and an error where it is none.
fn series(host: &Provisioned, query: &str) -> Result<usize, String> {
    let asked = format!("-G --data-urlencode 'query={query}' http://127.0.0.1:9090/api/v1/query");
    let answer = host.sh(&format!("curl -s -m 10 {asked}"));
    let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    match answer["data"]["result"].as_array() {
        Some(found) => Ok(found.len()),
        None => Err(answer.to_string()),
    }
}

/// The health of all targets by their jobs.
fn targets(host: &Provisioned) -> BTreeMap<String, String> {
    let answer = ask(host, "targets?state=active");
    let targets = answer["data"]["activeTargets"].as_array().expect("targets").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    targets
        .map(|target| {
            let name =
                format!("{}{}", text(&target["labels"]["job"]), text(&target["labels"]["page"]));
            (name, format!("{} {}", text(&target["health"]), text(&target["lastError"])))
        })
        .collect()
}

fn wait_until_all_targets_are_up(host: &Provisioned, least: usize) {
    let began = Instant::now();
    loop {
        let found = targets(host);
        let up = found.values().filter(|health| health.starts_with("up")).count();
        if up == found.len() && up >= least {
            return;
        }
        assert!(began.elapsed() < Duration::from_mins(2), "{found:#?}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The ways by which a port answers a neighbor on the host's link: at the host's address, at the address that the link has
/// by version 6, and at the host's end of Docker's bridge.
fn open_ways(host: &Provisioned, port: u16) -> Vec<String> {
    let link = host.host.link();
    let of_link =
        host.sh("ip -6 -o addr show dev eth0 scope link | awk '{print $4}' | cut -d/ -f1");
    let ways =
        [host.host.address.to_string(), format!("[{of_link}%25{link}]"), "172.17.0.1".to_owned()];
    let opens = |way: &String| {
        // Bound to the link, so that it goes there whatever the routes of this machine say.
        let url = format!("http://{way}:{port}/");
        let connected = Command::new("curl")
            .args(["-s", "-m", "0.7", "-o", "/dev/null", "-w", "%{time_connect}"])
            .args(["--interface", &format!("if!{link}"), &url])
            .output()
            .unwrap();
        String::from_utf8_lossy(&connected.stdout).parse::<f64>().is_ok_and(|time| time > 0.0)
    };
    ways.into_iter().filter(opens).collect()
}

/// Notes what listens on one of the ports of monitoring and not on 127.0.0.1 alone.
const WATCH: &str = r#"
import time

print("began")
while True:
    for table in "/proc/net/tcp", "/proc/net/tcp6":
        with open(table) as sockets:
            for socket in sockets.readlines()[1:]:
                local, _, state = socket.split()[1:4]
                address, port = local.split(":")
                if state == "0A" and 9090 <= int(port, 16) <= 9200 and address != "0100007F":
                    print(address, int(port, 16))
    time.sleep(0.02)
"#;

fn a_host_measures_itself_for_itself_alone() {
    let host = &Provisioned::ready("trixie");
    // Nobody listens on all addresses at any moment, also while apt sets the packages up.
    host.sh(&format!(
        "systemd-run --quiet --unit=watch-ports --property=StandardOutput=file:/run/seen \
         python3 -uc '{WATCH}'"
    ));

    let (code, events) = with(host, "provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    host.sh("systemctl stop watch-ports");
    assert_eq!(host.sh("cat /run/seen"), "began", "something listened on all addresses");
    let (code, events) = with(host, "provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    wait_until_all_targets_are_up(host, 10);
    nobody_else_reaches_it(host);
    no_process_shows_the_password_of_redis(host);
    every_alert_is_a_rule_and_none_fires(host);
    let (code, documents) = with(host, "status", &[]);
    assert_eq!(code, 0, "{documents:#?}");
    let told = serde_json::to_string(&documents).unwrap();
    assert!(told.contains("targets of Prometheus") && told.contains(" answer"), "{told}");
    let (code, events) = with(host, "verify", &[]);
    assert_eq!(code, 0, "{events:#?}");

    a_rule_that_promtool_refuses_changes_nothing(host);
    an_exporter_that_stops_is_named(host);

    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let left = "ls -d /etc/hwctl/prometheus /etc/hwctl/monitoring /etc/nginx/metrics \
                /etc/systemd/system/prometheus* /etc/systemd/system/multi-user.target.wants/prometheus* 2>/dev/null; \
                docker ps -aq --filter name=prometheus";
    assert_eq!(host.sh(&format!("{left}; :")), "");
    // Packages stay, and none of them may start what they bring, not even at the next boot.
    assert_eq!(host.sh("ss -Hltn '( sport >= :9090 and sport <= :9200 )'"), "");
    // What was measured is data, and stays.
    assert!(host.sh_ok("docker volume inspect prometheus-data"));
}

fn nobody_else_reaches_it(host: &Provisioned) {
    let open: Vec<_> = PORTS.iter().map(|port| (*port, open_ways(host, *port))).collect();
    let web = open_ways(host, 443);
    assert_eq!(web.len(), 3, "these are no ways to the host: {web:?}");
    assert!(open.iter().all(|(_, ways)| ways.is_empty()), "{open:?}");
    for path in ["/flask/metrics", "/metrics", "/nginx", "/flask/1"] {
        let status = Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", &host.url(path)]);
        assert_eq!(status, "404", "{path}");
    }
}

fn no_process_shows_the_password_of_redis(host: &Provisioned) {
    let password = "$(cat /var/lib/hwctl/secrets/redis-password)";
    assert!(host.sh_ok(&format!("test -n \"{password}\"")));
    let exporters = host.sh("pgrep -f exporter | sed 's,.*,/proc/&/environ,' | tr '\\n' ' '");
    assert!(exporters.split(' ').count() >= 4, "{exporters}");
    let places =
        format!("{exporters} /proc/[0-9]*/cmdline /etc/systemd/system /run/systemd/system");
    // grep itself has it in its command line, so it reads it from a file.
    let shows = format!("grep -rlaF -f /var/lib/hwctl/secrets/redis-password {places} 2>/dev/null");
    assert!(!host.sh_ok(&shows), "{}", host.sh(&shows));
    let readable = "su -s /bin/sh nobody -c 'cat /etc/hwctl/monitoring/redis.json'";
    assert!(!host.sh_ok(readable));
}

fn every_alert_is_a_rule_and_none_fires(host: &Provisioned) {
    let answer = ask(host, "rules");
    let groups = answer["data"]["groups"].as_array().unwrap();
    let rules: Vec<_> =
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() >= 12, "{answer:#}");
    for rule in rules {
        // One may wait for its time: the disk of the machine under the lab is what it is.
        assert_ne!(rule["state"], "firing", "{rule:#}");
        assert_eq!(rule["lastError"].as_str().unwrap_or_default(), "", "{rule:#}");
    }
}

fn a_rule_that_promtool_refuses_changes_nothing(host: &Provisioned) {
    let templates = host.folder().join("templates/prometheus");
    fs::create_dir_all(&templates).unwrap();
    let own = "groups:\n  - name: own\n    rules:\n      - alert: Own\n        expr: up == == 0\n";
    fs::write(templates.join("alerts.yml"), own).unwrap();
    let before = host.sh("docker inspect -f '{{.Id}} {{.State.StartedAt}}' prometheus");

    let (code, events) = with(host, "provision", &[]);

    assert_ne!(code, 0, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("promtool check config") && told.contains("alerts.yml"), "{told}");
    assert!(told.contains("could not parse expression"), "{told}");
    assert_eq!(host.sh("docker inspect -f '{{.Id}} {{.State.StartedAt}}' prometheus"), before);
    fs::write(templates.join("alerts.yml"), own.replace("== ==", "==")).unwrap();
    let (code, events) = with(host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"container prometheus"), "{events:#?}");
    wait_until("the rule of one's own is read", || {
        ask(host, "rules")["data"]["groups"][0]["name"] == "own"
    });
    host.mend();
    assert_eq!(with(host, "provision", &[]).0, 0);
}

fn an_exporter_that_stops_is_named(host: &Provisioned) {
    host.sh("systemctl stop prometheus-node-exporter");
    let (code, documents) = with(host, "doctor", &[]);
    let told = serde_json::to_string(&documents).unwrap();
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("monitoring-stopped") && told.contains("node-exporter"), "{told}");
    let (code, documents) = with(host, "doctor", &["--fix"]);
    assert_eq!(code, 0, "{documents:#?}");
    assert!(host.sh_ok("systemctl is-active prometheus-node-exporter"));
    let (code, events) = with(host, "restart", &["prometheus"]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, lines) = with(host, "logs", &["prometheus"]);
    assert!(code == 0 && !lines.is_empty(), "{lines:#?}");
}

fn prometheus_comes_as_a_package_too() {
    let host = &Provisioned::ready("bookworm");
    let package = ["monitoring.source=package"];
    let (code, events) = with(host, "provision", &package);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = with(host, "provision", &package);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    wait_until_all_targets_are_up(host, 10);
    let listening = host.sh("ss -Hltn '( sport >= :9090 and sport <= :9200 )'");
    assert!(listening.lines().all(|line| line.contains("127.0.0.1:")), "{listening}");
    let (code, documents) = with(host, "status", &package);
    assert_eq!(code, 0, "{documents:#?}");
    rules::each_fires_on_trouble_and_on_nothing_else(host);

    let templates = host.folder().join("templates/prometheus");
    fs::create_dir_all(&templates).unwrap();
    fs::write(templates.join("prometheus.yml"), "scrape_configs:\n  - job_nam: x\n").unwrap();
    let (code, events) = with(host, "provision", &package);
    let told = failure(&events);
    assert!(code != 0 && told.contains("job_nam"), "{told}");
    host.mend();
    assert_eq!(with(host, "provision", &package).0, 0);

    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.sh("ss -Hltn '( sport >= :9090 and sport <= :9200 )'"), "");
}

/// The image of Grafana cannot be had here. This one has a server that answers what hwctl asks on Grafana's port, and
/// nothing else of it.
const GRAFANA: &str = r#"
root=/root/image
mkdir -p $root/bin $root/etc $root/tmp $root/var/lib/grafana $root/www/grafana/api
apt-get install -qq --no-install-recommends busybox-static >/dev/null 2>&1
cp /bin/busybox $root/bin/
echo '{"database":"ok"}' >$root/www/grafana/api/health
echo 'Grafana' >$root/www/grafana/login
echo 'Grafana' >$root/www/grafana/index.html
chown 472:0 $root/var/lib/grafana
printf 'root:x:0:0::/:/bin/sh\ngrafana:x:472:0::/:/bin/sh\n' >$root/etc/passwd
tar -C $root -c . | docker import -c 'ENTRYPOINT ["/bin/busybox","httpd","-f","-p","127.0.0.1:3000","-h","/www"]' \
  -c 'VOLUME /var/lib/grafana' -c 'USER 472' - grafana/grafana:12.4.2
rm -r $root
"#;

fn grafana_has_its_dashboards_from_files() {
    let host = &Provisioned::ready("trixie");
    host.sh(GRAFANA);
    let password = format!("monitoring.grafana.password={MARK}grafana");
    let grafana = ["monitoring.grafana={}", password.as_str()];
    let (code, events) = with(host, "provision", &grafana);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = with(host, "provision", &grafana);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    its_container_has_few_rights_and_shows_no_password(host);
    let page = Provisioned::curl(&["-w", "%{http_code}", &host.url("/grafana/login")]);
    assert!(page.contains("Grafana") && page.ends_with("200"), "{page}");
    assert!(open_ways(host, 3000).is_empty());
    let (code, events) = with(host, "verify", &grafana);
    assert_eq!(code, 0, "{events:#?}");
    let closed = [grafana[0], "monitoring.grafana.allow=[192.0.2.0/24]"];
    assert_eq!(with(host, "provision", &closed).0, 0);
    let status =
        Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", &host.url("/grafana/login")]);
    assert_eq!(status, "403");

    wait_until_all_targets_are_up(host, 10);
    every_panel_has_data(host);
    let files = host.host.root().join("etc/hwctl/grafana/dashboards");
    typescript::dashboards_are_of_grafanas_types(&files);
}

fn its_container_has_few_rights_and_shows_no_password(host: &Provisioned) {
    let inspected = host.sh("docker inspect grafana");
    assert!(!inspected.contains(MARK), "the password shows");
    let all: Value = serde_json::from_str(&inspected).unwrap();
    let config = &all[0]["HostConfig"];
    assert_eq!(config["NetworkMode"], "host");
    assert_eq!(config["ReadonlyRootfs"], true);
    assert_eq!(config["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(all[0]["Config"]["User"], "472:0");
    let inside = "docker exec grafana /bin/busybox";
    assert_eq!(
        host.sh(&format!("{inside} cat /etc/grafana/admin-password")),
        format!("{MARK}grafana")
    );
    assert!(!host.sh_ok("su -s /bin/sh nobody -c 'cat /etc/hwctl/grafana/admin-password'"));
    let settings = host.sh(&format!("{inside} cat /etc/grafana/grafana.ini"));
    for line in ["allow_sign_up = false", "reporting_enabled = false", "serve_from_sub_path = true"]
    {
        assert!(settings.lines().any(|found| found == line), "{settings}");
    }
}

/// Asks Prometheus what each panel of each dashboard asks.
fn every_panel_has_data(host: &Provisioned) {
    // Traffic of all kinds: pages, visits, logins that fail.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(70) {
        host.count_visit();
        Provisioned::curl(&[&host.url("/"), &host.url("/flask/"), &host.url("/flask/nope")]);
        std::thread::sleep(Duration::from_millis(500));
    }
    let folder = host.host.root().join("etc/hwctl/grafana/dashboards");
    let (mut asked, mut empty) = (0, Vec::new());
    for (file, dashboard) in dashboards(&folder) {
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let query = query.replace("$__rate_interval", "1m").replace("$instance", ".*");
                asked += 1;
                if series(host, &query) != Ok(0) && series(host, &query).is_ok() {
                    continue;
                }
                empty.push(format!(
                    "{file}, {}: {query}: {:?}",
                    panel["title"],
                    series(host, &query)
                ));
            }
        }
    }
    assert!(empty.is_empty(), "{empty:#?}");
    assert!(asked > 40, "only {asked} queries");
}

/// The dashboards in a folder, by the names of their files.
fn dashboards(folder: &Path) -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder).unwrap().flatten();
    files
        .map(|file| {
            let text = fs::read_to_string(file.path()).unwrap();
            let name = file.file_name().to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}
