//! The specs of the parts as they were declared last. What the host does alone reads them here, since no
//! operator is there to send them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::protocol::Goal;
use crate::engine::record::format::{self, Format};
use crate::engine::record::journal;
use crate::resource::{Advise, Host, write_atomic};
use crate::spec::{PartSpec, Scope};

/// The file, below hwctl's own folder and below the folder of a run.
const NAME: &str = "parts.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    parts: Vec<PartSpec>,
}

/// Reads the specs. Returns None on a host whose runs have kept none so far.
pub(in crate::engine) fn read(host: &Host) -> Result<Option<Vec<PartSpec>>> {
    read_from(&path(host))
}

/// The specs of the parts of this host. An error where no run has kept any.
pub fn kept_parts(host: &Host) -> Result<Vec<PartSpec>> {
    read(host)?
        .context("hwctl knows no parts of this host")
        .hint("`hwctl provision` writes down what the host has")
}

/// Refuses a host whose specs have a format of a newer build, or cannot be written. A damaged file is no
/// obstacle to a run: it is written again.
pub(in crate::engine) fn require_known_format(host: &Host) -> Result<()> {
    let path = path(host);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found if !found.as_ref().is_ok_and(fs::Metadata::is_file) => {
            return Err(anyhow!("`{}` is not a regular file", path.display()))
                .hint(format!("move it away, for example with `mv {0} {0}.old`", path.display()));
        }
        _ => {}
    }
    let found = fs::read(&path).ok().and_then(|bytes| parsed::<Format>(&path, &bytes).ok());
    Ok(found.map_or(Ok(()), |found| found.require_known(format::SPECS, &path))?)
}

pub(in crate::engine) fn read_from(path: &Path) -> Result<Option<Vec<PartSpec>>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.with_context(|| format!("read `{}`", path.display()))?,
    };
    parsed::<Format>(path, &bytes)?.require_known(format::SPECS, path)?;
    Ok(Some(parsed::<Kept>(path, &bytes)?.parts))
}

fn parsed<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .with_context(|| format!("`{}` is damaged", path.display()))
        .hint("`hwctl provision` writes that file again")
}

