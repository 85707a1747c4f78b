//! The SSH keys that let somebody in as a user of the host, in the user's `authorized_keys`. Those of hwctl
//! are in a marked block, and the lines of others stay as they are.

mod account;
mod block;
mod key;
#[cfg(test)]
mod tests;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::attributes::Attributes;
use crate::resource::host::entry::{Entry, NewFile};
use crate::resource::host::fs::mode_text;
use crate::resource::host::path_state::{PathState, in_the_way};
use crate::resource::kinds::directory::DirectoryState;
use crate::resource::kinds::kind::Kind;
use crate::resource::kinds::login::Login;
use crate::resource::kinds::path_back::path_back;
use crate::resource::model::change::{Action, Back, Change, Detail};
use crate::resource::model::hint::Advise as _;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};

use account::Account;
use block::Parted;

pub use key::SshKey;

/// sshd refuses a file that others may write to (`StrictModes` in `sshd_config(5)`).
const MODE: u32 = 0o600;

/// The SSH keys of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKeys {
    /// The name of the user, who has to exist.
    pub login: String,
    /// The keys. One that others have let in already stays where it is.
    pub keys: Vec<SshKey>,
}

/// What the host has of a user's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKeysState {
    /// None where the user does not exist.
    account: Option<Account>,
    /// `.ssh` in the user's home.
    folder: DirectoryState,
    /// `authorized_keys` in it.
    file: PathState,
}

impl SshKeys {
    /// The account that the keys are for, where hwctl makes it.
    fn account_id(&self) -> Id {
        Id::new(Login::WORD, &self.login)
    }

    /// The bytes that the file should have. None where there should be no file.
    fn wanted(&self, state: &SshKeysState) -> Result<Option<Vec<u8>>> {
        self.keys.iter().try_for_each(SshKey::check)?;
        let parted = Parted::of(state.file.bytes().unwrap_or_default())?;
        let lines = parted.lacking(&self.keys).into_iter().map(|key| key.line().as_bytes());
        let bytes = parted.with_block(lines);
        Ok((state.file.bytes().is_some() || !bytes.is_empty()).then_some(bytes))
    }

    /// Refuses a file that root would read or replace in the place of another one.
    fn require_own_file(&self, account: &Account, state: &SshKeysState) -> Result<()> {
        let path = account.keys();
        match &state.file {
            PathState::Link { .. } => in_the_way(&path, "symbolic link", "file"),
            PathState::Other(found) => in_the_way(&path, found, "file"),
            // By a hard link, a user gives another's file a name in a folder of their own.
            PathState::File { uid, attributes, .. }
                if *uid != account.uid && attributes.names().is_some() =>
            {
                let path = path.display();
                Err(anyhow!("`{path}` is another name of a file that is not `{}`'s", self.login))
                    .hint(format!("find out who made `{path}`, then remove it"))
            }
            PathState::Absent | PathState::File { .. } | PathState::Large { .. } => Ok(()),
        }
    }

    /// The file of before, with what others have changed in it since.
    fn back_to(now: &PathState, to: &PathState) -> Result<PathState> {
        let Some(now_bytes) = now.bytes() else { return Ok(to.clone()) };
        let before = match to {
            PathState::Absent => &[][..],
            PathState::File { bytes, .. } => bytes,
            PathState::Link { .. } | PathState::Other(_) | PathState::Large { .. } => {
                return Ok(to.clone());
            }
        };
        let (parted, before) = (Parted::of(now_bytes)?, Parted::of(before)?);
        if parted.others == before.others {
            return Ok(to.clone());
        }
        Ok(now.with_bytes(parted.with_block(before.block.unwrap_or_default())))
    }
}

impl Kind for SshKeys {
    type State = SshKeysState;

    const WORD: &'static str = "ssh-keys";

    fn id(&self) -> Id {
        Id::new(Self::WORD, &self.login)
    }

