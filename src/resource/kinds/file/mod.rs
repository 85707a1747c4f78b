//! A regular file with its content, mode and owner; and in `absent`, a path where nothing should be.

mod absent;
pub(in crate::resource) mod content;
pub(in crate::resource) mod json_settings;
mod large;
mod validation;

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::accounts::Accounts;
use crate::resource::host::attributes::Attributes;
use crate::resource::host::entry::{Entry, NewFile};
use crate::resource::host::fs::{Owner, mode_text};
use crate::resource::host::path_state::{PathState, in_the_way};
use crate::resource::kinds::file::content::{Content, Part, mask_live};
use crate::resource::kinds::file::json_settings::refuse_link;
use crate::resource::kinds::firewall::undo_of_file;
use crate::resource::kinds::host_secret::HostSecret;
use crate::resource::kinds::kind::Kind;
use crate::resource::kinds::path_back::path_back;
use crate::resource::model::change::{Action, Back, Change, Detail};
use crate::resource::model::digest::sha256;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk};

pub use absent::Absent;

/// A longer live file is not shown: whoever may write it could make the plan too long to be sent.
const MAX_SHOWN: usize = 256 << 10;

/// Where the files of units are.
const UNITS: &str = "/etc/systemd/system";

/// A regular file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// What it holds.
    pub content: Content,
    /// Permission bits.
    pub mode: u32,
    /// Who owns it.
    pub owner: Owner,
    /// A command that has to accept a new file before it takes its place, program first; `%s` in it stands for
    /// the path of the new file. None where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validate: Vec<String>,
}

impl File {
    /// A file that no command checks.
    pub fn new(path: impl Into<PathBuf>, content: Content, mode: u32, owner: Owner) -> Self {
        Self { path: path.into(), content, mode, owner, validate: Vec::new() }
    }

    /// A file of plain text, owned by root, mode 0644.
    pub fn text(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self::new(path, Content::text(text), 0o644, Owner::root())
    }

    /// The mode and owner that it should have: a file of somebody else keeps its own.
    fn access(&self, state: &PathState, host: &Host) -> Result<(u32, Option<(u32, u32)>)> {
        match (&self.content, state) {
            (Content::Json(_), PathState::File { mode, uid, gid, .. }) => {
                Ok((*mode, Some((*uid, *gid))))
            }
            _ => Ok((self.mode, self.owner.resolve(host)?)),
        }
    }

    fn state(&self, host: &Host) -> Result<PathState> {
        let path = host.path(&self.path);
        match &self.content {
            Content::Block { .. } | Content::Json(_) => PathState::read_whole(&path, host),
            Content::Parts(_) | Content::Blob(_) => PathState::read(&path, host),
        }
    }

    /// Whether it is a file of somebody else that hwctl adds settings to.
    fn is_of_others(&self) -> bool {
        matches!(self.content, Content::Json(_))
    }

    /// The path without the version, for one of several versions of a program.
    fn series(&self) -> Option<&str> {
        let Content::Blob(blob) = &self.content else { return None };
        let (stem, version) = self.path.to_str()?.rsplit_once('-')?;
        (version.len() >= 8 && blob.key.starts_with(version)).then_some(stem)
    }

    /// What the path should be brought back to.
    fn back_to(&self, now: &PathState, to: &PathState) -> Result<PathState> {
        match &self.content {
            Content::Json(json) => json.given_back(now, to),
            _ => Ok(to.clone()),
        }
    }

