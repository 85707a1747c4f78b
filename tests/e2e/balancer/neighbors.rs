//! Hosts that have a HAProxy of somebody else.

use std::time::Duration;

use super::pool::Pool;
use crate::host::{Provisioned, kept, wait_until};

crate::tests! {
    Lab: [a_haproxy_of_others_is_taken_over_and_given_back],
}

/// A configuration that serves one page by itself.
const OWN: &str = "global\n    daemon\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    \
                   timeout server 5s\nfrontend shop\n    bind :80\n    http-request return status 200 content-type text/plain string \"the shop\"\n";

fn a_haproxy_of_others_is_taken_over_and_given_back() {
    let pool = Pool::fresh("bookworm", 1);
    let lb = &pool.lb;
    lb.sh("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y haproxy >/dev/null 2>&1");
    lb.sh(&format!(
        "cat >/etc/haproxy/haproxy.cfg <<'EOF'\n{OWN}EOF\nsystemctl restart haproxy; chmod 640 /etc/haproxy/haproxy.cfg"
    ));
    let shop = || Provisioned::curl(&[&lb.http_url("/")]);
    assert_eq!(shop(), "the shop");
    let found = || {
        lb.sh("sha256sum /etc/haproxy/haproxy.cfg; stat -c '%a %U %Y' /etc/haproxy/haproxy.cfg; systemctl is-enabled haproxy; ls /etc/systemd/system | grep haproxy; :")
    };
    let before = found();

    // The plan says what ends.
    let (code, events) = pool.hwctl("plan", &["--limit", "lb"]);
    assert_eq!(code, 3, "{events:#?}");
    let told = events.iter().find(|event| event["event"] == "kept").expect("a concern").to_string();
    assert!(told.contains("HAProxy serves `shop` by it"), "{told}");
    assert_eq!(kept(&events), ["file /etc/haproxy/haproxy.cfg"]);
    assert_eq!((found(), shop()), (before.clone(), "the shop".to_owned()));

    pool.must("provision", &[]);
    assert_eq!(pool.status("/flask/api/ping", &[]), "200");
    pool.must("verify", &[]);
    let events = pool.must("provision", &[]);
    assert!(kept(&events).is_empty(), "{events:#?}");

    // A configuration that HAProxy does not accept never gets into its place.
    let templates = lb.folder().join("templates/haproxy");
    std::fs::create_dir_all(&templates).unwrap();
    let broken = include_str!("../../../templates/haproxy/haproxy.cfg")
        .replace("balance leastconn", "balance nonsense");
    std::fs::write(templates.join("haproxy.cfg"), broken).unwrap();
    let running = lb.sh("cat /etc/haproxy/haproxy.cfg");
    let (code, events) = pool.hwctl("provision", &["--limit", "lb"]);
    assert!(code == 4 || code == 1, "{events:#?}");
    assert!(crate::host::failure(&events).contains("nonsense"), "{events:#?}");
    assert_eq!(lb.sh("cat /etc/haproxy/haproxy.cfg"), running);
    assert_eq!(pool.status("/flask/api/ping", &[]), "200");
    lb.mend();

    pool.must("destroy", &["--yes"]);
    wait_until("the shop is back", || {
        std::thread::sleep(Duration::from_millis(100));
        shop() == "the shop"
    });
    assert_eq!(found(), before);
}