/// Copies the specs into the folder of a run that begins: a rollback to before it needs them. Damaged ones
/// are of no use to it.
pub(in crate::engine) fn save_before(host: &Host, run: &Path) -> Result<()> {
    match read(host) {
        Ok(Some(parts)) => write(&run.join(NAME), parts),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Keeps the specs of a goal that was reached. After a rollback these are the ones from before the run
/// `back_to`.
pub(in crate::engine) fn keep(host: &Host, goal: &Goal, back_to: Option<&str>) -> Result<()> {
    // One that is damaged is written again.
    let kept = read(host).unwrap_or_default();
    let next = match (goal, back_to) {
        (Goal::Declared { parts, scope, .. }, _) => {
            // A version that kept none may have provisioned all of them.
            Some(merged(kept.clone().unwrap_or_else(|| parts.clone()), parts, scope))
        }
        // A run of a version that kept none says nothing of the parts: they stay as they are known.
        (Goal::Before { .. }, Some(run)) => {
            read_from(&journal::folder_of(host, run).join(NAME)).unwrap_or_default()
        }
        _ => None,
    };
    match next {
        Some(parts) if kept.as_ref() != Some(&parts) => write(&path(host), parts),
        _ => Ok(()),
    }
}

fn write(path: &Path, parts: Vec<PartSpec>) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(&Kept { format: format::SPECS, parts })?;
    write_atomic(path, &bytes, 0o600, None)
}

/// The declared specs that are meant, with the kept ones of all other parts.
fn merged(kept: Vec<PartSpec>, declared: &[PartSpec], scope: &Scope) -> Vec<PartSpec> {
    let is_declared = |name: &str| declared.iter().any(|spec| spec.name == name);
    let mut merged: Vec<_> = declared
        .iter()
        .filter_map(|spec| match scope.has(&spec.name) {
            true => Some(spec.clone()),
            false => kept.iter().find(|kept| kept.name == spec.name).cloned(),
        })
        .collect();
    let others = kept.into_iter().filter(|spec| !scope.has(&spec.name) && !is_declared(&spec.name));
    merged.extend(others);
    merged
}

/// Removes the specs: hwctl leaves the host.
pub(in crate::engine) fn forget(host: &Host) -> Result<()> {
    journal::remove_file(&path(host))
}

fn path(host: &Host) -> PathBuf {
    host.state_dir().join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Endpoint, Pin};

    fn host(root: &Path) -> Host {
        let host = Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()));
        fs::create_dir_all(host.state_dir()).unwrap();
        host
    }

    fn part(name: &str, port: u16) -> PartSpec {
        let endpoints = vec![Endpoint { name: name.to_owned(), port, pin: Pin::Plain }];
        PartSpec { name: name.to_owned(), endpoints, ..PartSpec::default() }
    }

    fn declared(parts: &[PartSpec], scope: Scope) -> Goal {
        Goal::Declared { resources: Vec::new(), parts: parts.to_vec(), scope, hash_key: None }
    }

    #[test]
    fn a_goal_replaces_the_specs_that_it_means() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        assert_eq!(read(&host).unwrap(), None);

        let first = [part("web", 1), part("shop", 1), part("data", 1)];
        keep(&host, &declared(&first, Scope::All), None).unwrap();
        assert_eq!(read(&host).unwrap().unwrap(), first);

        // The shop is declared no more, and only the web is meant.
        let second = [part("web", 2), part("data", 2)];
        keep(&host, &declared(&second, Scope::Only(vec!["web".to_owned()])), None).unwrap();
        assert_eq!(
            read(&host).unwrap().unwrap(),
            [part("web", 2), part("data", 1), part("shop", 1)]
        );

        keep(&host, &declared(&second, Scope::Except(vec!["web".to_owned()])), None).unwrap();
        assert_eq!(read(&host).unwrap().unwrap(), second);
    }

    #[test]
    fn a_rollback_brings_back_the_specs_from_before_the_run() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let runs = ["first", "second"];
        for (run, port) in runs.iter().zip([1, 2]) {
            let folder = journal::folder_of(&host, run);
            fs::create_dir_all(&folder).unwrap();
            save_before(&host, &folder).unwrap();
            keep(&host, &declared(&[part("web", port)], Scope::All), None).unwrap();
        }
        let back = |run: &str| {
            keep(&host, &Goal::Before { run: None }, Some(run)).unwrap();
            read(&host).unwrap()
        };

        assert_eq!(back(runs[1]), Some(vec![part("web", 1)]));
        assert_eq!(
            back(runs[0]),
            Some(vec![part("web", 1)]),
            "the first run has none from before it: what is known stays"
        );
    }

    #[test]
    fn a_newer_format_and_a_damaged_file_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let refused = |text: &str| {
            fs::write(path(&host), text).unwrap();
            let failure = crate::failure::Failure::from(read(&host).unwrap_err());
            (format!("{} {}", failure.what, failure.why.join(" ")), failure.hint.unwrap())
        };

        let (what, hint) = refused(r#"{"format": 2, "parts": {"in": "another shape"}}"#);
        assert!(what.contains("has format 2") && hint.contains("newer hwctl"), "{what}; {hint}");
        assert!(require_known_format(&host).is_err());
        for damaged in ["", "{", r#"{"format": 1}"#, r#"{"format": 1, "parts": 5}"#] {
            let (what, hint) = refused(damaged);
            assert!(what.contains("parts.json` is damaged"), "{damaged}: {what}");
            assert!(hint.contains("`hwctl provision`"), "{damaged}: {hint}");
            assert!(require_known_format(&host).is_ok(), "a run may begin, and mends it");
            keep(&host, &declared(&[part("web", 1)], Scope::All), None).unwrap();
            assert_eq!(read(&host).unwrap(), Some(vec![part("web", 1)]));
        }
    }
}
