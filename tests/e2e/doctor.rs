//! `hwctl doctor`: for each fault that is made on a real host, its cause is named first.

use std::fs;

use crate::host::{self, Provisioned, changes, failure, outcome};
use serde_json::Value;

crate::tests! {
    Lab: [
        the_cause_is_named_first,
        a_host_that_was_never_provisioned_is_named_as_such,
        what_a_client_brings_is_looked_at,
        a_closed_page_names_the_line_that_would_open_it,
        a_change_by_hand_is_told,
    ],
}

/// Breaks the host; what doctor names first, a part of its evidence or of its next step; what
/// mends it. Without that, `--fix` does.
pub(crate) const FAULTS: [(&str, &str, &str, &str); 19] = [
    ("systemctl stop flask-app.socket flask-app.service", "api-socket-stopped", "inactive", ""),
    ("systemctl stop flask-app", "api-stopped", "inactive", ""),
    // A process that does not obey is killed while it is being stopped: the unit has failed then.
    (
        "systemctl kill -s STOP flask-app; systemctl stop --no-block flask-app; \
         systemctl kill -s KILL flask-app; until systemctl is-failed flask-app; do sleep 0.1; done",
        "api-stopped",
        "signal",
        "",
    ),
    ("rm /run/gunicorn/flask.sock", "api-socket-absent", "No such file", ""),
    ("chmod 0600 /run/gunicorn/flask.sock", "api-socket-permissions", "it is 0600", ""),
    ("chown root:root /run/gunicorn/flask.sock", "api-socket-permissions", "root:root", ""),
    (
        "rm /usr/local/lib/hwctl/api/flask-app; systemctl restart flask-app || sleep 1",
        "api-failing",
        "not as it was declared: link /usr/local/lib/hwctl/api/flask-app",
        "",
    ),
    ("docker stop redis-flask", "redis-stopped", "is exited", ""),
    ("docker rm -f redis-flask", "redis-absent", "redis-flask", ""),
    ("docker pause redis-flask", "redis-paused", "is paused", "docker unpause redis-flask"),
    (
        "mount -t tmpfs -o size=1m tmpfs /var/log/nginx; dd if=/dev/zero of=/var/log/nginx/x bs=64k; true",
        "disk-full",
        "/var/log/nginx",
        "umount /var/log/nginx",
    ),
    ("echo 'nonsense;' >> /etc/nginx/nginx.conf", "nginx-configuration", "nginx.conf:", ""),
    (
        "echo 'nonsense;' > /etc/nginx/conf.d/mine.conf; systemctl stop nginx",
        "nginx-configuration",
        "mend or remove `/etc/nginx/conf.d/mine.conf:1`",
        "rm /etc/nginx/conf.d/mine.conf; systemctl start nginx",
    ),
    (
        "echo 'nonsense;' > /etc/nginx/sites-available/homework",
        "nginx-configuration",
        "sites-enabled/homework",
        "",
    ),
    (
        "printf '/var/log/nginx/*.log {\\n  weekly\\n}\\n' > /etc/logrotate.d/app-nginx",
        "log-rotation",
        "remove `/etc/logrotate.d/app-nginx`",
        "rm /etc/logrotate.d/app-nginx",
    ),
    ("systemctl stop nginx", "nginx-stopped", "inactive", ""),
    ("ufw delete allow 443/tcp", "firewall", "443/tcp", ""),
    (
        "cd /etc/nginx/ssl; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
         -keyout homework.key -out homework.crt -subj /CN=x -not_before 20200101000000Z \
         -not_after 20200201000000Z; nginx -s reload",
        "certificate-expired",
        "2020-02-01",
        "",
    ),
    ("rm /etc/nginx/ssl/homework.crt", "certificate-absent", "homework.crt", ""),
];

fn the_cause_is_named_first() {
    let host = Provisioned::ready("trixie");
    healthy(&host);
    for (fault, cause, told, remedy) in FAULTS {
        named_and_mended(&host, fault, cause, told, remedy);
    }
}

fn a_host_that_was_never_provisioned_is_named_as_such() {
    let host = Provisioned::fresh("trixie");

    let (code, events) = host.hwctl("doctor", &[]);

    assert_eq!((code, cause(&events)), (1, "not-provisioned".to_owned()), "{events:#?}");
    let (code, events) = host.hwctl("restart", &["all"]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("hwctl has made nothing on this host"), "{events:#?}");
}

fn findings(events: &[Value]) -> Vec<Value> {
    let all = events.iter().rfind(|event| event["event"] == "diagnosis");
    all.unwrap_or_else(|| panic!("no diagnosis: {events:#?}"))["findings"]
        .as_array()
        .unwrap()
        .clone()
}

fn cause(events: &[Value]) -> String {
    findings(events).first().map_or("", |first| first["cause"].as_str().unwrap()).to_owned()
}

fn healthy(host: &Provisioned) {
    let (code, events) = host.hwctl("doctor", &[]);
    assert_eq!((code, findings(&events)), (0, vec![]), "{events:#?}");
}

