//! Links that a user of the host plants where hwctl works as root lead it nowhere.

use crate::host::{Provisioned, failure};

crate::tests! {
    Lab: [planted_links_are_refused_and_those_of_root_are_followed],
}

const APP: &str = "/home/ubuntu/Flask-app";

fn planted_links_are_refused_and_those_of_root_are_followed() {
    let host = Provisioned::fresh("trixie");
    // Root's own link, as for sites on another disk.
    host.sh("mkdir -p /srv/www && ln -s /srv/www /var/www");
    host.sh("mkdir -m 700 /victim && echo precious > /victim/.env && chmod 640 /victim/.env");
    let before = victims(&host);

    // On a fresh host: the way to the settings, before they are there.
    as_ubuntu(&host, &format!("ln -s /victim {APP}"));
    is_refused(&host, &[&format!("a symbolic link of `ubuntu` is at `{APP}`"), FOLLOWS]);
    assert!(host.is_untouched() && victims(&host) == before);
    // A folder of his own there, as the Flask stack's was, is in nobody's way.
    as_ubuntu(&host, &format!("rm {APP} && mkdir {APP}"));

    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(host.sh_ok("test -f /srv/www/main/index.html"));
    // The API's user is new among the shadows.
    let before = victims(&host);

    // On a provisioned one: a home's owner may put aside what is in it, whoever owns that.
    as_ubuntu(&host, &format!("mv {APP} {APP}.old && ln -s /victim {APP}"));
    is_refused(&host, &[&format!("a symbolic link of `ubuntu` is at `{APP}`"), FOLLOWS]);
    assert_eq!(victims(&host), before);

    // The link to the settings: replaced, and what it led to neither read nor changed.
    as_ubuntu(&host, &format!("rm {APP} && mkdir {APP} && ln -s /etc/shadow {APP}/.env"));
    let (code, events) = host.hwctl("plan", &[]);
    let told = format!("{events:?}");
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("\"/etc/shadow\"") && !told.contains("daemon:"), "{told}");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.sh(&format!("readlink {APP}/.env")), "/etc/hwctl/api/env");
    assert_eq!(host.sh("stat -c %F-%a-%U /etc/hwctl/api/env"), "regular file-600-root");
    assert!(host.sh_ok("check-flask"), "the settings do not depend on that folder");
    assert_eq!(victims(&host), before);
    assert!(!host.sh_ok("grep -rqF \"$(grep -m1 ^root: /etc/shadow)\" /var/lib/hwctl/runs"));

    sites_of_others(&host);
    assert_eq!(victims(&host), before);
    a_race_is_lost(&host);
    assert_eq!(victims(&host), before);
}

/// What the refusal says of a way that leads through the link.
const FOLLOWS: &str = "is a symbolic link to `/victim`, which root does not follow";

/// Runs a command as the user that may not become root that way.
fn as_ubuntu(host: &Provisioned, script: &str) {
    let output = host.host.ssh(script).unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Everything about what must not be touched.
fn victims(host: &Provisioned) -> String {
    host.sh("cd /victim && ls -lAn --time-style=full-iso . /etc/shadow && stat -c '%a %u %g' . && \
         sha256sum .env /etc/shadow")
}

fn is_refused(host: &Provisioned, expected: &[&str]) {
    for verb in ["plan", "provision"] {
        let (code, events) = host.hwctl(verb, &[]);
        let told = failure(&events);
        assert_eq!(code, 1, "{told}");
        for expected in expected {
            assert!(told.contains(expected), "{told}");
        }
        assert!(told.contains("nothing was changed on the host"), "{told}");
        assert!(told.contains("hint"), "{told}");
    }
}

/// A site's folder that its editors own.
fn sites_of_others(host: &Provisioned) {
    host.sh("chown ubuntu: /srv/www/site1");
    as_ubuntu(host, "ln -s /victim /var/www/site1/deep");
    let (code, events) = host.hwctl("plan", &["--set", "sites.site1.root=/var/www/site1/deep/x"]);
    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("`/srv/www/site1/deep` is a symbolic link to `/victim`"), "{told}");
    assert!(told.contains("it belongs to `ubuntu`"), "{told}");
}

/// Somebody swaps the folder and a link all the time: each run writes into the folder or fails.
fn a_race_is_lost(host: &Provisioned) {
    let swap = format!(
        "while :; do mv -T {APP} {APP}.real; ln -sT /victim {APP}; rm {APP}; mv -T {APP}.real {APP}; sleep 0.05; done"
    );
    as_ubuntu(
        host,
        &format!("rm -rf {APP}.real; nohup sh -c '{swap}' >/dev/null 2>&1 & echo $! >/tmp/swap"),
    );
    let mut written = 0;
    for run in 0..8 {
        host.hwctl("plan", &[]);
        let ttl = format!("api.token_ttl={}", 100 + run);
        written += usize::from(host.hwctl("provision", &["--set", &ttl]).0 == 0);
    }
    host.sh("kill $(cat /tmp/swap)");
    println!("{written} of 8 runs found the folder in time");
}
