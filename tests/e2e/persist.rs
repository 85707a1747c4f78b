//! Connections that are kept (`--persist`): they spare the next command its login, and prove nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::host::{Provisioned, changes, failure, outcome};
use serde_json::Value;

crate::tests! {
    Lab: [a_kept_connection_spares_a_login_and_proves_none],
}

const KEPT: &[&str] = &["--host", "vm", "--persist=60"];

/// Runs a verb with a folder for kept connections.
fn run(
    host: &Provisioned,
    folder: &std::path::Path,
    verb: &str,
    args: &[&str],
) -> (i32, Vec<Value>) {
    let output = host.command(verb, args).env("XDG_RUNTIME_DIR", folder).output().unwrap();
    Provisioned::read(&output)
}

fn a_kept_connection_spares_a_login_and_proves_none() {
    let host = Provisioned::fresh("trixie");
    let folder = tempfile::tempdir().unwrap();
    let kept = |verb: &str, args: &[&str]| run(&host, folder.path(), verb, &[KEPT, args].concat());
    let logins = || -> u32 {
        host.sh("journalctl -o cat | grep -c 'Accepted publickey' || true").parse().unwrap()
    };

    // A run makes two: its own, and the one that confirms the firewall.
    let before = logins();
    assert_eq!(outcome(&kept("provision", &[]).1), "changed");
    assert_eq!(logins() - before, 2);
    let mode = std::fs::metadata(folder.path().join("hwctl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let before = logins();
    let (code, events) = kept("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]));
    let (_, events) = kept("exec", &["--", "id", "-un"]);
    assert!(events.iter().any(|event| event["text"] == "ubuntu"), "{events:#?}");
    assert_eq!(logins() - before, 0, "the connection was kept");
    assert_eq!(run(&host, folder.path(), "plan", &["--host", "vm"]).0, 0);
    assert_eq!(logins() - before, 1, "without `--persist` there is a login of its own");

    // The kept connection goes through a firewall that lets no new one in.
    let us = host.sh("ip -4 route show default | cut -d' ' -f3");
    host.sh(&format!("ufw --force disable; ufw insert 1 deny from {us}"));
    let (code, events) = kept("provision", &["--connect-timeout", "3"]);
    assert_eq!((code, outcome(&events).as_str()), (4, "undone"));
    assert!(failure(&events).contains("a new login does not work"), "{events:#?}");
    host.sh(&format!("ufw delete deny from {us}"));
    assert_eq!(kept("provision", &[]).0, 0);

    // One whose packets are lost is left after a while; one that has ended at once.
    let port = host.sh(
        "ss -Htn state established '( sport = :22 )' | awk '{ print $4 }' | sed 's/.*://' | head -n 1",
    );
    host.sh(&format!("iptables -I INPUT -p tcp --sport {port} -j DROP"));
    let start = Instant::now();
    assert_eq!(kept("plan", &["--connect-timeout", "2"]).0, 0);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let before = logins();
    host.sh("pkill -KILL -f '^sshd-session: ubuntu'");
    assert_eq!(kept("plan", &[]).0, 0);
    assert_eq!(kept("plan", &[]).0, 0);
    assert_eq!(logins() - before, 1);

    // Sockets that others could reach are not used.
    let shared = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("hwctl"), shared).unwrap();
    let (code, events) = kept("plan", &[]);
    assert_eq!(code, 1);
    assert!(failure(&events).contains("is not a folder that only you can enter"), "{events:#?}");
}