    fn details(&self, state: &PathState, host: &Host) -> Result<Vec<Detail>> {
        let live = state.bytes();
        if let Content::Blob(blob) = &self.content
            && state.digest().is_some_and(|digest| digest == blob.key)
        {
            return Ok(Vec::new());
        }
        let rendered = self.content.render(live, host, false)?;
        if live.is_some() && rendered.bytes.as_deref() == live {
            return Ok(Vec::new());
        }
        let is_long = state.size().is_some_and(|size| size > MAX_SHOWN as u64);
        let Some(after) = rendered.shown.filter(|_| !is_long) else {
            let after = match &self.content {
                Content::Blob(blob) => blob.size,
                _ => rendered.bytes.map_or(0, |bytes| bytes.len() as u64),
            };
            return Ok(vec![Detail::Binary { before: state.size(), after: Some(after) }]);
        };
        let before = String::from_utf8_lossy(live.unwrap_or_default());
        let before = match self.content.is_secret() {
            true => mask_live(&before, &rendered.known, &after),
            false => before.into_owned(),
        };
        Ok(vec![Detail::Text { before, after }])
    }
}

impl Kind for File {
    type State = PathState;

    const WORD: &'static str = "file";

    fn id(&self) -> Id {
        Id::new(Self::WORD, self.path.display())
    }

    fn named(name: &str) -> Option<Self> {
        Some(Self::text(name, ""))
    }

    fn profile(&self) -> Profile<'_> {
        let blob = match &self.content {
            Content::Blob(blob) => Some(blob),
            Content::Parts(_) | Content::Block { .. } | Content::Json(_) => None,
        };
        Profile {
            place: Place::Leaf(&self.path),
            target: None,
            written: [Some(&self.path), None],
            bytes: self.content.size(),
            blob,
            inputs: &[],
            // Packages bring the program that has to accept the file.
            needs: if self.validate.is_empty() { Needs::Place } else { Needs::AllPackages },
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::at(&self.path),
            undo: undo_of_file(&self.path),
            series: self.series(),
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        let content = match &self.content {
            Content::Blob(_) => self.content.clone(),
            // They may hold passwords.
            Content::Parts(_) | Content::Block { .. } | Content::Json(_) => {
                Content::Parts(Vec::new())
            }
        };
        Self { content, ..self.clone() }
    }

    fn depends_on(&self) -> Vec<Id> {
        let secrets = self.content.host_secrets();
        secrets.map(|name| Id::new(HostSecret::WORD, name)).collect()
    }

    fn accounts(&self) -> Accounts {
        let accounts = Accounts::of_owner(&self.owner);
        match &self.content {
            Content::Parts(parts) if self.path.starts_with(UNITS) => {
                let texts = parts.iter().filter_map(|part| match part {
                    Part::Text(text) => Some(text.as_str()),
                    Part::HostSecret(_) | Part::Secret { .. } | Part::Hash { .. } => None,
                });
                accounts.and_of_unit(&texts.collect::<String>())
            }
            _ => accounts,
        }
    }

    async fn require(&self, state: &PathState, host: &Host) -> Result<()> {
        self.require_checkable()?;
        self.require_accepted_beforehand(state, host).await
    }

    async fn read(&self, host: &Host) -> Result<PathState> {
        let state = self.state(host)?;
        if let Some(live) = state.bytes() {
            self.content.look_for_hashes(live, host).await?;
        }
        Ok(state)
    }

    /// A blob may be large, and its bytes are of use only where they change.
    fn as_declared(&self, host: &Host) -> Result<Option<String>> {
        let Content::Blob(blob) = &self.content else { return Ok(None) };
        let Some(entry) = Entry::find(&host.path(&self.path))? else { return Ok(None) };
        let Ok((file, found)) = entry.open() else { return Ok(None) };
        let owner = self.owner.resolve(host)?;
        let is_same = found.len() == blob.size
            && found.mode() & 0o7777 == self.mode
            && owner == Some((found.uid(), found.gid()))
            && Attributes::of_folder(&file).is_ok_and(|found| !found.has_rights())
            && host.file_digest(&file, &found).is_ok_and(|digest| digest == blob.key);
        Ok(is_same.then(|| blob.key.clone()))
    }

