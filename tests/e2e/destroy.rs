//! What hwctl made is known on the host: it goes when it leaves the inventory, and with `destroy`.

use crate::host::{self, Provisioned, action, changes, failure, kept, outcome, runs};
use serde_json::Value;

crate::tests! {
    Lab: [what_leaves_the_inventory_leaves_the_host, destroy_takes_what_hwctl_made_and_keeps_data_until_it_is_purged, data_that_was_kept_is_purged_later, what_others_made_survives, a_destroy_that_cannot_finish_says_so_and_the_next_one_finishes_it, the_kernel_has_the_rules_of_before],
}

fn ok(told: (i32, Vec<Value>)) -> Vec<Value> {
    assert_eq!(told.0, 0, "{:#?}", told.1);
    told.1
}

fn exists(host: &Provisioned, path: &str) -> bool {
    host.sh_ok(&format!("test -e {path}"))
}

fn what_leaves_the_inventory_leaves_the_host() {
    let host = Provisioned::fresh("trixie");
    let with = [
        "--set",
        "sites.docs={path: /docs, root: /var/www/docs, users: {bob: marked-secret-bob}}",
        "--set",
        "firewall.allow=[80/tcp, 443/tcp, 8443/tcp]",
        "--set",
        "redis.container=redis-two",
    ];
    ok(host.hwctl("provision", &with));
    assert_eq!(host.hwctl("plan", &with).0, 0);
    host.sh("echo mine > /var/www/docs/mine");

    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!(code, 3);
    for id in ["file /etc/nginx/.htpasswd-docs", "file /var/www/docs/index.html"] {
        assert_eq!(action(&events, id), "remove", "{events:#?}");
    }
    assert_eq!(action(&events, "container redis-two"), "remove");
    assert_eq!(action(&events, "firewall ufw"), "update");
    assert!(kept(&events).contains(&"directory /var/www/docs"), "it holds a file of another");

    ok(host.hwctl("provision", &[]));
    assert_eq!(host.hwctl("plan", &[]).0, 0);
    assert_eq!(host.sh("ls /var/www/docs"), "mine");
    assert!(!exists(&host, "/etc/nginx/.htpasswd-docs"));
    assert!(!host.sh("ufw status").contains("8443"));
    assert_eq!(host.sh("docker ps --format '{{.Names}}'"), "redis-flask");

    // And it comes back with a rollback.
    ok(host.hwctl("rollback", &["--yes"]));
    assert!(exists(&host, "/etc/nginx/.htpasswd-docs"));
    assert!(host.sh("ufw status").contains("8443"));
    assert_eq!(host.sh("docker ps --format '{{.Names}}'"), "redis-two");
    assert_eq!(host.hwctl("plan", &with).0, 0);

    // An nginx that stays, since it serves a site of another, serves on.
    let site = "server { listen 8088; location / { return 200 mine; } }";
    host.sh(&format!("echo '{site}' > /etc/nginx/sites-enabled/mine; systemctl reload nginx"));
    ok(host.hwctl("destroy", &["--yes"]));
    assert_eq!(host.sh("curl -s http://127.0.0.1:8088/"), "mine");
}

fn destroy_takes_what_hwctl_made_and_keeps_data_until_it_is_purged() {
    let host = Provisioned::ready("trixie");
    count(&host, 1);
    let key = host.sh("sha256sum /var/lib/hwctl/secrets/jwt-key");

    let (code, events) = host.hwctl("destroy", &["--check"]);
    assert_eq!(code, 3);
    assert_eq!(action(&events, "packages apt"), "remove");
    assert!(host.answers(443), "a look changes nothing");

    let events = ok(host.hwctl("destroy", &["--yes"]));
    assert!(kept(&events).contains(&"volume flask-app_redis-data"), "{events:#?}");
    for path in ["/var/www/main", "/etc/systemd/system/flask-app.service", "/usr/local/lib/hwctl"] {
        assert!(!exists(&host, path), "{path}");
    }
    assert!(!host.answers(443) && !host.answers(80));
    let (code, events) = host.hwctl("secret rotate", &[]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("no API whose key"), "{events:#?}");
    assert!(!host.sh_ok("command -v nginx || command -v dockerd || command -v check-flask"));

    // Once more: nothing to do, and nothing of hwctl's comes with the question.
    let events = ok(host.hwctl("destroy", &["--yes"]));
    assert_eq!((outcome(&events).as_str(), changes(&events).len()), ("unchanged", 0));
    assert!(!exists(&host, "/usr/local/lib/hwctl"));

    // The stack comes again, with its data and its keys.
    ok(host.hwctl("provision", &[]));
    assert_eq!(host.sh("sha256sum /var/lib/hwctl/secrets/jwt-key"), key);
    count(&host, 2);

    ok(host.hwctl("destroy", &["--purge-data", "--yes"]));
    for path in
        ["/var/lib/hwctl", "/usr/local/lib/hwctl", "/var/lib/docker/volumes/flask-app_redis-data"]
    {
        assert!(!exists(&host, path), "{path}");
    }
    assert_eq!(host.hwctl("destroy", &["--purge-data", "--check"]).0, 0);
}

