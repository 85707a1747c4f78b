//! Two balancers that share an address: one that works has it, whatever happens to the other.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::pool::{Pool, outcomes};
use crate::harness::say;
use crate::host::{Provisioned, wait_until};

crate::tests! {
    Lab: [two_balancers_share_an_address],
}

/// The longest time without an answer at the shared address. On a machine that does nothing else it is below three seconds.
const MOST: Duration = Duration::from_secs(10);

/// A way in which a balancer fails, and how it comes back. Both are commands on the host.
const FAULTS: [(&str, &str, &str); 4] = [
    ("HAProxy stopped", "systemctl stop hwctl-balancer", "systemctl start hwctl-balancer"),
    (
        "HAProxy frozen",
        "systemctl kill -s STOP hwctl-balancer",
        "systemctl kill -s CONT hwctl-balancer",
    ),
    (
        "keepalived stopped",
        "systemctl stop hwctl-virtual-address",
        "systemctl start hwctl-virtual-address",
    ),
    (
        "keepalived killed",
        "systemctl mask --runtime hwctl-virtual-address; systemctl kill -s KILL hwctl-virtual-address; \
         ip address flush dev eth0 to SHARED",
        "systemctl unmask --runtime hwctl-virtual-address; systemctl start hwctl-virtual-address",
    ),
];

fn two_balancers_share_an_address() {
    let pool = Pool::with_two_balancers("trixie", 1);
    let (second, shared) = pool.second.as_ref().unwrap();
    let balancers = [&pool.lb, second];

    pool.must("provision", &[]);

    let events = pool.must("provision", &[]);
    assert_eq!(outcomes(&events), ["lb unchanged", "lb2 unchanged", "web1 unchanged"]);
    for verb in ["status", "verify", "doctor"] {
        pool.must(verb, &[]);
    }
    assert_eq!(holders(&balancers, *shared).len(), 1);
    // The web host answers to the shared address as to its own, and so does its certificate.
    let certificate = pool.lb.folder().join("web1.crt");
    std::fs::write(&certificate, pool.web[0].sh("cat /etc/nginx/ssl/homework.crt")).unwrap();
    let url = format!("https://{shared}/flask/api/ping");
    let asked = ["--cacert", certificate.to_str().unwrap(), "-s", "-m", "10", &url];
    let answer = std::process::Command::new("curl").args(asked).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "{\"status\":\"ok\"}");
    // Each takes VRRP from the other, and from nobody else.
    for (host, other) in [(&pool.lb, second), (second, &pool.lb)] {
        let rules = host.sh("iptables -S ufw-after-input | grep -e vrrp -e '-p 112'");
        let from = format!("-s {}/32 ", other.host.address);
        assert!(rules.lines().count() == 1 && rules.contains(&from), "{rules}");
    }

    for (name, fault, end) in FAULTS {
        let at = holder(&balancers, *shared);
        let fault = fault.replace("SHARED", &shared.to_string());
        outage(*shared, name, || drop(balancers[at].sh(&fault)));
        assert_ne!(holder(&balancers, *shared), at, "{name}");
        balancers[at].sh(end);
        wait_until("both balancers are well", || pool.hwctl("status", &[]).0 == 0);
        assert_ne!(holder(&balancers, *shared), at, "{name}: it stays where it is");
    }
    let at = holder(&balancers, *shared);
    outage(*shared, "the cable pulled", || balancers[at].host.cut_network().unwrap());
    balancers[at].host.restore_network().unwrap();
    wait_until("one has the address", || holders(&balancers, *shared).len() == 1);
    let at = holder(&balancers, *shared);
    outage(*shared, "the power cut", || balancers[at].host.power_off_hard().unwrap());
    balancers[at].host.boot().unwrap();
    wait_until("both balancers are well", || pool.hwctl("status", &[]).0 == 0);

    balancers[holder(&balancers, *shared)].sh("systemctl stop hwctl-virtual-address");
    let (code, documents) = pool.hwctl("doctor", &[]);
    assert_eq!(code, 1, "{documents:#?}");
    assert!(format!("{documents:?}").contains("keepalived does not run"), "{documents:#?}");
    pool.must("doctor", &["--fix"]);

    pool.must("destroy", &["--yes"]);
    for host in balancers {
        let left = host.sh(
            "ls -d /etc/hwctl/balancer /etc/systemd/system/hwctl-virtual* /run/hwctl-virtual* 2>/dev/null; \
             dpkg -l keepalived 2>/dev/null | grep ^ii; pgrep keepalived; iptables -S | grep 112; :",
        );
        assert_eq!(left, "");
    }
    assert!(holders(&balancers, *shared).is_empty());
}

/// Which of the balancers have the address.
fn holders(balancers: &[&Provisioned; 2], shared: IpAddr) -> Vec<usize> {
    let has = |at: &usize| balancers[*at].sh_ok(&format!("ip -o address | grep -qw {shared}"));
    (0..balancers.len()).filter(has).collect()
}

/// Which balancer has the address. Exactly one has to.
fn holder(balancers: &[&Provisioned; 2], shared: IpAddr) -> usize {
    match holders(balancers, shared)[..] {
        [at] => at,
        ref several => panic!("{several:?} have the address"),
    }
}

/// Asks at the shared address all the time while `fault` happens, and holds how long nobody answers.
fn outage(shared: IpAddr, name: &str, fault: impl FnOnce()) {
    let url = format!("https://{shared}/flask/api/ping");
    let asks = || {
        let answer = std::process::Command::new("curl")
            .args(["-sk", "-m", "1", "--connect-timeout", "0.5", &url])
            .output()
            .unwrap();
        answer.stdout.starts_with(b"{\"status\":\"ok\"}")
    };
    let is_over = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !is_over.load(Ordering::Relaxed) || longest < last.elapsed() {
                if asks() {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                assert!(last.elapsed() < MOST, "{name}: nobody answers");
                sleep(Duration::from_millis(50));
            }
            longest
        });
        sleep(Duration::from_millis(300));
        fault();
        sleep(Duration::from_secs(4));
        is_over.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    say(&format!("{name}: {} ms without an answer", longest.as_millis()));
    assert!(longest < MOST, "{name}");
}
