//! `hwctl verify`.

use serde_json::Value;

use super::{check, plain, printed, ready, while_broken};
use crate::host::{MARK, Provisioned};

crate::tests! {
    Lab: [
        of_a_healthy_host,
        of_a_broken_host,
    ],
}

fn verify(host: &Provisioned, args: &[&str]) -> (i32, Value) {
    let (code, documents) = host.hwctl("verify", args);
    (code, documents[0]["hosts"][0].clone())
}

fn of_a_healthy_host() {
    let host = &ready();
    let (code, found) = verify(host, &[]);
    assert_eq!((code, &found["healthy"]), (0, &true.into()), "{found:#}");
    assert_eq!(check(&found, "counting twice"), (true, "1, then 2"));
    assert_eq!(check(&found, "site2 with `admin`'s password"), (true, "403"));
    assert_eq!(check(&found, "a name that is not ours"), (true, "421"));
    assert!(check(&found, "header content-security-policy").0);
    // From an address that is on the list the password decides.
    let allow = format!("sites.site2.allow=[{}]", own_address(host));
    assert_eq!(host.hwctl("provision", &["--set", &allow]).0, 0);
    let (code, found) = verify(host, &["--set", &allow]);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(check(&found, "site2 with `admin`'s password"), (true, "200"));
    assert_eq!(check(&found, "site2 with a wrong password"), (true, "401"));
    assert_eq!(host.hwctl("provision", &[]).0, 0);
    let (code, text) = printed(&mut plain(host, "verify", &[]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("✓ login ") && text.contains("✓ counting twice "), "{text}");
}

/// As the host sees it.
fn own_address(host: &Provisioned) -> String {
    let output = host.host.ssh("echo $SSH_CONNECTION").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().unwrap().to_owned()
}

fn of_a_broken_host() {
    let host = &ready();
    let site = "/etc/nginx/sites-available/homework";
    let edit = |script: &str| {
        (
            format!("cp {site} /root/saved; sed -i '{script}' {site}; systemctl reload nginx"),
            format!("cp /root/saved {site}; systemctl reload nginx"),
        )
    };
    let without_header = edit("/X-Frame-Options/d");
    let open_to_all = edit("/deny all;/d");
    let listening = (
        "iptables -I INPUT -p tcp --dport 8080 -j ACCEPT; \
         systemd-run --unit=stray --socket-property=ListenStream=8080 sleep 999"
            .to_owned(),
        "systemctl stop stray.socket stray.service; \
         iptables -D INPUT -p tcp --dport 8080 -j ACCEPT"
            .to_owned(),
    );
    for ((broken, mended), name, detail) in [
        (without_header, "header x-frame-options", "it is not sent"),
        (open_to_all, "site2 with `admin`'s password", "200 instead of 403"),
        (listening, "undeclared ports", "port 8080 answers"),
    ] {
        let (code, found) = while_broken(host, (&broken, &mended), || {
            super::wait_until(name, || !check(&verify(host, &[]).1, name).0);
            verify(host, &[])
        });
        assert_eq!(code, 1, "{broken}");
        let (ok, seen) = check(&found, name);
        assert!(!ok && seen.contains(detail), "{name}: {seen}");
    }
    let other = format!("api.users={{admin: {MARK}other}}");
    // The other logins of this test may have used up what is allowed in a minute.
    std::thread::sleep(std::time::Duration::from_secs(13));
    let (code, found) = verify(host, &["--set", &other]);
    assert_eq!(code, 1);
    let (ok, seen) = check(&found, "login");
    assert!(!ok && seen.contains("401: the host has another password"), "{seen}");
}
