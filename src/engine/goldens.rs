//! Reads the golden records: what earlier versions of hwctl left on a host. `docs/contributing/formats.md`
//! says how they are made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_bytes::ByteBuf;
use serde_json::Value;
use tempfile::TempDir;

use crate::engine::plan::renewal;
use crate::engine::record::format::Format;
use crate::engine::record::journal;
use crate::engine::record::manifest::{Manifest, Owned};
use crate::engine::record::specs;
use crate::event::RunOutcome;
use crate::resource::{Host, decode, encode};

/// The records of the last version before the numbers were written.
const FORMAT_1: &str = "format-1";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// The names of all golden records.
fn all() -> Vec<String> {
    let found = fs::read_dir(folder()).unwrap().map(|found| found.unwrap());
    let folders = found.filter(|found| found.path().is_dir());
    folders.map(|found| found.file_name().into_string().unwrap()).collect()
}

/// A host that has golden records, and the folder that is its root.
fn host_with(goldens: &str) -> (TempDir, Host) {
    let root = tempfile::tempdir().unwrap();
    let blobs = Box::new(|_: &_| anyhow::bail!("no blobs"));
    let host = Host::new(root.path(), blobs, Box::new(|_| ()));
    copy(&folder().join(goldens), &host.state_dir());
    (root, host)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let path = found.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

fn elements(path: &Path) -> Vec<ByteBuf> {
    decode(&fs::read(path).unwrap()).unwrap()
}

/// The files of entries of all runs.
fn noted(host: &Host) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for run in fs::read_dir(host.state_dir().join("runs")).unwrap() {
        let found = fs::read_dir(run.unwrap().path()).unwrap().map(|file| file.unwrap().path());
        files.extend(found.filter(|path| path.extension().is_none()));
    }
    files
}

#[test]
fn runs_of_format_1_say_what_they_did() {
    let (_root, host) = host_with(FORMAT_1);

    let runs = journal::runs(&host, false).unwrap();

    let told = runs.iter().map(|run| {
        let entries = journal::entries(&host, &run.id).unwrap();
        assert_eq!(entries.len(), run.changes.len(), "{}", run.id);
        for (entry, changed) in entries.iter().zip(&run.changes) {
            assert_eq!((&entry.change.id, entry.change.action), (&changed.id, changed.action));
        }
        (run.verb.as_str(), run.outcome, entries.len())
    });
    let told: Vec<_> = told.collect();
    assert_eq!(
        told,
        [
            ("provision", RunOutcome::Kept, 59),
            ("provision", RunOutcome::Kept, 4),
            ("rollback", RunOutcome::Kept, 4),
            ("provision", RunOutcome::Kept, 7),
            ("deploy", RunOutcome::Kept, 3),
            ("deploy --rollback", RunOutcome::Kept, 2),
            ("cert renew", RunOutcome::Kept, 2),
            ("provision", RunOutcome::Undone, 2),
        ]
    );
}

#[test]
fn a_manifest_of_format_1_knows_what_was_made() {
    let (_root, host) = host_with(FORMAT_1);

    let manifest = Manifest::load(&host).unwrap();

    assert_eq!(manifest.strange(), 0);
    let mut kinds = BTreeMap::new();
    for (_, resource) in manifest.resources() {
        let id = resource.id().to_string();
        *kinds.entry(id.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(
        kinds,
        [
            ("absent", 1),
            ("certificate", 1),
            ("container", 1),
            ("directory", 12),
            ("file", 24),
            ("firewall", 1),
            ("image", 1),
            ("link", 5),
            ("packages", 1),
            ("secret", 2),
            ("unit", 5),
            ("user", 1),
            ("volume", 1),
        ]
    );
    let certificates = renewal::declared(&manifest).unwrap();
    assert_eq!(certificates.len(), 1);
    let (tag, certificate) = &certificates[0];
    assert_eq!((tag.as_str(), certificate.days), ("tls", 60));
    assert_eq!(manifest.originals().len(), manifest.resources().count());
}

/// Also the digest of a container goes by it, and a host restarts what has another one.
#[test]
fn records_are_written_again_as_they_were() {
    for goldens in all() {
        let (_root, host) = host_with(&goldens);
        let manifest = host.state_dir().join("manifest");

        for element in elements(&manifest) {
            let again = match decode::<Owned>(&element) {
                Ok(owned) => encode(&owned).unwrap(),
                Err(_) => encode(&decode::<Format>(&element).unwrap()).unwrap(),
            };
            assert_eq!(again, *element, "{goldens}");
        }
        let files = noted(&host);
        assert!(files.len() > 9, "{goldens}: only {} files", files.len());
        for element in files.iter().flat_map(|path| elements(path)) {
            let entry: journal::Entry = decode(&element).unwrap();
            assert_eq!(encode(&entry).unwrap(), *element, "{goldens}: {entry:?}");
        }
        Manifest::load(&host).unwrap().save(&host).unwrap();
        let read = Manifest::load(&host).unwrap();
        assert_eq!(read.resources().count() + 1, elements(&manifest).len(), "{goldens}");
    }
}

#[tokio::test]
async fn saved_states_lead_back() {
    for goldens in all() {
        let (_root, host) = host_with(&goldens);
        let runs = journal::runs(&host, false).unwrap();
        let entries = runs.iter().flat_map(|run| journal::entries(&host, &run.id).unwrap());
        // The others ask systemd, apt or Docker about this machine.
        let files: Vec<_> = entries.filter(|entry| entry.resource.path().is_some()).collect();

        for entry in &files {
            let back = entry.resource.examine_back(&entry.before, &host).await;
            assert!(back.is_ok(), "{goldens}: {}: {:?}", entry.change.id, back.err());
        }
        assert!(files.len() > 50, "{goldens}: only {} files", files.len());
    }
}

/// The first versions kept no specs. Later ones may add fields to them.
#[test]
fn specs_of_parts_are_read_and_written_again_without_a_loss() {
    let mut count = 0;
    for goldens in all() {
        let (_root, host) = host_with(&goldens);
        let runs = fs::read_dir(host.state_dir().join("runs")).unwrap();
        let folders = runs.map(|run| run.unwrap().path()).chain([host.state_dir()]);
        for path in folders.map(|folder| folder.join("parts.json")).filter(|path| path.exists()) {
            let before: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let parts = specs::read_from(&path).unwrap().unwrap();
            let again = serde_json::to_value(&parts).unwrap();
            assert!(has_all_of(&again, &before["parts"]), "{goldens}: {again:#} {before:#}");
            count += 1;
        }
    }
    assert!(count > 1, "only {count} files of specs");
}

fn has_all_of(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            old.iter().all(|(name, value)| new.get(name).is_some_and(|new| has_all_of(new, value)))
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| has_all_of(new, old))
        }
        _ => new == old,
    }
}

#[test]
fn certificates_are_found_without_the_rest_of_the_manifest() {
    for goldens in all() {
        let (_root, host) = host_with(&goldens);

        let manifest = Manifest::load(&host).unwrap();
        let certificates = Manifest::load_naming(&host, "Certificate").unwrap();

        let found = |manifest| renewal::declared(manifest).unwrap();
        assert_eq!(found(&certificates), found(&manifest), "{goldens}");
        assert!(certificates.resources().count() < manifest.resources().count() / 2, "{goldens}");
    }
}
