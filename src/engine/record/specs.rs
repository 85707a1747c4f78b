//! The specs of the parts as they were declared last. What the host does alone reads them here, since no
//! operator is there to send them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::protocol::{DESTROY, Goal};
use crate::engine::record::format::{self, Format, NEWER_HINT};
use crate::engine::record::journal;
use crate::failure::{Exit, Failure};
use crate::resource::{Advise, Host, remove_file, write_atomic};
use crate::spec::{PartSpec, Scope};

/// The file, below hwctl's own folder and below the folder of a run.
const NAME: &str = "parts.json";

/// What the file holds. The parts stay as they were written, because another version may say of one what
/// this version does not know.
#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    parts: Vec<Value>,
}

/// Reads the specs. Returns None on a host whose runs have kept none so far, or that was destroyed since.
pub(in crate::engine) fn read(host: &Host) -> Result<Option<Vec<PartSpec>>> {
    if is_stale(host) { Ok(None) } else { read_from(&path(host)) }
}

/// Reads the specs in a file.
pub(in crate::engine) fn read_from(path: &Path) -> Result<Option<Vec<PartSpec>>> {
    let parts = written_in(path)?;
    parts.map(|parts| parts.iter().map(understood).collect()).transpose()
}

/// The specs of the parts of this host. An error where no run has kept any.
pub fn kept_parts(host: &Host) -> Result<Vec<PartSpec>> {
    read(host)?
        .context("hwctl has no record of this host")
        .hint("run `hwctl provision`: it creates the record")
}

/// The names of the parts, also of those of which this version understands nothing more.
pub(in crate::engine) fn names(host: &Host) -> Result<Vec<String>> {
    let parts = current(host)?.unwrap_or_default();
    Ok(parts.iter().map(|part| name_of(part).to_owned()).collect())
}

/// Refuses a host whose specs a newer build has written: they have another format, or a part that a run for
/// `goal` would write anew or take away is not understood here (`is_known` is false for a part whose driver
/// this build lacks). Refuses a file that cannot be written, too. A damaged file is no obstacle to a run: it
/// is written again.
pub(in crate::engine) fn require_known(
    host: &Host,
    goal: Option<&Goal>,
    is_known: impl Fn(&PartSpec) -> bool,
) -> Result<()> {
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
    if let Some(found) = found {
        found.require_known(format::SPECS, &path)?;
    }
    let Some(Goal::Declared { scope, .. }) = goal else { return Ok(()) };
    let kept = current(host).ok().flatten().unwrap_or_default();
    for part in kept.iter().filter(|part| scope.has(name_of(part))) {
        let spec = understood(part)?;
        if !is_known(&spec) {
            let driver = spec.driver.unwrap_or_default();
            let failure = of_another_build(&spec.name);
            Err(failure.why(format!("its driver is `{driver}`, which this build does not have")))?;
        }
    }
    Ok(())
}

fn of_another_build(part: &str) -> Failure {
    let what = format!("another build of hwctl has set up the part `{part}` of this host");
    let hint = format!("{NEWER_HINT}; or leave the part as it is with `--skip {part}`");
    Failure::new(Exit::Failed, what).hint(hint)
}

/// The specs of this host as they are written.
fn current(host: &Host) -> Result<Option<Vec<Value>>> {
    if is_stale(host) { Ok(None) } else { written_in(&path(host)) }
}

/// Whether the specs are from before hwctl left the host: versions that know of no specs leave the file.
fn is_stale(host: &Host) -> bool {
    let written = fs::metadata(path(host)).and_then(|metadata| metadata.modified());
    written.is_ok_and(|at| journal::was_kept_after(host, DESTROY, at))
}

fn written_in(path: &Path) -> Result<Option<Vec<Value>>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.with_context(|| format!("read `{}`", path.display()))?,
    };
    parsed::<Format>(path, &bytes)?.require_known(format::SPECS, path)?;
    let Kept { parts, .. } = parsed(path, &bytes)?;
    if parts.iter().any(|part| name_of(part).is_empty()) {
        return Err(damaged(path, anyhow!("a part without a name")));
    }
    Ok(Some(parts))
}

