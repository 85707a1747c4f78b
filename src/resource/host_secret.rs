//! A secret that the host makes for itself at random and keeps: it never travels.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use anyhow::{Context, Result};
use rand::TryRng as _;
use serde::{Deserialize, Serialize};

use super::content::{hex, host_secret_path, read_host_secret};
use super::file::remove;
use super::fs::write_atomic;
use super::{Action, Change, Host, Id, Kind};

/// A random value, kept as hex text in hwctl's folder on the host, readable by root alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSecret {
    /// What files refer to it by.
    pub name: String,
    /// How many random bytes it has.
    pub bytes: usize,
}

/// Whether the host has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSecretState {
    /// Permission bits of its file, when it has one with something in it.
    mode: Option<u32>,
}

impl Kind for HostSecret {
    type State = HostSecretState;

    fn id(&self) -> Id {
        Id::new("secret", &self.name)
    }

    async fn read(&self, host: &Host) -> Result<HostSecretState> {
        let long_enough =
            read_host_secret(host, &self.name)?.is_some_and(|value| value.len() >= 2 * self.bytes);
        let mode = match long_enough {
            true => Some(
                fs::metadata(host_secret_path(host, &self.name))?.permissions().mode() & 0o7777,
            ),
            false => None,
        };
        Ok(HostSecretState { mode })
    }

    fn diff(&self, state: &HostSecretState, _: &Host) -> Result<Option<Change>> {
        Ok(match state.mode {
            Some(0o600) => None,
            Some(mode) => Some(Change::new(self.id(), Action::Update).attribute(
                "mode",
                Some(format!("{mode:04o}")),
                Some("0600".to_owned()),
            )),
            None => Some(Change::new(self.id(), Action::Create).attribute(
                "value",
                None,
                Some("<made at random on the host>".to_owned()),
            )),
        })
    }

    async fn apply(&self, state: &HostSecretState, host: &Host) -> Result<()> {
        let path = host_secret_path(host, &self.name);
        if state.mode.is_some() {
            return fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .with_context(|| format!("set mode of `{}`", path.display()));
        }
        let folder = path.parent().context("the folder of secrets")?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("make `{}`", folder.display()))?;
        let mut bytes = vec![0; self.bytes];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes).context("read random bytes")?;
        write_atomic(&path, hex(&bytes).as_bytes(), 0o600, None)
    }

    async fn undo(&self, before: &HostSecretState, host: &Host) -> Result<()> {
        let path = host_secret_path(host, &self.name);
        match before.mode {
            None => remove(&path),
            Some(_) => Ok(()),
        }
    }
}
