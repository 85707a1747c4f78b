//! `hwctl cert`: the certificate is shown, made anew at once with its key, and by the host itself.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hwctl::resource::{Resource, decode, encode};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::Value;

use crate::host::{Provisioned, changes, failure, outcome, runs};

crate::tests! {
    Lab: [
        a_certificate_is_shown_renewed_and_renews_itself,
        a_host_that_was_never_provisioned_has_no_certificate,
        a_renewal_follows_the_last_provision_though_it_changed_nothing,
        a_risky_change_that_the_host_makes_alone_is_confirmed_by_itself,
    ],
}

const PLANNED: [&str; 2] = ["certificate /etc/nginx/ssl/homework.crt", "unit nginx.service"];

fn a_certificate_is_shown_renewed_and_renews_itself() {
    let host = Provisioned::ready("trixie");

    a_new_one_is_served_at_once_and_no_handshake_fails(&host);
    only_what_ends_soon_is_renewed(&host);
    the_host_renews_by_itself(&host);
    a_broken_configuration_keeps_the_old_one(&host);
    one_that_is_not_served_is_taken_back(&host);
    what_is_served_is_looked_at(&host);
}

fn a_host_that_was_never_provisioned_has_no_certificate() {
    let host = Provisioned::fresh("trixie");

    let (code, events) = host.hwctl("cert show", &[]);

    assert_eq!(code, 1);
    assert!(failure(&events).contains("has made no certificate"), "{events:#?}");
}

/// A shorter life makes no other certificate now; the next one has it.
fn a_renewal_follows_the_last_provision_though_it_changed_nothing() {
    let host = Provisioned::ready("trixie");
    let days = ["--set", "tls.days=60"];
    assert_eq!(host.hwctl("provision", &days).0, 0);

    let (code, events) = host.hwctl("cert renew", &days[..0]);

    assert_eq!(code, 0, "{events:#?}");
    let dates = host.sh("openssl x509 -in /etc/nginx/ssl/homework.crt -noout -enddate -startdate");
    let ends = host.sh("openssl x509 -in /etc/nginx/ssl/homework.crt -noout -checkend 5270400; :");
    assert!(ends.contains("will expire"), "more than 61 days are left: {dates}");
}

fn shown(events: &[Value]) -> &Value {
    let shown = events.iter().find(|event| event["event"] == "certificate");
    shown.unwrap_or_else(|| panic!("no certificate: {events:#?}"))
}

