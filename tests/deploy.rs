//! `hwctl deploy`: a new API takes over without a lost request, an unfit one never serves.

mod host;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use host::{Provisioned, changes, failure, outcome, runs};
use serde_json::Value;

const LINK: &str = "readlink /usr/local/lib/hwctl/api/flask-app";

#[test]
fn a_new_api_takes_over_and_an_unfit_one_does_not() {
    let lab = host::lab();
    let host = Provisioned::fresh(&lab, "trixie");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");

    let (done, asked, lost) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                if Provisioned::curl(&[&host.url("/flask/api/ping")]) != r#"{"status":"ok"}"# {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            it_goes_forth_and_back(&host);
            unfit_ones_never_serve(&host);
        }));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    println!("{} requests during deploys", asked.load(Ordering::Relaxed));
    assert!(asked.into_inner() > 50);
    assert_eq!(lost.into_inner(), 0);
    the_inventory_keeps_it(&host);
}

/// The API that hwctl carries, as another version: bytes after the end change nothing but its hash.
fn build(host: &Provisioned<'_>, name: &str) -> PathBuf {
    let api = hwctl::bundle::API.expect("hwctl carries the API");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(api.gzip).read_to_end(&mut bytes).unwrap();
    bytes.extend_from_slice(name.as_bytes());
    write(host, name, &bytes)
}

fn write(host: &Provisioned<'_>, name: &str, bytes: &[u8]) -> PathBuf {
    let path = host.folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn deploy(host: &Provisioned<'_>, path: &Path) -> (i32, Vec<Value>) {
    host.hwctl("deploy", &["--binary", path.to_str().unwrap()])
}

fn warned(events: &[Value]) -> bool {
    events
        .iter()
        .any(|event| event["event"] == "warning" && event.to_string().contains("api.binary"))
}

fn it_goes_forth_and_back(host: &Provisioned<'_>) {
    let first = host.sh(LINK);
    let (code, events) = host.hwctl("deploy", &["--rollback"]);
    assert_eq!(code, 1);
    assert!(failure(&events).contains("there is no version before"), "{events:#?}");
    let (code, events) = host.hwctl("deploy", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    let (code, events) = deploy(host, &build(host, "two"));
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    assert!(warned(&events), "{events:#?}");
    let second = host.sh(LINK);
    assert_ne!(second, first);
    assert!(
        host.sh("ls -l /proc/$(systemctl show -p MainPID --value flask-app)/exe")
            .ends_with(&second)
    );
    assert_eq!(runs(&host.hwctl("history", &[]).1)[0].0, "deploy");
    // It is clearly planned that the next provision goes back.
    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)[0]), (3, "link /usr/local/lib/hwctl/api/flask-app"));

    let (code, events) = host.hwctl("deploy", &["--rollback"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    assert_eq!(host.sh(LINK), first);
    let (code, _) = host.hwctl("deploy", &["--rollback"]);
    assert_eq!((code, host.sh(LINK)), (0, second));
    assert_eq!(host.hwctl("deploy", &[]).0, 0);
    assert_eq!(host.sh(LINK), first);
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

fn unfit_ones_never_serve(host: &Provisioned<'_>) {
    let before = host.sh(LINK);
    let pid = || host.sh("systemctl show -p MainPID --value flask-app");
    let serving = pid();
    let unfit: [(&str, &[u8], &str); 3] = [
        ("dies", b"#!/bin/sh\necho this build is broken\nexit 3\n", "this build is broken"),
        ("never-ready", b"#!/bin/sh\nexec sleep 60\n", "does not start"),
        ("no-program", b"text", "does not start"),
    ];
    for (name, bytes, told) in unfit {
        let (code, events) = deploy(host, &write(host, name, bytes));
        assert_eq!(code, 4, "{name}: {events:#?}");
        let failure = failure(&events);
        assert!(failure.contains("not fit to serve"), "{name}: {failure}");
        assert!(failure.contains(told), "{name}: {failure}");
        assert_eq!((host.sh(LINK), pid()), (before.clone(), serving.clone()), "{name}");
        assert!(!host.sh_ok("ls /run/systemd/system/hwctl-trial.service"), "{name}");
    }
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

fn the_inventory_keeps_it(host: &Provisioned<'_>) {
    build(host, "three");
    let set = ["--set", "api.binary=three"];
    let (code, events) = host.hwctl("deploy", &set);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!warned(&events), "{events:#?}");
    assert_eq!(host.hwctl("plan", &set).0, 0);
    let (code, events) = host.hwctl("plan", &["--set", "api.binary=absent"]);
    assert_eq!(code, 2, "{events:#?}");
}
