//! SSH keys that hwctl lets in as a user of the host: what others have in the file stays, and all of it comes back.

use std::fs;
use std::time::Duration;

use hwctl::engine::protocol::{CONFIRM_TIMEOUT_S, Goal, PlanRequest, RunInfo};
use hwctl::remote::{Engine, Target};
use hwctl::resource::{Declared, SshKey, SshKeys};
use hwctl::spec::Scope;

use crate::host::Provisioned;

crate::tests! {
    Lab: [keys_are_let_in_beside_those_of_others_and_go_without_a_trace],
}

const FILE: &str = "/home/ubuntu/.ssh/authorized_keys";

/// Makes a key pair beside the inventory. Returns the public key.
fn new_key(host: &Provisioned, name: &str) -> SshKey {
    let path = host.folder().join(name);
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"];
    let made = std::process::Command::new("ssh-keygen").args(arguments).arg(&path).status();
    assert!(made.unwrap().success());
    SshKey::parse(&fs::read_to_string(path.with_extension("pub")).unwrap()).unwrap()
}

/// Whether the key beside the inventory lets its owner in.
fn lets_in(host: &Provisioned, name: &str) -> bool {
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-i").arg(host.folder().join(name));
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", host.host.known_hosts().display()));
    ssh.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]);
    ssh.arg(format!("ubuntu@{}", host.host.address)).arg("true");
    ssh.output().unwrap().status.success()
}

/// Lets the keys in, and keeps the run or takes it back. Returns the number of changes.
fn provision(host: &Provisioned, keys: &[SshKey], is_kept: bool) -> usize {
    let target = Target {
        name: "vm".to_owned(),
        is_here: false,
        address: host.host.address.to_string(),
        user: Some(host.host.ssh_user().to_owned()),
        port: None,
        identity: Some(host.host.identity().to_owned()),
        known_hosts: Some(host.host.known_hosts().to_owned()),
        ssh_arguments: Vec::new(),
        accept_new_host_key: false,
        sudo: vec!["sudo".to_owned()],
        become_password: None,
        host_binary: Some(env!("CARGO_BIN_EXE_hwctl").into()),
        connect_timeout: Duration::from_secs(10),
        persist: None,
    };
    let keys = SshKeys { login: "ubuntu".to_owned(), keys: keys.to_vec() };
    let goal = Goal::Declared {
        resources: vec![Declared::new("people", keys)],
        parts: Vec::new(),
        scope: Scope::Only(vec!["people".to_owned()]),
        hash_key: None,
    };
    let run = RunInfo {
        operator: "tests".to_owned(),
        verb: "provision".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let request = PlanRequest {
        goal,
        run: Some(run),
        patience_s: 60,
        keep_on_failure: false,
        confirm_timeout_s: CONFIRM_TIMEOUT_S,
        endpoints: Vec::new(),
        outside: None,
        seal: false,
        folders: Vec::new(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut engine = Engine::start(&target, &|_| ()).await.unwrap();
        let plan = engine.plan(request, &|_| ()).await.unwrap();
        if !plan.changes.is_empty() {
            engine.apply(plan.fingerprint, &[], &|_| ()).await.unwrap();
            match is_kept {
                true => engine.keep(&|_| ()).await.unwrap(),
                false => assert!(engine.undo("a test", &|_| ()).await.unwrap().is_empty()),
            }
        }
        engine.hang_up().await;
        plan.changes.len()
    })
}

fn keys_are_let_in_beside_those_of_others_and_go_without_a_trace() {
    let host = Provisioned::ready("trixie");
    let [ours, second, theirs] = ["ours", "second", "theirs"].map(|name| new_key(&host, name));
    let other = fs::read_to_string(host.folder().join("theirs.pub")).unwrap();
    host.sh("apt-get install -qq acl attr >/dev/null 2>&1");
    // Windows line ends, an odd option, no end of the last line.
    host.sh(&format!(
        "printf '# by hand\\r\\n\\nno-pty {}' >>{FILE}; chmod 640 {FILE}; chgrp adm {FILE}; \
         setfacl -m u:nobody:r {FILE}; setfattr -n user.note -v mine {FILE}",
        other.trim()
    ));
    let looks = || {
        let bytes = fs::read(host.host.root().join(&FILE[1..])).unwrap();
        let about = format!("stat -c '%a %U %G %h' {FILE}; getfacl -p {FILE}; getfattr -d {FILE}");
        (host.sh(&format!("{about}; stat -c '%a %U %G' /home/ubuntu/.ssh")), bytes)
    };
    let before = looks();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    // Undone: byte for byte.
    assert_eq!(provision(&host, &[ours.clone(), theirs.clone()], false), 1);
    assert_eq!(looks(), before);

    // Kept: the others' lines and attributes stay. Nobody but the user has rights to the file.
    assert_eq!(provision(&host, &[ours.clone(), theirs], true), 1);
    let kept = looks();
    assert!(kept.0.starts_with("600 ubuntu ubuntu 1\n"), "{}", kept.0);
    assert!(kept.0.contains("user.note") && !kept.0.contains("nobody"), "{}", kept.0);
    assert!(text(&kept.1).contains(&text(&before.1)), "{}\n{}", text(&kept.1), text(&before.1));
    assert!(lets_in(&host, "ours") && lets_in(&host, "theirs"));
    assert_eq!(
        provision(&host, std::slice::from_ref(&ours), true),
        0,
        "theirs is not ours to remove"
    );
    assert_eq!(provision(&host, &[second], true), 1);
    assert!(!lets_in(&host, "ours") && lets_in(&host, "second") && lets_in(&host, "theirs"));

    // Taken back, and destroyed: byte for byte.
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(looks(), kept);
    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(looks(), before);
    assert!(!lets_in(&host, "ours") && lets_in(&host, "theirs"));
}