fn sha256(host: &Provisioned) -> String {
    let told = host.sh(
        "openssl x509 -in /etc/nginx/ssl/homework.crt -outform der | sha256sum | cut -d' ' -f1",
    );
    let (code, events) = host.hwctl("cert show", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let shown = shown(&events);
    assert_eq!(shown["certificate"]["sha256"], told.as_str());
    assert_eq!(shown["certificate"]["key_matches"], true);
    assert_eq!(shown["served"]["is"], "this");
    told
}

fn a_new_one_is_served_at_once_and_no_handshake_fails(host: &Provisioned) {
    let first = sha256(host);
    let (code, events) = host.hwctl("cert renew", &["--check"]);
    assert_eq!((code, changes(&events)), (3, PLANNED.to_vec()), "{events:#?}");
    assert_eq!(sha256(host), first);

    let (done, asked, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                // A worker that ends tells a new HTTP/2 connection to ask again, which curl does not.
                if !Provisioned::curl(&["--http1.1", &host.url("/open/")]).contains("html") {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let (code, events) = host.hwctl("cert renew", &["--days", "50"]);
        done.store(true, Ordering::Relaxed);
        assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
        assert_eq!(changes(&events), PLANNED);
        let days = shown(&events)["certificate"]["until"].as_i64().unwrap()
            - shown(&events)["certificate"]["from"].as_i64().unwrap();
        assert_eq!(days / (24 * 3600), 50);
    });
    assert!(asked.into_inner() > 3);
    assert_eq!(failed.into_inner(), 0);

    let second = sha256(host);
    assert_ne!(second, first);
    assert_eq!(runs(&host.hwctl("history", &[]).1)[0], ("cert renew".into(), "kept".into(), 2));
    assert_eq!(host.hwctl("plan", &[]).0, 0, "the next provision leaves it");
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(sha256(host), first);
}

fn only_what_ends_soon_is_renewed(host: &Provisioned) {
    let before = sha256(host);
    let (code, events) = host.hwctl("cert renew", &["--if-expires-within", "30"]);
    assert_eq!(changes(&events), [""; 0], "{events:#?}");
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    assert_eq!(sha256(host), before);
    let (code, events) = host.hwctl("cert renew", &["--days", "20"]);
    assert_eq!(code, 1);
    assert!(failure(&events).contains("would be renewed at once"), "{events:#?}");
    let (code, events) = host.hwctl("cert renew", &["--if-expires-within", "89", "--days", "90"]);
    assert_eq!(code, 0, "{events:#?}");
}

/// A certificate for the same names that ends tomorrow, served.
fn almost_over(host: &Provisioned) {
    host.sh(
        "cd /etc/nginx/ssl && names=$(openssl x509 -in homework.crt -noout -ext subjectAltName \
         | tail -n 1 | tr -d ' ' | sed 's/IPAddress:/IP:/g') && \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
         -keyout homework.key -out homework.crt -subj /CN=x -addext subjectAltName=$names \
         2>/dev/null && nginx -s reload && sleep 0.5",
    );
}

fn the_host_renews_by_itself(host: &Provisioned) {
    assert_eq!(host.sh("systemctl is-active hwctl-renew.timer"), "active");
    assert_eq!(host.sh("systemctl is-enabled hwctl-renew.timer"), "enabled");
    assert!(host.sh("systemctl list-timers hwctl-renew.timer").contains("hwctl-renew.service"));
    let before = sha256(host);
    host.sh("systemctl start hwctl-renew.service");
    assert_eq!(sha256(host), before, "it does not end soon");

    almost_over(host);
    let old = sha256(host);
    assert_eq!(host.hwctl("plan", &[]).0, 3);
    // The timer itself, told to fire now.
    host.sh("mkdir -p /run/systemd/system/hwctl-renew.timer.d && printf \
         '[Timer]\\nOnCalendar=\\nOnActiveSec=1s\\nRandomizedDelaySec=0\\nAccuracySec=100ms\\n' \
         > /run/systemd/system/hwctl-renew.timer.d/now.conf && systemctl daemon-reload && \
         systemctl restart hwctl-renew.timer");
    host.sh(
        "for _ in $(seq 100); do journalctl -u hwctl-renew -o cat | grep -q 'is served' && exit 0; \
         sleep 0.2; done; journalctl -u hwctl-renew -o cat; exit 1",
    );
    host.sh("rm -r /run/systemd/system/hwctl-renew.timer.d && systemctl daemon-reload && \
         systemctl restart hwctl-renew.timer");
    assert_ne!(sha256(host), old);
    let (code, events) = host.hwctl("provision", &["--check"]);
    let left: Vec<_> = changes(&events).into_iter().filter(|id| !id.contains("timer")).collect();
    assert!(left.is_empty(), "{code}: {left:?}");
    assert_eq!(runs(&host.hwctl("history", &[]).1)[0], ("cert renew".into(), "kept".into(), 2));
    assert_eq!(host.hwctl("provision", &[]).0, 0);
}

fn a_broken_configuration_keeps_the_old_one(host: &Provisioned) {
    almost_over(host);
    let before = sha256(host);
    host.sh("echo 'nonsense;' > /etc/nginx/conf.d/broken.conf");
    let (code, events) = host.hwctl("cert renew", &[]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("broken.conf"), "{events:#?}");
    assert_eq!(sha256(host), before);
    let almost = host.sh("sha256sum /etc/nginx/ssl/homework.key");
    assert!(!host.sh_ok("systemctl start hwctl-renew.service"));
    assert!(host.sh("journalctl -u hwctl-renew -o cat -n 20").contains("broken.conf"));
    assert_eq!(host.sh("sha256sum /etc/nginx/ssl/homework.key"), almost);
    host.sh("rm /etc/nginx/conf.d/broken.conf; systemctl start hwctl-renew.service");
    assert_ne!(host.sh("sha256sum /etc/nginx/ssl/homework.key"), almost);
}

/// Somebody's own server has the port for clients on the host itself, with a certificate of its own.
fn one_that_is_not_served_is_taken_back(host: &Provisioned) {
    let before = host.sh("sha256sum /etc/nginx/ssl/homework.key /etc/nginx/ssl/homework.crt");
    host.sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 \
         -keyout /root/own.key -out /root/own.crt -subj /CN=own 2>/dev/null && \
         echo 'server { listen 127.0.0.1:443 ssl; ssl_certificate /root/own.crt; \
         ssl_certificate_key /root/own.key; }' > /etc/nginx/conf.d/own.conf && \
         nginx -s reload && sleep 0.5");

    let told =
        host.sh("$(readlink -f /usr/local/bin/check-flask) cert renew --here 2>&1; echo exit $?");

    assert!(told.contains("error: nginx does not serve the new certificate"), "{told}");
    assert!(told.contains("it serves another certificate (SHA-256 "), "{told}");
    assert!(told.ends_with("exit 4"), "{told}");
    let now = host.sh("sha256sum /etc/nginx/ssl/homework.key /etc/nginx/ssl/homework.crt");
    assert_eq!(now, before);
    host.sh(
        "rm /etc/nginx/conf.d/own.conf /root/own.key /root/own.crt; nginx -s reload; sleep 0.5",
    );
}

fn what_is_served_is_looked_at(host: &Provisioned) {
    host.sh("systemctl stop nginx");
    let (code, events) = host.hwctl("cert show", &[]);
    assert_eq!((code, shown(&events)["served"]["is"].as_str()), (1, Some("nothing")));
    assert!(failure(&events).contains("serves no certificate"), "{events:#?}");
    host.sh("systemctl start nginx");
    sha256(host);
}

/// A thing in the manifest.
#[derive(Serialize, Deserialize)]
struct Owned {
    tag: String,
    resource: Resource,
    original: ByteBuf,
    is_restored: bool,
}

/// sshd as something that reads the certificate: what it reads anew could lock the operator out.
fn a_risky_change_that_the_host_makes_alone_is_confirmed_by_itself() {
    let host = Provisioned::ready("trixie");
    let manifest = host.host.root().join("var/lib/hwctl/manifest");
    let mut elements: Vec<ByteBuf> = decode(&fs::read(&manifest).unwrap()).unwrap();
    let mut things = elements.iter().filter_map(|element| decode::<Owned>(element).ok());
    let is_nginx = |owned: &Owned| owned.resource.id().to_string() == "unit nginx.service";
    let mut sshd = things.find(is_nginx).expect("the unit of nginx");
    let Resource::Unit(unit) = &mut sshd.resource else { unreachable!("it is a unit") };
    "ssh.service".clone_into(&mut unit.name);
    unit.ports = Vec::new();
    elements.push(ByteBuf::from(encode(&sshd).unwrap()));
    fs::write(&manifest, encode(&elements).unwrap()).unwrap();
    let read_at = || host.sh("systemctl show -P StateChangeTimestampMonotonic ssh.service");
    let (before, certificate) = (read_at(), host.sh("sha256sum /etc/nginx/ssl/homework.crt"));

    let told =
        host.sh("$(readlink -f /usr/local/bin/check-flask) cert renew --here 2>&1; echo exit $?");

    assert!(told.ends_with("exit 0"), "{told}");
    assert_ne!(host.sh("sha256sum /etc/nginx/ssl/homework.crt"), certificate);
    assert_ne!(read_at(), before, "sshd has read it");
    let timers = host.sh("systemctl list-units --all --plain --no-legend 'hwctl-*'");
    assert!(!timers.contains("revert"), "nothing waits to take it back: {timers}");
    let (_, events) = host.hwctl("history", &[]);
    assert_eq!(runs(&events)[0].1, "kept", "{events:#?}");
}
