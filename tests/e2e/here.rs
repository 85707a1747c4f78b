//! A host that works on itself: `ansible_connection: local`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::host::{Provisioned, changes, failure, lab, outcome, refused};

crate::tests! {
    Nothing: [this_machine_is_worked_on_only_when_it_is_named],
    Lab: [a_host_works_on_itself_as_an_operator_does_over_ssh],
}

const VERBS: [&[&str]; 9] = [
    &["provision"],
    &["plan"],
    &["status", "all"],
    &["exec", "--limit", "*", "--", "true"],
    &["ssh"],
    &["destroy", "--yes"],
    &["restart", "nginx"],
    &["deploy", "--rollback"],
    &["facts", "local*"],
];

fn this_machine_is_worked_on_only_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = "all: { hosts: { localhost: { ansible_connection: local } } }";
    fs::write(folder.path().join("inventory.yaml"), text).unwrap();
    for verb in VERBS {
        let said = refused(folder.path(), verb);
        assert!(said.contains("`localhost` is this machine"), "{verb:?}: {said}");
        assert!(said.contains("--host localhost"), "{verb:?}: {said}");
    }
}

/// A host that has hwctl and an inventory of itself.
struct Itself(Provisioned);

impl Itself {
    fn new() -> Self {
        let vm = Provisioned::ready("trixie");
        let itself = Self(vm);
        let (vm, folder) = (&itself.0, itself.folder());
        let inventory = fs::read_to_string(vm.folder().join("inventory.yaml")).unwrap();
        let archive = lab().redis_archive().unwrap();
        let inventory = inventory.replace(archive.to_str().unwrap(), "redis.tar");
        let inventory = inventory + "      ansible_connection: local\n";
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("inventory.yaml"), inventory).unwrap();
        fs::copy(archive, folder.join("redis.tar")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_hwctl"), vm.host.root().join("usr/bin/hwctl")).unwrap();
        vm.sh("chown -R ubuntu: /home/ubuntu/site");
        itself
    }

    fn folder(&self) -> PathBuf {
        self.0.host.root().join("home/ubuntu/site")
    }

    /// Declares one more open port, on the host and on the operator's side.
    fn open_a_port(&self) {
        for folder in [&self.folder(), self.0.folder()] {
            let path = folder.join("inventory.yaml");
            let text = fs::read_to_string(&path).unwrap();
            let ports = "  vars:\n    firewall: { allow: [80/tcp, 443/tcp, 8081/tcp] }\n";
            fs::write(&path, text.replacen("  vars:\n", ports, 1)).unwrap();
        }
    }

    /// Runs a verb on the host, as the user whom ssh lets in.
    fn hwctl(&self, words: &str) -> (i32, Vec<Value>) {
        let line = format!("cd site && hwctl {words}");
        Provisioned::read(&self.0.host.ssh(&line).unwrap())
    }
}

fn a_host_works_on_itself_as_an_operator_does_over_ssh() {
    let host = Itself::new();
    let vm = &host.0;

    let (code, events) = host.hwctl("plan --json --host vm");
    assert_eq!(code, 0, "an operator over ssh made the same: {:?}", changes(&events));

    host.open_a_port();
    let (code, events) = host.hwctl("provision --json --host vm");
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(outcome(&events), "changed");
    assert!(vm.sh("ufw status").contains("8081/tcp"));
    assert!(vm.host.ssh("true").unwrap().status.success(), "ssh stays open");
    let (code, events) = host.hwctl("provision --json --host vm");
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    for verb in ["status", "verify", "doctor", "facts", "history", "cert show", "restart api"] {
        let (code, events) = host.hwctl(&format!("{verb} --json --host vm"));
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }
    let (code, events) = host.hwctl("exec --json --host vm -- sh -c 'echo $0 $HOME; exit 7'");
    assert_eq!(code, 1, "{events:#?}");
    assert!(events.iter().any(|event| event["text"] == "sh /home/ubuntu"), "{events:#?}");
    let login = vm.host.ssh("cd site && hwctl ssh --host vm -- whoami").unwrap();
    assert_eq!(String::from_utf8_lossy(&login.stdout).trim(), "ubuntu");

    let (code, events) = vm.hwctl("plan", &[]);
    assert_eq!(code, 0, "an operator over ssh would make the same: {:?}", changes(&events));
    failed_runs_are_undone(&host);
    a_user_without_sudo_is_refused(&host);
}

fn failed_runs_are_undone(host: &Itself) {
    host.0.break_at_the_end();
    let templates = host.0.folder().join("templates");
    let to = host.folder().join("templates");
    let copied = Command::new("cp").arg("-r").args([&templates, &to]).status().unwrap();
    assert!(copied.success());
    let (code, events) = host.hwctl("provision --json --host vm");
    assert_eq!(code, 4, "{events:#?}");
    host.0.mend();
    fs::remove_dir_all(to).unwrap();
    let (code, events) = host.hwctl("plan --json --host vm");
    assert_eq!(code, 0, "{:?}", changes(&events));
}

fn a_user_without_sudo_is_refused(host: &Itself) {
    host.0.sh("useradd -m anna; cp -r /home/ubuntu/site /home/anna/; chown -R anna: /home/anna");
    let line = "sudo -u anna sh -c 'cd /home/anna/site && hwctl plan --json --host vm'";
    let (code, events) = Provisioned::read(&host.0.host.ssh(line).unwrap());
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("cannot become root on `vm`"), "{events:#?}");
}
