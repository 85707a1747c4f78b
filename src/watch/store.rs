//! What the host remembers from look to look, in one file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::STATE_FOLDER;
use super::incidents::Incidents;
use super::queue::Queue;
use super::samples::Samples;
use crate::resource::{Host, write_atomic};

/// The number of the format. Fields are added without a new one.
const FORMAT: u32 = 1;
/// A file that is larger is not one of hwctl's.
const MAX_BYTES: u64 = 16 << 20;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// When the host was last looked at.
    pub looked_at: Option<i64>,
    /// The faults.
    pub incidents: Incidents,
    /// The messages that wait.
    pub queue: Queue,
    /// What was noted at earlier looks.
    pub samples: Samples,
    /// Why the last heartbeat failed.
    pub heartbeat_error: Option<String>,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    state: State,
}

/// Reads what is remembered. A file that is missing or damaged is as good as none: faults that last are told again.
#[must_use]
pub fn read_state(host: &Host) -> State {
    let path = path(host);
    let is_sound =
        fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= MAX_BYTES);
    let bytes = is_sound.then(|| fs::read(&path).ok()).flatten();
    let kept = bytes.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    kept.filter(|kept| kept.format == FORMAT).map(|kept| kept.state).unwrap_or_default()
}

/// Writes what is to be remembered, whole or not at all.
pub fn write_state(host: &Host, state: &State) -> Result<()> {
    let path = path(host);
    if !path.parent().is_some_and(Path::is_dir) {
        bail!("`{STATE_FOLDER}` does not exist: this host is no longer watched");
    }
    let bytes = serde_json::to_vec(&Kept { format: FORMAT, state: state.clone() })?;
    write_atomic(&path, &bytes, 0o600, None).with_context(|| format!("write `{}`", path.display()))
}

fn path(host: &Host) -> PathBuf {
    host.path(Path::new(STATE_FOLDER)).join("state.json")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::watch::Message;

    fn host(root: &Path) -> Host {
        Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
    }

    #[test]
    fn what_is_remembered_is_for_root_alone() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        assert_eq!(read_state(&host), State::default());
        assert!(write_state(&host, &State::default()).is_err(), "the part was removed");
        fs::create_dir_all(host.path(Path::new(STATE_FOLDER))).unwrap();

        let mut state = State { looked_at: Some(7), ..State::default() };
        state.queue.push(vec![Message::test("vm1", 7)], &["notify[0]"], 7);
        write_state(&host, &state).unwrap();

        let read = read_state(&host);
        assert_eq!((read.looked_at, &read.queue), (Some(7), &state.queue));
        let mode = fs::metadata(path(&host)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        fs::create_dir_all(host.path(Path::new(STATE_FOLDER))).unwrap();
        for damaged in
            ["", "{", "[]", r#"{"format":1,"state":{"queue":5}}"#, r#"{"format":2,"state":{}}"#]
        {
            fs::write(path(&host), damaged).unwrap();
            assert_eq!(read_state(&host), State::default(), "{damaged}");
        }
    }
}
