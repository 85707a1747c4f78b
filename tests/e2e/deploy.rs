//! Another version of the API on a real host, under load: there, back, and one that is no good.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use crate::host::{MARK, Provisioned, causes, changes, failure, fields, kept, outcome};
use crate::load::{Load, Target, assert_none_failed};
use serde_json::Value;

crate::tests! {
    Lab: [a_version_comes_and_goes_without_a_lost_request, a_rollback_over_many_versions_keeps_the_last],
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PATHS: &[&str] = &["/flask/api/ping"];

/// The host's binary of the API, changed in what it says of its version.
fn build(host: &Provisioned, version: &str) -> PathBuf {
    assert_eq!(version.len(), VERSION.len());
    let api = host.host.root().join("usr/local/lib/hwctl/api");
    let link = fs::read_link(api.join("flask-app")).unwrap();
    let mut bytes = fs::read(api.join(link.file_name().unwrap())).unwrap();
    let own = VERSION.as_bytes();
    let places: Vec<_> =
        (0..bytes.len() - own.len()).filter(|at| bytes[*at..].starts_with(own)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + own.len()].copy_from_slice(version.as_bytes());
    }
    let path = host.folder().join(format!("flask-app-{version}"));
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn version(host: &Provisioned) -> String {
    fields(&Provisioned::curl(&[&host.url("/flask/")]), "version")
}

/// Runs `hwctl deploy` under load: none of the requests may fail.
fn deploy(host: &Provisioned, target: &Target, args: &[&str]) -> (i32, Vec<Value>) {
    let load = Load::start_with(8, target, PATHS, Duration::from_millis(5));
    let told = host.hwctl("deploy", &[&["--host", "vm"], args].concat());
    sleep(Duration::from_secs(1));
    assert_none_failed(&load.end(), &format!("deploy {args:?}"));
    told
}

/// The host keeps two versions: those of before cannot come back.
fn a_rollback_over_many_versions_keeps_the_last() {
    let host = Provisioned::ready("trixie");
    let versions = ["0.1.6", "0.1.7", "0.1.8"];
    for binary in versions.map(|version| build(&host, version)) {
        let (code, events) = host.hwctl("deploy", &["--binary", binary.to_str().unwrap()]);
        assert_eq!(code, 0, "{events:#?}");
    }
    assert_eq!(host.hwctl("provision", &["--only", "nginx", "--set", "logrotate.keep=9"]).0, 0);
    let (_, events) = host.hwctl("history", &[]);
    let runs = events.iter().find(|event| event["event"] == "history").unwrap()["runs"].clone();
    let mut deploys = runs.as_array().unwrap().iter().filter(|run| run["verb"] == "deploy");
    let first = deploys.next_back().unwrap()["id"].as_str().unwrap().to_owned();

    let (code, events) = host.hwctl("rollback", &[&first, "--yes"]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(kept(&events), ["link /usr/local/lib/hwctl/api/flask-app"], "{events:#?}");
    assert_eq!(version(&host), "0.1.8");
    assert_eq!(host.sh("check-flask | grep ✗ || :"), "");
}

fn a_version_comes_and_goes_without_a_lost_request() {
    let host = Provisioned::ready("trixie");
    let certificate = host.sh("cat /etc/nginx/ssl/homework.crt");
    let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
    let json = "Content-Type: application/json";
    let login = Provisioned::curl(&["-H", json, "-d", &body, &host.url("/flask/auth/login")]);
    let target = Target::new(host.host.address, &certificate, &fields(&login, "token"));

    let (code, events) = deploy(&host, &target, &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "it is hwctl's own already");
    let (code, events) = host.hwctl("deploy", &["--host", "vm", "--rollback"]);
    assert_eq!(code, 1);
    assert!(failure(&events).contains("there is no version before"), "{events:#?}");

    let other = build(&host, "9.9.9");
    let other = other.to_str().unwrap();
    let (code, events) = host.hwctl("deploy", &["--host", "vm", "--check", "--binary", other]);
    assert_eq!(code, 3, "{events:#?}");
    let (code, events) = deploy(&host, &target, &["--binary", other]);
    assert_eq!((code, version(&host).as_str()), (0, "9.9.9"), "{events:#?}");

    // The inventory goes by hwctl's own, and a plan says so; one that names the build has no changes.
    let (_, events) = host.hwctl("plan", &["--host", "vm"]);
    assert!(causes(&events).iter().any(|id| id.starts_with("link ")), "{events:#?}");
    let set = format!("api.binary={other}");
    let (code, events) = host.hwctl("plan", &["--host", "vm", "--set", &set]);
    assert_eq!((code, changes(&events)), (0, vec![]));

    let (code, events) = deploy(&host, &target, &["--rollback"]);
    assert_eq!((code, version(&host).as_str()), (0, VERSION), "{events:#?}");
    let (code, events) = host.hwctl("plan", &["--host", "vm"]);
    assert_eq!((code, changes(&events)), (0, vec![]));

    // A program that is none, and one that never becomes ready: the old one goes on.
    let text = host.folder().join("text");
    fs::write(&text, "#!/bin/sh\n").unwrap();
    let (code, events) = deploy(&host, &target, &["--binary", text.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(failure(&events).contains("is no Linux program"), "{events:#?}");
    let (code, events) = deploy(&host, &target, &["--binary", "/bin/true"]);
    assert_eq!((code, outcome(&events).as_str()), (4, "undone"), "{events:#?}");
    assert_eq!(version(&host), VERSION);
    let (code, events) = host.hwctl("plan", &["--host", "vm"]);
    assert_eq!((code, changes(&events)), (0, vec![]));
}
