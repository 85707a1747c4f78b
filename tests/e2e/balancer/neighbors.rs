//! Hosts that have a HAProxy of somebody else.

use std::fs;

use super::pool::Pool;
use crate::host::{Provisioned, failure};

crate::tests! {
    Lab: [a_haproxy_of_others_is_kept_beside_the_balancer_or_refused],
}

/// A configuration that serves one page by itself.
const OWN: &str = "global
    daemon
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend shop
    bind :PORT
    http-request return status 200 content-type text/plain string \"the shop\"
";
const INSTALL: &str =
    "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y haproxy >/dev/null 2>&1";

fn a_haproxy_of_others_is_kept_beside_the_balancer_or_refused() {
    let pool = Pool::fresh("bookworm", 1);
    let lb = &pool.lb;
    lb.sh(INSTALL);
    let serve_at = |port: &str| {
        let own = OWN.replace("PORT", port);
        lb.sh(&format!(
            "cat >/etc/haproxy/haproxy.cfg <<'EOF'\n{own}EOF\nsystemctl restart haproxy"
        ));
    };
    let shop = |port: &str| lb.sh(&format!("curl -s http://127.0.0.1:{port}/; :"));

    // On a port that the balancer needs.
    serve_at("80");
    assert_eq!(shop("80"), "the shop");
    let (code, events) = pool.hwctl("provision", &["--limit", "lb"]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("haproxy"), "{}", failure(&events));
    assert!(!lb.sh_ok("test -e /etc/hwctl/balancer"));
    assert_eq!(shop("80"), "the shop");

    // On another one.
    serve_at("8081");
    let found = || {
        lb.sh("sha256sum /etc/haproxy/haproxy.cfg; systemctl is-enabled haproxy; \
               systemctl show -P MainPID -P ActiveEnterTimestampMonotonic haproxy")
    };
    let before = found();
    pool.must("provision", &[]);
    assert_eq!(pool.status("/flask/api/ping", &[]), "200");
    pool.must("verify", &[]);
    assert_eq!((found(), shop("8081")), (before.clone(), "the shop".to_owned()));

    // A configuration that HAProxy does not accept never gets into its place.
    let templates = lb.folder().join("templates/haproxy");
    fs::create_dir_all(&templates).unwrap();
    let own = include_str!("../../../templates/haproxy/haproxy.cfg");
    fs::write(templates.join("haproxy.cfg"), own.replace("balance leastconn", "balance x"))
        .unwrap();
    let running = lb.sh("cat /etc/hwctl/balancer/haproxy.cfg");
    let (code, events) = pool.hwctl("provision", &["--limit", "lb"]);
    assert_eq!(code, 4, "{events:#?}");
    assert!(failure(&events).contains("balance only supports"), "{}", failure(&events));
    assert_eq!(lb.sh("cat /etc/hwctl/balancer/haproxy.cfg"), running);
    assert_eq!(pool.status("/flask/api/ping", &[]), "200");
    lb.mend();

    pool.must("destroy", &["--yes"]);
    assert_eq!((found(), shop("8081")), (before, "the shop".to_owned()));
    assert_eq!(Provisioned::curl(&["-m", "2", &lb.http_url("/")]), "");
}