fn named_and_mended(host: &Provisioned, fault: &str, expected: &str, told: &str, remedy: &str) {
    host.sh(&format!("{{ {fault}; }} >/dev/null 2>&1"));
    let (code, events) = host.hwctl("doctor", &[]);
    assert_eq!((code, cause(&events).as_str()), (1, expected), "after `{fault}`: {events:#?}");
    let first = findings(&events)[0].to_string();
    assert!(first.contains(told), "after `{fault}`: {first}");
    // What another finding advises must not do harm either.
    let all = format!("{:?}", findings(&events));
    assert!(!all.contains("mend or remove `/etc/nginx`"), "after `{fault}`: {all}");
    if remedy.is_empty() {
        let (code, events) = host.hwctl("doctor", &["--fix"]);
        assert_eq!(
            (code, outcome(&events).as_str()),
            (0, "changed"),
            "after `{fault}`: {events:#?}"
        );
        assert_eq!(findings(&events), [Value::Null; 0]);
    } else {
        assert!(findings(&events)[0]["fix"].is_null(), "after `{fault}`: {events:#?}");
        host.sh(&format!("{{ {remedy}; }} >/dev/null 2>&1"));
    }
    healthy(host);
    let ping = Provisioned::curl(&[&host.url("/flask/api/ping")]);
    assert_eq!(ping, r#"{"status":"ok"}"#, "after `{fault}`");
}

fn what_a_client_brings_is_looked_at() {
    let host = &Provisioned::ready("trixie");
    // The host's clock is this machine's: the operator's is shifted instead.
    let (code, events) = host.hwctl("doctor", &["--now", "1800000000"]);
    assert_eq!((code, cause(&events).as_str()), (1, "clock"), "{events:#?}");

    let body = r#"{"username":"admin","password":"marked-secret-api"}"#;
    let login = ["-H", "Content-Type: application/json", "-d", body];
    let token = || {
        let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());
        host::fields(&answer, "token")
    };
    let valid = token();
    let (code, events) = host.hwctl("doctor", &["--token", &valid]);
    assert_eq!((code, findings(&events)), (0, vec![]), "{events:#?}");
    let (code, events) = host.hwctl("doctor", &["--token", "nonsense"]);
    assert_eq!((code, cause(&events).as_str()), (1, "token-malformed"));
    let foreign = format!("{}AAAA", &valid[..valid.len() - 4]);
    let (_, events) = host.hwctl("doctor", &["--token", &foreign]);
    assert_eq!(cause(&events), "token-foreign");
    assert!(!format!("{events:?}").contains(&foreign));

    let (code, events) = host.hwctl("provision", &["--set", "api.token_ttl=1"]);
    assert_eq!(code, 0, "{events:#?}");
    let short = token();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(host.hwctl("provision", &[]).0, 0);
    let (code, events) = host.hwctl("doctor", &["--token", &short]);
    assert_eq!((code, cause(&events).as_str()), (1, "token-expired"), "{events:#?}");
    assert!(failure(&events).contains("admin"), "{events:#?}");
}

fn a_closed_page_names_the_line_that_would_open_it() {
    let host = &Provisioned::ready("trixie");
    let path = host.folder().join("inventory.yaml");
    let before = fs::read_to_string(&path).unwrap();
    let ask = || host.hwctl("doctor", &["--url", "/close/"]);
    let (code, events) = ask();
    assert_eq!((code, cause(&events).as_str()), (1, "address-not-allowed"), "{events:#?}");
    let written = before.replace("site2: {", "site2: { allow: [192.0.2.0/24],");
    fs::write(&path, &written).unwrap();
    let line = written.lines().position(|line| line.contains("allow:")).unwrap() + 1;
    assert_eq!(host.hwctl("provision", &["--only", "nginx"]).0, 0);
    let (code, events) = ask();
    assert_eq!((code, cause(&events).as_str()), (1, "address-not-allowed"), "{events:#?}");
    let next = findings(&events)[0]["next"].as_str().unwrap().to_owned();
    assert!(next.contains(&format!("inventory.yaml:{line}:")), "{next}");
    // The advice is right.
    let us = next.split('`').nth(1).unwrap().to_owned();
    fs::write(&path, written.replace("192.0.2.0/24", &format!("192.0.2.0/24, {us}"))).unwrap();
    assert_eq!(host.hwctl("provision", &["--only", "nginx"]).0, 0);
    let (code, events) = ask();
    assert_eq!((code, findings(&events)), (0, vec![]), "{events:#?}");
    fs::write(&path, before).unwrap();
    assert_eq!(host.hwctl("provision", &[]).0, 0);
    let (code, events) = host.hwctl("doctor", &["--url", "/nowhere"]);
    assert_eq!((code, cause(&events).as_str()), (1, "answer"), "{events:#?}");
}

fn a_change_by_hand_is_told() {
    let host = &Provisioned::ready("trixie");
    host.sh("chmod 0600 /var/www/site1/index.html");
    let (code, events) = host.hwctl("doctor", &[]);
    assert_eq!((code, cause(&events).as_str()), (1, "drift"), "{events:#?}");
    // It serves: why an address is let in or not is another matter, and told first.
    let (code, events) = host.hwctl("doctor", &["--url", "/close/"]);
    let causes: Vec<_> = findings(&events).iter().map(|found| found["cause"].clone()).collect();
    assert_eq!((code, causes), (1, vec!["address-not-allowed".into(), "drift".into()]));
    let (code, events) = host.hwctl("doctor", &["--fix"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(changes(&events), ["file /var/www/site1/index.html"]);
}