fn data_that_was_kept_is_purged_later() {
    let host = Provisioned::fresh("bookworm");
    let list = "dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' | grep ' installed'";
    let packages = host.sh(list);
    // What an undone run leaves is hwctl's as well: its packages.
    let own = include_str!("../../templates/systemd/flask-app.service");
    let broken = own.replace("ExecStart={{ binary | systemd }}", "ExecStart=/bin/false");
    let folder = host.folder().join("templates/systemd");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("flask-app.service"), broken).unwrap();
    assert_eq!(host.hwctl("provision", &[]).0, 4);
    std::fs::remove_dir_all(host.folder().join("templates")).unwrap();
    ok(host.hwctl("provision", &[]));
    ok(host.hwctl("destroy", &["--yes"]));
    assert_eq!(host.sh(list), packages);
    for folder in ["/var/lib/redis-flask", "/etc/nginx/ssl", "/usr/local/lib/hwctl"] {
        assert!(!exists(&host, folder), "{folder}");
    }
    let volume = "/var/lib/docker/volumes/flask-app_redis-data";
    assert!(exists(&host, volume));
    ok(host.hwctl("destroy", &["--purge-data", "--yes"]));
    assert!(!exists(&host, volume) && !exists(&host, "/var/lib/hwctl"));
}

/// The visits that the API has counted, in Redis, are as many as expected.
fn count(host: &Provisioned, expected: u32) {
    let body = r#"{"username":"admin","password":"marked-secret-api"}"#;
    let login = ["-H", "Content-Type: application/json", "-d", body];
    let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());
    let bearer = format!("Authorization: Bearer {}", host::fields(&answer, "token"));
    let answer = Provisioned::curl(&["-H", &bearer, &host.url("/flask/api/count")]);
    assert_eq!(answer, format!(r#"{{"visits":{expected}}}"#));
}

fn what_others_made_survives() {
    let host = Provisioned::fresh("trixie");
    // A host with a history: nginx with an own site, a firewall with an own rule.
    host.sh("DEBIAN_FRONTEND=noninteractive apt-get install -yq nginx ufw");
    host.sh("sed -i 's/worker_connections 768/worker_connections 777/' /etc/nginx/nginx.conf");
    let site = "server { listen 8088; location / { return 200 mine; } }";
    host.sh(&format!("echo '{site}' > /etc/nginx/sites-enabled/mine; systemctl reload nginx"));
    host.sh("ufw allow 22/tcp && ufw allow 8088/tcp && ufw deny 9999/tcp && ufw --force enable");
    let files = "/etc/nginx /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/after.rules";
    let digests = format!("find {files} -type f -exec sha256sum {{}} + | sort -k2");
    let before = host.sh(&digests);
    let own =
        || Provisioned::curl(&[&host.http_url("/").replace("http://", "").replace('/', ":8088/")]);
    assert_eq!(own(), "mine");

    ok(host.hwctl("provision", &[]));
    assert_eq!(own(), "mine");
    // Made after hwctl came: a rule, and a container of somebody else.
    host.sh("ufw allow 7777/tcp");
    host.sh("docker run -d --name other --restart=always redis:7-alpine redis-server");

    let events = ok(host.hwctl("destroy", &["--yes"]));
    assert!(kept(&events).contains(&"image redis:7-alpine"), "{events:#?}");
    assert_eq!(host.sh("docker ps --format '{{.Names}}'"), "other");
    assert_eq!(own(), "mine");
    let rules = host.sh("ufw status");
    assert!(rules.contains("7777/tcp") && rules.contains("9999/tcp"), "{rules}");
    assert!(!rules.contains("443/tcp"), "{rules}");
    host.sh("ufw delete allow 7777/tcp");
    assert_eq!(host.sh(&digests), before, "files of before are as they were");
}

fn a_destroy_that_cannot_finish_says_so_and_the_next_one_finishes_it() {
    let host = Provisioned::ready("trixie");
    let hook = "/etc/apt/apt.conf.d/99-no";
    host.sh(&format!(r#"echo 'DPkg::Pre-Invoke {{"false";}};' > {hook}"#));
    let (code, events) = host.hwctl("destroy", &["--yes"]);
    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("cannot apply `packages apt`"), "{told}");
    assert!(told.contains("cannot be brought back") && told.contains("run it again"), "{told}");
    assert_eq!(runs(&ok(host.hwctl("history", &[])))[0].1, "failed");

    host.sh(&format!("rm {hook}"));
    let events = ok(host.hwctl("destroy", &["--yes"]));
    assert_eq!(changes(&events), ["packages apt"]);
    assert_eq!(changes(&ok(host.hwctl("destroy", &["--yes"]))), [""; 0]);
    ok(host.hwctl("provision", &[]));
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

/// The rules in the kernel, without counters and without what is there on any host.
const RULES: &str = "for family in iptables ip6tables; do for table in filter nat mangle raw; do \
                     $family-save -t $table | grep -v -e '^#' -e '^[*]' -e '^COMMIT' \
                     -e '^:[A-Z]* ACCEPT' | sed \"s/ *\\[[0-9:]*\\]//; s/^/$family $table /\"; done; done";

fn the_kernel_has_the_rules_of_before() {
    let host = Provisioned::fresh("trixie");
    host.sh("apt-get install -qq iptables >/dev/null 2>&1 && iptables -N mine && \
         iptables -A mine -s 192.0.2.1 -j DROP && iptables -A FORWARD -j mine && \
         iptables -t nat -A POSTROUTING -s 198.51.100.0/24 -j MASQUERADE && \
         iptables -P FORWARD DROP && ip6tables -A FORWARD -s 2001:db8::1 -j DROP");
    let before = host.sh(RULES);
    assert!(before.contains("FORWARD DROP") && before.contains("MASQUERADE"), "{before}");

    ok(host.hwctl("provision", &[]));
    let with = host.sh(RULES);
    assert!(with.contains("DOCKER-USER") && with.contains("ufw6-before-input"), "{with}");
    ok(host.hwctl("destroy", &["--yes"]));

    assert_eq!(host.sh(RULES), before);
    assert_eq!(host.sh("ls /sys/class/net"), "eth0\nlo");
}
