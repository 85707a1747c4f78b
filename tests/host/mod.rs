//! A lab host and hwctl run against it, as a user would.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use hwctl::lab::{Lab, TemporaryHost};
use serde_json::Value;

/// Stands in every password of the inventory.
pub(crate) const MARK: &str = "marked-secret-";

/// The lab, or one line that says why there is none.
pub(crate) fn lab() -> Lab {
    Lab::open().unwrap_or_else(|error| panic!("this test needs a lab host: {error}"))
}

/// A lab host with an inventory that names it.
pub(crate) struct Provisioned<'lab> {
    pub(crate) host: TemporaryHost<'lab>,
    folder: tempfile::TempDir,
}

impl<'lab> Provisioned<'lab> {
    /// A host that was never provisioned.
    pub(crate) fn fresh(lab: &'lab Lab, release: &str) -> Self {
        let host = lab.temporary(release).expect("a lab host");
        let folder = tempfile::tempdir().unwrap();
        let archive = lab.redis_archive().expect("the stand-in for Redis's image");
        let inventory = format!(
            "all:\n  vars:\n    redis: {{ image_archive: {} }}\n    \
             api: {{ users: {{ admin: {MARK}api }} }}\n    \
             sites: {{ site2: {{ users: {{ admin: {MARK}site }} }} }}\n  \
             hosts:\n    vm:\n      ansible_host: {}\n      ansible_user: {}\n      \
             ansible_ssh_private_key_file: {}\n",
            archive.display(),
            host.address,
            host.ssh_user(),
            host.identity().display(),
        );
        std::fs::write(folder.path().join("inventory.yaml"), inventory).unwrap();
        Self { host, folder }
    }

    /// Runs a verb with `--json`; its exit code and events.
    pub(crate) fn hwctl(&self, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
        Self::read(&self.command(verb, args).output().unwrap())
    }

    /// The command of a verb with `--json`.
    pub(crate) fn command(&self, verb: &str, args: &[&str]) -> Command {
        // ssh reads its own configuration: known hosts are the lab's.
        let own = args.contains(&"--known-hosts");
        let known = (!own).then(|| self.host.known_hosts().to_str().expect("a path in UTF-8"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_hwctl"));
        command
            .current_dir(self.folder.path())
            .args([verb, "--json"])
            .args(known.iter().flat_map(|path| ["--known-hosts", path]))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What a verb with `--json` said: its exit code and events.
    pub(crate) fn read(output: &Output) -> (i32, Vec<Value>) {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!errors.contains("panicked"), "{errors}");
        // The inventory's passwords are marked: neither may show anywhere.
        assert!(!text.contains(MARK) && !errors.contains(MARK), "a secret shows");
        let events = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        (output.status.code().unwrap_or(-1), events)
    }

    /// The folder of the inventory.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Whether no run has begun on the host and no package of the stack is there.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.sh_ok("test -e /etc/nginx || test -e /var/lib/hwctl/runs")
    }

    /// Runs a command as root on the host; what it printed. It has to succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.host.exec(&["sh", "-c", script]).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "`{script}`: {text} {errors}");
        text
    }

    /// Whether a command as root on the host succeeds.
    pub(crate) fn sh_ok(&self, script: &str) -> bool {
        self.host.exec(&["sh", "-c", script]).unwrap().status.success()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host.address)
    }

    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host.address)
    }

    /// curl from outside.
    pub(crate) fn curl(args: &[&str]) -> String {
        let output = Command::new("curl").args(["-sk", "-m", "10"]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a TCP port answers from outside.
    pub(crate) fn answers(&self, port: u16) -> bool {
        let address = SocketAddr::new(self.host.address, port);
        TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
    }
}

/// The ids of the planned changes.
pub(crate) fn changes(events: &[Value]) -> Vec<&str> {
    planned(events).iter().filter_map(|change| change["id"].as_str()).collect()
}

/// The ids of the planned changes that are not consequences of others.
pub(crate) fn causes(events: &[Value]) -> Vec<&str> {
    let own = planned(events).iter().filter(|change| change["because"].is_null());
    own.filter_map(|change| change["id"].as_str()).collect()
}

fn planned(events: &[Value]) -> &[Value] {
    let plan = events.iter().find(|event| event["event"] == "plan");
    plan.and_then(|plan| plan["changes"].as_array()).map_or(&[], Vec::as_slice)
}

/// The only host's outcome, from the last event.
pub(crate) fn outcome(events: &[Value]) -> String {
    assert_eq!(events.first().expect("an event")["event"], "version");
    let last = events.last().expect("an event");
    assert_eq!(last["event"], "summary", "{events:#?}");
    last["hosts"][0]["outcome"].as_str().unwrap_or_default().to_owned()
}

/// All that the failure says, as one text.
pub(crate) fn failure(events: &[Value]) -> String {
    let failed = events.iter().find(|event| event["event"] == "failed");
    failed.unwrap_or_else(|| panic!("nothing failed: {events:#?}")).to_string()
}

/// A text field of a JSON object.
pub(crate) fn fields(json: &str, name: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("no JSON: {json}"));
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {json}")).to_owned()
}
