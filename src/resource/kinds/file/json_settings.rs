//! Settings in a JSON file that belongs to somebody else, such as Docker's `daemon.json`: those that
//! are missing are added, and nothing that is there changes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::resource::host::Host;
use crate::resource::host::path_state::PathState;
use crate::resource::model::hint::Advise;

/// Settings for a JSON file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonSettings {
    /// The settings as a JSON object. In text, since the protocol's encoding knows no such type.
    pub settings: String,
    /// Where one of these paths exists, nothing is added.
    pub unless_exists: Vec<PathBuf>,
}

impl JsonSettings {
    /// The whole file with the settings in it.
    pub(in crate::resource) fn merged(&self, live: Option<&[u8]>, host: &Host) -> Result<Vec<u8>> {
        let mut whole = object(live.unwrap_or_default())?;
        if self.unless_exists.iter().any(|path| host.path(path).exists()) {
            return Ok(live.unwrap_or(b"{}\n").to_vec());
        }
        let before = whole.len();
        for (name, value) in object(self.settings.as_bytes())? {
            whole.entry(name).or_insert(value);
        }
        match live {
            // Nobody's layout is changed for nothing.
            Some(live) if whole.len() == before && before > 0 => Ok(live.to_vec()),
            _ => text(&whole),
        }
    }

    /// The file as it would be had the settings never been added: `to` is how it was before, and what
    /// others changed since then stays.
    pub(in crate::resource) fn given_back(
        &self,
        now: &PathState,
        to: &PathState,
    ) -> Result<PathState> {
        let (Some(bytes), Some(before)) = (now.bytes(), bytes_of(to)) else {
            return Ok(to.clone());
        };
        let (mut whole, before) = (object(bytes)?, object(before)?);
        for (name, value) in object(self.settings.as_bytes())? {
            if !before.contains_key(&name) && whole.get(&name) == Some(&value) {
                whole.shift_remove(&name);
            }
        }
        if whole == before {
            return Ok(to.clone());
        }
        Ok(now.with_bytes(text(&whole)?))
    }
}

fn bytes_of(state: &PathState) -> Option<&[u8]> {
    match state {
        PathState::Absent => Some(b""),
        state => state.bytes(),
    }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(bytes).context("it is no JSON object")
}

fn text(whole: &Map<String, Value>) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(whole)?;
    text.push(b'\n');
    Ok(text)
}

/// Where a link leads, others' settings may be: it is not replaced.
pub(in crate::resource) fn refuse_link(path: &Path, target: &Path) -> Result<()> {
    Err(anyhow!("`{}` is a link to `{}`", path.display(), target.display()))
        .hint("put the file itself in the place of the link")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> JsonSettings {
        JsonSettings {
            settings: r#"{"live-restore": true}"#.to_owned(),
            unless_exists: vec!["/swarm".into()],
        }
    }

    fn host(root: &Path) -> Host {
        Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
    }

    fn file(text: &str) -> PathState {
        let attributes = Box::default();
        PathState::File { mode: 0o600, uid: 0, gid: 0, bytes: text.into(), attributes }
    }

    #[test]
    fn settings_are_added_and_nothing_else_changes() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let merged = |live: Option<&str>| {
            let bytes = settings().merged(live.map(str::as_bytes), &host).unwrap();
            String::from_utf8(bytes).unwrap()
        };

        assert_eq!(merged(None), "{\n  \"live-restore\": true\n}\n");
        assert_eq!(
            merged(Some(r#"{"data-root": "/data", "bip": "10.9.0.1/24"}"#)),
            "{\n  \"data-root\": \"/data\",\n  \"bip\": \"10.9.0.1/24\",\n  \"live-restore\": true\n}\n"
        );
        for stays in ["{\"live-restore\":false}", "{ \"live-restore\" : true }"] {
            assert_eq!(merged(Some(stays)), stays);
        }
        assert!(settings().merged(Some(b"{,}"), &host).is_err());
        std::fs::write(root.path().join("swarm"), "").unwrap();
        assert_eq!(merged(Some("{\"bip\":1}")), "{\"bip\":1}");
    }

    #[test]
    fn what_others_changed_since_stays_when_it_is_given_back() {
        let back = |now: &str, to: &PathState| settings().given_back(&file(now), to).unwrap();
        let before = file(r#"{"bip":"a"}"#);

        assert_eq!(back("{\"bip\":\"a\",\"live-restore\":true}", &before), before);
        assert_eq!(back("{\"live-restore\":true}", &PathState::Absent), PathState::Absent);
        let other = back("{\"dns\":[],\"live-restore\":true}", &PathState::Absent);
        assert_eq!(other, file("{\n  \"dns\": []\n}\n"));
        let own = back("{\"bip\":\"b\",\"live-restore\":false}", &before);
        assert_eq!(own, file("{\n  \"bip\": \"b\",\n  \"live-restore\": false\n}\n"));
    }

    proptest::proptest! {
        #[test]
        fn damaged_settings_are_kept_or_refused(bytes in crate::damaged::bytes(&[br#"{"data-root":"/srv","log-driver":"journald","hosts":["fd://"]}"#])) {
            let root = tempfile::tempdir().unwrap();
            let Ok(merged) = settings().merged(Some(&bytes), &host(root.path())) else { return Ok(()) };
            let (before, after) = (object(&bytes).unwrap(), object(&merged).unwrap());
            assert!(before.iter().all(|(name, value)| after.get(name) == Some(value)));
        }
    }
}