    fn diff(&self, state: &PathState, host: &Host) -> Result<Option<Change>> {
        let state = state.unless_leaving(&self.path, host);
        let action = match state {
            PathState::Absent => Action::Create,
            PathState::File { .. } | PathState::Large { .. } | PathState::Link { .. } => {
                Action::Update
            }
            PathState::Other(found) => {
                in_the_way(&self.path, found, "file")?;
                return Ok(None);
            }
        };
        let mut change = Change::new(self.id(), action);
        if let PathState::Link { target, .. } = state {
            if self.is_of_others() {
                refuse_link(&self.path, target)?;
            }
            let before = Some(format!("symbolic link to {}", target.display()));
            change = change.attribute("type", before, Some("file".to_owned()));
        }
        let (mode, access) = self.access(state, host)?;
        let owner = match access {
            Some((uid, gid)) if self.is_of_others() => Some(self.owner.seen(host, uid, gid)?),
            _ => Some(self.owner.text()),
        };
        let (mode_before, owner_before) = match state.access() {
            Some((mode, uid, gid)) => {
                (Some(mode_text(mode)), Some(self.owner.seen(host, uid, gid)?))
            }
            None => (None, None),
        };
        // Settings in a file of somebody else leave the rights to it as they are.
        if let (Some(attributes), false) = (state.attributes(), self.is_of_others()) {
            change = change.attribute("acl", attributes.acl(host), None).attribute(
                "capabilities",
                attributes.capabilities(),
                None,
            );
        }
        change = change.attribute("mode", mode_before, Some(mode_text(mode))).attribute(
            "owner",
            owner_before,
            owner,
        );
        change.details.extend(self.details(state, host)?);
        Ok(change.unless_empty())
    }

    fn stays(&self, state: &PathState) -> Result<Option<String>> {
        Ok(state.other_names())
    }

    fn digest(&self, state: &PathState, host: &Host) -> Option<String> {
        if let Content::Blob(blob) = &self.content {
            return Some(blob.key.clone());
        }
        self.content.render(state.bytes(), host, false).ok()?.bytes.as_deref().map(sha256)
    }

    fn digest_now(&self, state: &PathState, _: &Host) -> Option<String> {
        state.digest()
    }

    fn changed_at(&self, host: &Host) -> Option<SystemTime> {
        crate::resource::host::fs::changed(&host.path(&self.path))
    }

    async fn apply(&self, state: &PathState, host: &Host) -> Result<()> {
        let (mode, access) = self.access(state, host)?;
        let owner = match access {
            Some(owner) => owner,
            None => self.owner.require(host)?,
        };
        if let Some(blob) = self.large_blob() {
            return self.put_large(blob, state, (mode, owner), host);
        }
        let rendered = self.content.render(state.bytes(), host, true)?;
        let Some(bytes) = rendered.bytes else {
            bail!("`{}` needs a secret that the host has not made", self.path.display());
        };
        self.require_accepted(&bytes, host).await?;
        let path = host.path(&self.path);
        state.keep(&path, host)?;
        let attributes = match state.attributes() {
            Some(attributes) if self.is_of_others() => attributes.of_new_content(),
            Some(attributes) => attributes.without_rights(),
            None => Attributes::default(),
        };
        let new = NewFile { bytes: &bytes, mode, owner: Some(owner), attributes: &attributes };
        Entry::require(&path)?.write(&new, &host.batch)
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &PathState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &PathState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &PathState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &PathState, host: &Host) -> Result<()> {
        let path = host.path(&self.path);
        let now = self.state(host)?;
        if self.path.starts_with(UNITS) {
            // With its time of before, a file is older than what systemd may have read meanwhile.
            host.owe_reload(true);
        }
        self.back_to(&now, before)?.restore(&path, host)
    }

    async fn diff_back(&self, now: &PathState, to: &PathState, host: &Host) -> Result<Back> {
        path_back(self.id(), &self.path, now, &self.back_to(now, to)?, host)
    }
}