    fn named(name: &str) -> Option<Self> {
        Some(Self { login: name.to_owned(), keys: Vec::new() })
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Nowhere,
            target: None,
            written: [None, None],
            bytes: 0,
            blob: None,
            inputs: &[],
            // As the account, which a package or hwctl may make.
            needs: Needs::AllPackages,
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::LockOut,
            undo: Undo::Setting,
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<SshKeysState> {
        let Some(account) = Account::of(&self.login, host)? else {
            let (folder, file) = (DirectoryState::Absent, PathState::Absent);
            return Ok(SshKeysState { account: None, folder, file });
        };
        let folder = account.folder().read(host).await?;
        // Behind anything else than a folder, no file is looked for.
        let file = match folder {
            DirectoryState::Directory(..) => {
                PathState::read_whole(&host.path(&account.keys()), host)?
            }
            DirectoryState::Absent | DirectoryState::Other(_) => PathState::Absent,
        };
        Ok(SshKeysState { account: Some(account), folder, file })
    }

    fn depends_on(&self) -> Vec<Id> {
        vec![self.account_id()]
    }

    fn diff(&self, state: &SshKeysState, host: &Host) -> Result<Option<Change>> {
        let Some(account) = &state.account else {
            if host.first_changed(&[self.account_id()]).is_some() {
                let new = Change::new(self.id(), Action::Create);
                let let_in = |change: Change, key: &SshKey| {
                    change.attribute(&key.to_string(), None, Some("let in".to_owned()))
                };
                return Ok(Some(self.keys.iter().fold(new, let_in)));
            }
            return Err(anyhow!("there is no user `{}` on the host", self.login))
                .hint(format!("`adduser {}` on the host makes one", self.login));
        };
        let folder = account.folder();
        let folder_change = folder.diff(&state.folder, host)?;
        self.require_own_file(account, state)?;
        let Some(wanted) = self.wanted(state)? else { return Ok(None) };
        let live = state.file.bytes();
        let action = if live.is_some() { Action::Update } else { Action::Create };
        let mut change = with_folder(Change::new(self.id(), action), folder_change);
        let (before, after) = (Parted::of(live.unwrap_or_default())?, Parted::of(&wanted)?);
        let [before, after] = [before, after].map(|parted| parted.block.unwrap_or_default());
        let lost = before.iter().filter(|line| !after.contains(line));
        for line in lost {
            let line = String::from_utf8_lossy(line);
            let name = SshKey::parse(&line).map_or(line.into_owned(), |key| key.to_string());
            change = change.attribute(&name, Some("let in".to_owned()), None);
        }
        for line in after.iter().filter(|line| !before.contains(line)) {
            let key = self.keys.iter().find(|key| key.line().as_bytes() == *line);
            let name = key.map(SshKey::to_string).unwrap_or_default();
            change = change.attribute(&name, None, Some("let in".to_owned()));
        }
        if live.is_some_and(|live| live != wanted) && before == after {
            // The same keys, in marks or an order that somebody has changed.
            let (before, after) = ("changed by hand".to_owned(), "as declared".to_owned());
            change = change.attribute("block", Some(before), Some(after));
        }
        let access = match &state.file {
            PathState::File { mode, uid, gid, .. } => {
                (Some(mode_text(*mode)), Some(account.owner().seen(host, *uid, *gid)?))
            }
            PathState::Absent
            | PathState::Link { .. }
            | PathState::Other(_)
            | PathState::Large { .. } => (None, None),
        };
        let acl = state.file.attributes().and_then(|attributes| attributes.acl(host));
        Ok(change
            .attribute("mode", access.0, Some(mode_text(MODE)))
            .attribute("owner", access.1, Some(account.owner().text()))
            .attribute("acl", acl, None)
            .unless_empty())
    }

    fn stays(&self, state: &SshKeysState) -> Result<Option<String>> {
        let parted = Parted::of(state.file.bytes().unwrap_or_default())?;
        let lacking = parted.lacking(&self.keys);
        let there = self.keys.iter().filter(|key| !lacking.contains(key));
        let names: Vec<_> = there.map(SshKey::to_string).collect();
        Ok((!names.is_empty())
            .then(|| format!("keys that others have let in already: {}", names.join(", "))))
    }

    async fn apply(&self, _: &SshKeysState, host: &Host) -> Result<()> {
        // The user may have changed it since the plan was made.
        let state = self.read(host).await?;
        let Some(_) = self.diff(&state, host)? else { return Ok(()) };
        let (Some(account), Some(bytes)) = (&state.account, self.wanted(&state)?) else {
            return Ok(());
        };
        if account.folder().diff(&state.folder, host)?.is_some() {
            account.folder().apply(&state.folder, host).await?;
        }
        let path = host.path(&account.keys());
        state.file.keep(&path, host)?;
        let attributes = state.file.attributes().map(Attributes::without_rights);
        let attributes = attributes.unwrap_or_default();
        let owner = Some((account.uid, account.gid));
        let new = NewFile { bytes: &bytes, mode: MODE, owner, attributes: &attributes };
        Entry::require(&path)?.write(&new, &host.batch)
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &SshKeysState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &SshKeysState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &SshKeysState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &SshKeysState, host: &Host) -> Result<()> {
        let now = self.read(host).await?;
        // Without the user there is nothing left of the keys.
        let Some(account) = &now.account else { return Ok(()) };
        self.require_own_file(account, &now)?;
        if let DirectoryState::Other(found) = &now.folder {
            return in_the_way(&account.folder().path, found, "directory");
        }
        let (folder, file) = (account.folder(), Self::back_to(&now.file, &before.file)?);
        let path = host.path(&account.keys());
        if let DirectoryState::Directory(..) = before.folder {
            folder.undo(&before.folder, host).await?;
            return file.restore(&path, host);
        }
        if let DirectoryState::Directory(..) = now.folder {
            file.restore(&path, host)?;
        }
        folder.undo(&before.folder, host).await
    }

    async fn diff_back(&self, now: &SshKeysState, to: &SshKeysState, host: &Host) -> Result<Back> {
        let Some(account) = &now.account else { return Ok(Back::Nothing) };
        self.require_own_file(account, now)?;
        let file = Self::back_to(&now.file, &to.file)?;
        let back = path_back(self.id(), &account.keys(), &now.file, &file, host)?;
        let folder = account.folder().diff_back(&now.folder, &to.folder, host).await?;
        Ok(match (back, folder) {
            (Back::Change(change), Back::Change(folder)) => {
                Back::Change(with_folder(change, Some(folder)))
            }
            (Back::Nothing, Back::Change(folder)) => {
                Back::Change(Change { id: self.id(), ..folder })
            }
            // The folder goes with the file, unless others have put something into it.
            (back, Back::Nothing | Back::Kept(_)) | (back @ Back::Kept(_), Back::Change(_)) => back,
        })
    }
}

/// Adds what changes of the folder to what changes of the file.
fn with_folder(change: Change, folder: Option<Change>) -> Change {
    let details = folder.into_iter().flat_map(|folder| folder.details);
    details.fold(change, |change, detail| match detail {
        Detail::Attribute { name, before, after } => {
            change.attribute(&format!("folder {name}"), before, after)
        }
        Detail::Text { .. } | Detail::Binary { .. } => change,
    })
}