fn parsed<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| damaged(path, error.into()))
}

fn damaged(path: &Path, error: anyhow::Error) -> anyhow::Error {
    let error = Err::<(), _>(error.context(format!("`{}` is damaged", path.display())));
    error.hint("`hwctl provision` writes that file again").unwrap_err()
}

fn name_of(part: &Value) -> &str {
    part["name"].as_str().unwrap_or_default()
}

fn understood(part: &Value) -> Result<PartSpec> {
    PartSpec::deserialize(part)
        .map_err(|error| of_another_build(name_of(part)).why(error.to_string()).into())
}

/// Copies the specs into the folder of a run that begins: a rollback to before it needs them. Damaged ones
/// are of no use to it.
pub(in crate::engine) fn save_before(host: &Host, run: &Path) -> Result<()> {
    match current(host) {
        Ok(Some(parts)) => write(&run.join(NAME), parts),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Keeps the specs of a goal that was reached. After a rollback these are the ones from before the run
/// `back_to`.
pub(in crate::engine) fn keep(host: &Host, goal: &Goal, back_to: Option<&str>) -> Result<()> {
    // One that is damaged is written again.
    let kept = current(host).unwrap_or_default();
    let next = match (goal, back_to) {
        (Goal::Declared { parts, scope, .. }, _) => {
            let parts = parts.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
            let before = || match journal::last_kept(host) {
                // A version that kept no specs may have provisioned all parts.
                Some(run) if run.verb != DESTROY => parts.clone(),
                _ => Vec::new(),
            };
            Some(merged(kept.clone().unwrap_or_else(before), &parts, scope))
        }
        // A run of a version that kept none says nothing of the parts: they stay as they are known.
        (Goal::Before { .. }, Some(run)) => {
            written_in(&journal::folder_of(host, run).join(NAME)).unwrap_or_default()
        }
        (Goal::VersionBefore { part }, Some(run)) => {
            let before = written_in(&journal::folder_of(host, run).join(NAME)).unwrap_or_default();
            let scope = Scope::Only(vec![part.clone()]);
            before.map(|before| merged(kept.clone().unwrap_or_default(), &before, &scope))
        }
        _ => None,
    };
    match next {
        Some(parts) if kept.as_ref() != Some(&parts) => write(&path(host), parts),
        _ => Ok(()),
    }
}

fn write(path: &Path, parts: Vec<Value>) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(&Kept { format: format::SPECS, parts })?;
    write_atomic(path, &bytes, 0o600, None)
}

/// The declared specs that are meant, with the kept ones of all other parts.
fn merged(kept: Vec<Value>, declared: &[Value], scope: &Scope) -> Vec<Value> {
    let is_declared = |name: &str| declared.iter().any(|part| name_of(part) == name);
    let mut merged: Vec<_> = declared
        .iter()
        .filter_map(|part| match scope.has(name_of(part)) {
            true => Some(part.clone()),
            false => kept.iter().find(|kept| name_of(kept) == name_of(part)).cloned(),
        })
        .collect();
    let is_left_out = |part: &Value| !scope.has(name_of(part)) && !is_declared(name_of(part));
    let others = kept.into_iter().filter(is_left_out);
    merged.extend(others);
    merged
}

/// Removes the specs: hwctl leaves the host.
pub(in crate::engine) fn forget(host: &Host) -> Result<()> {
    remove_file(&path(host))
}

fn path(host: &Host) -> PathBuf {
    host.state_dir().join(NAME)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

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
    fn the_first_run_keeps_the_specs_of_its_own_parts_alone() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let parts = [part("web", 1), part("data", 1)];

        keep(&host, &declared(&parts, Scope::Only(vec!["web".to_owned()])), None).unwrap();

        assert_eq!(read(&host).unwrap().unwrap(), [part("web", 1)]);
    }

    fn ended(host: &Host, id: &str, verb: &str) {
        let folder = journal::folder_of(host, id);
        fs::create_dir_all(&folder).unwrap();
        let head = serde_json::json!({
            "id": id, "operator": "o", "from": null, "verb": verb, "version": "0.1.0",
            "began": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:01Z", "outcome": "kept",
            "why": null, "changes": [],
        });
        fs::write(folder.join("run.json"), head.to_string()).unwrap();
    }

    #[test]
    fn specs_that_an_older_version_left_when_it_destroyed_the_host_are_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let parts = [part("web", 1), part("data", 1)];
        keep(&host, &declared(&parts, Scope::All), None).unwrap();
        ended(&host, "20260101-000001", "provision");
        assert_eq!(read(&host).unwrap().unwrap(), parts);

        let written = fs::File::open(path(&host)).unwrap();
        written.set_modified(SystemTime::now() - Duration::from_secs(10)).unwrap();
        ended(&host, "20260101-000002", "destroy");

        assert_eq!(read(&host).unwrap(), None);
        assert_eq!(names(&host).unwrap(), Vec::<String>::new());
        keep(&host, &declared(&parts, Scope::Only(vec!["data".to_owned()])), None).unwrap();
        assert_eq!(read(&host).unwrap().unwrap(), [part("data", 1)]);
    }

    #[test]
    fn a_host_that_a_version_without_specs_has_provisioned_is_taken_for_whole() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        ended(&host, "20260101-000001", "provision");
        let parts = [part("web", 1), part("data", 1)];

        keep(&host, &declared(&parts, Scope::Only(vec!["web".to_owned()])), None).unwrap();

        assert_eq!(read(&host).unwrap().unwrap(), parts);
    }

    /// What a newer version has written: parts with fields, values and drivers that are unknown here.
    #[test]
    fn parts_of_another_build_are_kept_as_they_are_or_refused() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let more = serde_json::json!({ "name": "web", "colour": "blue" });
        let strange = serde_json::json!({ "name": "shop", "probes": [{ "look": "Sonar" }] });
        let driven = serde_json::json!({ "name": "mail", "driver": "mail" });
        let written = serde_json::json!({ "format": 1, "parts": [more, strange, driven] });
        fs::write(path(&host), written.to_string()).unwrap();
        let require = |scope: Scope| {
            let goal = declared(&[part("web", 1)], scope);
            require_known(&host, Some(&goal), |part| part.driver.is_none()).map_err(Failure::from)
        };

        let except = |names: &[&str]| Scope::Except(names.iter().map(|n| (*n).into()).collect());
        let refused = |scope: Scope| require(scope).unwrap_err();
        assert!(refused(Scope::All).what.contains("the part `shop`"));
        assert!(refused(except(&["shop"])).what.contains("the part `mail`"));
        assert!(refused(Scope::All).hint.unwrap().contains("`--skip shop`"));
        assert!(read(&host).unwrap_err().to_string().contains("another build"));
        let others = except(&["shop", "mail"]);
        require(others.clone()).unwrap();

        let run = journal::folder_of(&host, "run");
        fs::create_dir_all(&run).unwrap();
        save_before(&host, &run).unwrap();
        keep(&host, &declared(&[part("web", 1)], others), None).unwrap();
        let web = serde_json::to_value(part("web", 1)).unwrap();
        assert_eq!(current(&host).unwrap().unwrap(), [web, strange.clone(), driven.clone()]);
        keep(&host, &Goal::Before { run: None }, Some("run")).unwrap();
        assert_eq!(current(&host).unwrap().unwrap(), [more, strange, driven]);
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
        assert!(require_known(&host, None, |_| true).is_err());
        let nameless = r#"{"format": 1, "parts": [{"driver": "web"}]}"#;
        for damaged in ["", "{", r#"{"format": 1}"#, r#"{"format": 1, "parts": 5}"#, nameless] {
            let (what, hint) = refused(damaged);
            assert!(what.contains("parts.json` is damaged"), "{damaged}: {what}");
            assert!(hint.contains("`hwctl provision`"), "{damaged}: {hint}");
            assert!(require_known(&host, None, |_| true).is_ok(), "a run may begin, and mends it");
            keep(&host, &declared(&[part("web", 1)], Scope::All), None).unwrap();
            assert_eq!(read(&host).unwrap(), Some(vec![part("web", 1)]));
        }
    }
}
