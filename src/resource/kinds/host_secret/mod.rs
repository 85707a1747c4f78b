//! A secret that the host makes for itself at random and keeps: it never travels.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rand::TryRng as _;
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::fs::write_atomic;
use crate::resource::host::path_state::remove;
use crate::resource::kinds::file::content::{host_secret_path, read_host_secret};
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::digest::{hex, sha256};
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};
use crate::resource::model::secret::Secret;

/// A random value, kept as hex text in hwctl's folder on the host, readable by root alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSecret {
    /// What files refer to it by.
    pub name: String,
    /// How many random bytes it has.
    pub bytes: usize,
    /// Whether this run gives it another value.
    pub renew: bool,
}

/// What the host has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSecretState {
    /// Permission bits of its file, when it has one with something in it.
    mode: Option<u32>,
    /// Its value, for the journal, which root alone reads.
    value: Option<Secret>,
}

impl Kind for HostSecret {
    type State = HostSecretState;

    const WORD: &'static str = "secret";

    fn id(&self) -> Id {
        Id::new(Self::WORD, &self.name)
    }

    fn named(_: &str) -> Option<Self> {
        None
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Nowhere,
            target: None,
            written: [None, None],
            bytes: 0,
            blob: None,
            inputs: &[],
            needs: Needs::Nothing,
            pace: Pace::InTurn,
            is_data: true,
            risk: Risk::None,
            undo: Undo::Stored,
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<HostSecretState> {
        let value = read_host_secret(host, &self.name)?;
        let Some(value) = value.filter(|value| value.len() >= 2 * self.bytes) else {
            return Ok(HostSecretState { mode: None, value: None });
        };
        let found = fs::metadata(host_secret_path(host, &self.name))?;
        let mode = Some(found.permissions().mode() & 0o7777);
        Ok(HostSecretState { mode, value: Some(Secret::new(value)) })
    }

    fn diff(&self, state: &HostSecretState, host: &Host) -> Result<Option<Change>> {
        let made = Some("<made at random on the host>".to_owned());
        Ok(match state.mode {
            Some(_) if self.is_due(host) => {
                let hidden = Some("<hidden>".to_owned());
                Some(Change::new(self.id(), Action::Update).attribute("value", hidden, made))
            }
            Some(0o600) => None,
            Some(mode) => Some(Change::new(self.id(), Action::Update).attribute(
                "mode",
                Some(format!("{mode:04o}")),
                Some("0600".to_owned()),
            )),
            None => Some(Change::new(self.id(), Action::Create).attribute("value", None, made)),
        })
    }

    /// None while the value is still to be made.
    fn digest(&self, state: &HostSecretState, host: &Host) -> Option<String> {
        let value = state.value.as_ref().filter(|_| !self.is_due(host))?;
        Some(sha256(value.expose().as_bytes()))
    }

    fn digest_now(&self, state: &HostSecretState, _: &Host) -> Option<String> {
        state.value.as_ref().map(|value| sha256(value.expose().as_bytes()))
    }

    async fn apply(&self, state: &HostSecretState, host: &Host) -> Result<()> {
        let path = host_secret_path(host, &self.name);
        if state.mode.is_some() && !self.is_due(host) {
            return fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .with_context(|| format!("set mode of `{}`", path.display()));
        }
        let mut bytes = vec![0; self.bytes];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes).context("read random bytes")?;
        write(&path, &hex(&bytes), 0o600)?;
        host.hide(&hex(&bytes));
        host.note_renewed(&self.name);
        Ok(())
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &HostSecretState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &HostSecretState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &HostSecretState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &HostSecretState, host: &Host) -> Result<()> {
        let path = host_secret_path(host, &self.name);
        match (&before.value, before.mode) {
            (Some(value), Some(mode)) => write(&path, value.expose(), mode),
            _ => remove(&path, host),
        }
    }

    async fn diff_back(
        &self,
        now: &HostSecretState,
        to: &HostSecretState,
        _: &Host,
    ) -> Result<Back> {
        let action = match (&now.value, &to.value) {
            (None, Some(_)) => Action::Create,
            (Some(_), None) => Action::Remove,
            _ => Action::Update,
        };
        let mode = |state: &HostSecretState| state.mode.map(|mode| format!("{mode:04o}"));
        let mut change = Change::new(self.id(), action).attribute("mode", mode(now), mode(to));
        if now.value != to.value {
            let shown = |state: &HostSecretState, text: &str| {
                state.value.as_ref().map(|_| format!("<{text}>"))
            };
            change = change.attribute("value", shown(now, "hidden"), shown(to, "the previous one"));
        }
        Ok(change.unless_empty().into())
    }
}

impl HostSecret {
    /// Whether it still has to get another value.
    fn is_due(&self, host: &Host) -> bool {
        self.renew && !host.is_renewed(&self.name)
    }
}

fn write(path: &Path, value: &str, mode: u32) -> Result<()> {
    let folder = path.parent().context("the folder of secrets")?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("make `{}`", folder.display()))?;
    write_atomic(path, value.as_bytes(), mode, None)
}
