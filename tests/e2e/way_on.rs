//! From every state that faults and other hands can make, `provision` leads to a host that serves, or an
//! error names the command that clears the way.
//!
//! `HWCTL_FAULT_RUNS` says how many random sequences are tried (3 unless said), and `HWCTL_FAULT_SEED` gives
//! others than usual.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::faults::{Random, number};
use crate::host::{Provisioned, failure};

crate::tests! {
    Lab: [every_state_has_a_way_on],
}

/// What other hands do to a host. Each leaves the host reachable and its data there.
const HANDS: [&str; 21] = [
    "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d",
    "rm -f /usr/sbin/policy-rc.d",
    "systemctl mask --now nginx",
    "systemctl mask --now flask-app.socket flask-app.service",
    "systemctl disable --now docker.socket docker.service",
    "systemctl stop nginx flask-app.service",
    "systemctl disable --now hwctl-renew.timer",
    "rm -rf /etc/nginx/sites-available /etc/nginx/sites-enabled",
    "rm -f /etc/systemd/system/flask-app.service; systemctl daemon-reload",
    "rm -rf /etc/hwctl/api",
    "rm -rf /usr/local/lib/hwctl/api",
    "rm -rf /etc/nginx/ssl",
    "rm -rf /var/www",
    "rm -rf /var/lib/hwctl/stamps",
    "docker rm -f redis-flask",
    "ufw --force disable",
    "ufw --force reset; ufw allow 22/tcp; ufw --force enable",
    "iptables -P INPUT ACCEPT; iptables -F INPUT",
    "mkdir -p /root/p/DEBIAN; printf 'Package: theirs\\nVersion: 1\\nArchitecture: all\\nMaintainer: \
     m <m@example.org>\\nDescription: d\\n' >/root/p/DEBIAN/control; printf '#!/bin/sh\\nexit 1\\n' \
     >/root/p/DEBIAN/postinst; chmod 755 /root/p/DEBIAN/postinst; dpkg-deb -b /root/p /root/p.deb; \
     dpkg -i /root/p.deb",
    "apt-get remove -q -y nginx",
    "echo 'lisen 80;' >/etc/nginx/conf.d/broken.conf",
];

/// What an operator does.
const VERBS: [(&str, &[&str]); 10] = [
    ("provision", &[]),
    ("provision", &["--set", "redis.port=6390", "--set", "logrotate.keep=9"]),
    ("provision", &["--set", "sites.site1.allow=[127.0.0.1]", "--set", "api.token_ttl=1800"]),
    ("provision", &["--only", "nginx"]),
    ("rollback", &["--yes"]),
    ("destroy", &["--yes"]),
    ("restart", &["all"]),
    ("cert renew", &[]),
    ("secret rotate", &[]),
    ("doctor", &["--fix"]),
];

/// What the sequences begin with: a test that fails by chance helps nobody.
const SEED: u64 = 2;
/// The documented exit codes of docs/exit-codes.md.
const EXIT_CODES: std::ops::RangeInclusive<i32> = 0..=5;

/// Makes a random step, and says what it was.
fn step(host: &Provisioned, random: &mut Random) -> String {
    let bound = |length: usize| u64::try_from(length).unwrap();
    let pick = |random: &mut Random, length| usize::try_from(random.below(bound(length))).unwrap();
    match random.below(5) {
        0 | 1 => {
            let hand = HANDS[pick(random, HANDS.len())];
            host.sh_ok(&format!("{{ {hand}; }} >/dev/null 2>&1"));
            hand.to_owned()
        }
        2 => {
            let (verb, args) = VERBS[pick(random, 6)];
            let mut child = host.command(verb, args).spawn().unwrap();
            let after = Duration::from_millis(300 + random.below(4000));
            sleep(after);
            let _ = child.kill();
            let _ = child.wait();
            host.sh_ok("pkill -9 -f 'hwctl-[0-9a-f]* engine'");
            format!("{verb} {args:?}, killed after {after:?}")
        }
        _ => {
            let (verb, args) = VERBS[pick(random, VERBS.len())];
            let (code, events) = host.hwctl(verb, args);
            assert!(EXIT_CODES.contains(&code), "`{verb}` exits with {code}: {events:#?}");
            format!("{verb} {args:?}: exit code {code}")
        }
    }
}

/// Provisions. Where that is refused or fails, does what the error says, and nothing else.
fn go_on(host: &Provisioned, steps: &[String]) {
    let mut tried = Vec::new();
    for _ in 0..4 {
        let (code, events) = host.hwctl("provision", &[]);
        if code == 0 {
            assert!(host.count_visit() > 0, "{steps:#?}");
            return;
        }
        let told = failure(&events);
        let command =
            advised(&events).unwrap_or_else(|| panic!("no way on after {steps:#?}: {told}"));
        assert!(!tried.contains(&command), "`{command}` does not help after {steps:#?}: {told}");
        match command.strip_prefix("hwctl ") {
            Some("destroy") => drop(host.hwctl("destroy", &["--yes"])),
            Some(other) => panic!("`hwctl {other}` is advised after {steps:#?}: {told}"),
            None => drop(host.sh_ok(&command)),
        }
        tried.push(command);
    }
    panic!("no way on after {steps:#?}; tried {tried:#?}");
}

/// The first command in the hint of a failure.
fn advised(events: &[Value]) -> Option<String> {
    let failed = events.iter().rfind(|event| event["event"] == "failed")?;
    let hint = failed["hint"].as_str()?;
    hint.split('`').nth(1).map(str::to_owned)
}

fn every_state_has_a_way_on() {
    let mut random = Random(number("HWCTL_FAULT_SEED").unwrap_or(SEED));
    for _ in 0..number("HWCTL_FAULT_RUNS").unwrap_or(3) {
        let host = Provisioned::ready("trixie");
        let steps: Vec<_> = (0..5).map(|_| step(&host, &mut random)).collect();
        println!("{steps:#?}");
        go_on(&host, &steps);
    }
}
