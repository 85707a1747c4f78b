//! The example of `docs/containers.md`: Postgres, with as few rights as containers have, and a worker that uses it.
//!
//! The images are made of Debian's Postgres on the host itself, since the lab reaches no registry.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::host::{Provisioned, changes, kept, outcome, wait_until};

crate::tests! {
    Lab: [the_example_of_the_page_about_containers_works],
}

/// The program of the image, which does what that of the real one does: an empty folder becomes a database.
const DATABASE: &str = include_str!("postgres/database");
/// Counts its starts in the database.
const WORKER: &str = include_str!("postgres/worker");
/// Lets the host make both images.
const IMAGES: &str = include_str!("postgres/images.sh");

/// Puts the page's example into the inventory, at the place of the other variables.
fn declare(host: &Provisioned, change: impl Fn(String) -> String) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/containers.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, example) = page.split_once("```yaml\nall:\n  vars:\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let path = host.folder().join("inventory.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let begin = text.find("    containers:\n").unwrap_or_else(|| text.find("  hosts:\n").unwrap());
    let end = text.find("  hosts:\n").unwrap();
    let example = change(example.to_owned());
    fs::write(&path, format!("{}{example}{}", &text[..begin], &text[end..])).unwrap();
}

fn hwctl(host: &Provisioned, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
    let mut command = host.command(verb, args);
    Provisioned::read(&command.env("REGISTRY_TOKEN", "planted-registry-token").output().unwrap())
}

/// How often the worker has started, as the database has it.
fn starts(host: &Provisioned) -> String {
    let count = "docker exec shop-worker psql \"$url\" -Atc 'SELECT count(*) FROM starts'";
    let file = "/etc/hwctl/containers/shop-worker.env";
    host.sh(&format!("url=$(sed -n 's/^DATABASE_URL=\"\\(.*\\)\"/\\1/p' {file}); {count}"))
}

/// Makes the images of Postgres and of the worker on a host that has Docker.
pub(crate) fn make_images(host: &Provisioned) {
    for (name, text) in [("database", DATABASE), ("worker", WORKER)] {
        fs::write(host.host.root().join("root").join(name), text).unwrap();
    }
    host.sh(IMAGES);
}

fn the_example_of_the_page_about_containers_works() {
    let host = Provisioned::ready("trixie");
    make_images(&host);

    declare(&host, |example| example);
    let (code, events) = hwctl(&host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    wait_until("the worker counts", || {
        host.sh("docker logs shop-worker 2>&1").contains("counted a start")
    });
    assert_eq!(starts(&host), "1");
    let (code, events) = hwctl(&host, "provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    let (code, documents) = hwctl(&host, "status", &[]);
    assert_eq!(code, 0, "{documents:#?}");
    assert!(!host.answers(5432), "it is for the host alone");
    assert!(host.sh_ok("bash -c '</dev/tcp/127.0.0.1/5432'"));

    // The new one is tried with a database of its own, and takes the old one's over.
    declare(&host, |example| example.replace("512M", "600M"));
    let (code, events) = hwctl(&host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(changes(&events), ["container shop-db"], "{events:#?}");
    assert_eq!(starts(&host), "1");

    // It comes back with the host.
    host.sh("docker restart -t 5 shop-worker >/dev/null");
    wait_until("the worker counts again", || starts(&host) == "2");
    let (code, events) = hwctl(&host, "destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(kept(&events).contains(&"volume shop-db"), "{events:#?}");
    assert!(host.sh_ok("test -s /var/lib/docker/volumes/shop-db/_data/PG_VERSION"));
}
