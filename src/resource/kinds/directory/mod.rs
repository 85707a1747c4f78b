//! A directory with its mode and owner. What is in it is left alone.

use std::fs::DirEntry;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::accounts::Accounts;
use crate::resource::host::attributes::Attributes;
use crate::resource::host::entry::Entry;
use crate::resource::host::fs::{Owner, mode_and_owner, mode_text, owner_text, type_text};
use crate::resource::host::path_state::in_the_way;
use crate::resource::kinds::firewall::undo_of_file;
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::hint::Advise;
use crate::resource::model::id::Id;
use crate::resource::model::own_folder::not_own;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk};

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Who owns it.
    pub owner: Owner,
    /// The names of sockets that a service makes in it: they go with it.
    #[serde(default)]
    pub sockets: Vec<String>,
    /// Whether all that is in it is hwctl's, such as what a build makes, and goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owns_content: bool,
    /// Whether it is for one part alone: symbolic links must not lead to a folder of the system.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_own: bool,
}

impl Directory {
    /// A directory that may hold anything of others.
    pub fn new(path: impl Into<PathBuf>, mode: u32, owner: Owner) -> Self {
        Self {
            path: path.into(),
            mode,
            owner,
            sockets: Vec::new(),
            owns_content: false,
            is_own: false,
        }
    }

    /// Refuses a folder that symbolic links lead to a place which is not for one part alone.
    fn require_own(&self, host: &Host) -> Result<()> {
        let path = host.path(&self.path);
        let real = path.ancestors().find_map(|above| {
            let real = above.canonicalize().ok()?;
            Some(real.join(path.strip_prefix(above).ok()?))
        });
        let Some(real) = real.filter(|real| *real != path) else { return Ok(()) };
        match not_own(&real) {
            None => Ok(()),
            Some(why) => {
                let (path, real) = (self.path.display(), real.display());
                Err(anyhow!("`{path}` is `{real}` by way of a symbolic link: {why}"))
                    .hint("name a folder of its own, such as `/srv/NAME`")
            }
        }
    }
}

/// What is at the directory's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirectoryState {
    /// Nothing.
    Absent,
    /// A directory, with mode, uid, gid and what else there is of it.
    Directory(u32, u32, u32, #[serde(default)] Attributes),
    /// Anything else, by the name of its type.
    Other(String),
}

impl Kind for Directory {
    type State = DirectoryState;

    const WORD: &'static str = "directory";

    fn id(&self) -> Id {
        Id::new(Self::WORD, self.path.display())
    }

    fn named(_: &str) -> Option<Self> {
        None
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Folder(&self.path),
            target: None,
            written: [Some(&self.path), None],
            bytes: 0,
            blob: None,
            inputs: &[],
            needs: Needs::Place,
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::at(&self.path),
            undo: undo_of_file(&self.path),
            series: None,
            hands_over: false,
        }
    }

    fn accounts(&self) -> Accounts {
        Accounts::of_owner(&self.owner)
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<DirectoryState> {
        let Some(entry) = Entry::find(&host.path(&self.path))? else {
            return Ok(DirectoryState::Absent);
        };
        Ok(match entry.stat()? {
            None => DirectoryState::Absent,
            Some(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                let (mode, uid, gid) = mode_and_owner(&found);
                let attributes = entry.open_directory().and_then(|it| Attributes::of_folder(&it));
                let attributes = attributes
                    .with_context(|| format!("read the attributes of `{}`", self.path.display()))?;
                DirectoryState::Directory(mode, uid, gid, attributes)
            }
            Some(found) => DirectoryState::Other(type_text(&found)),
        })
    }

    fn diff(&self, state: &DirectoryState, host: &Host) -> Result<Option<Change>> {
        if self.is_own {
            self.require_own(host)?;
        }
        let owner = Some(self.owner.text());
        let (action, mode_before, owner_before) = match state {
            DirectoryState::Absent => (Action::Create, None, None),
            DirectoryState::Directory(mode, uid, gid, _) => {
                let owner = self.owner.seen(host, *uid, *gid)?;
                (Action::Update, Some(mode_text(*mode)), Some(owner))
            }
            DirectoryState::Other(_) if host.is_leaving(&self.path) => (Action::Create, None, None),
            DirectoryState::Other(found) => {
                in_the_way(&self.path, found, "directory")?;
                return Ok(None);
            }
        };
        Ok(Change::new(self.id(), action)
            .attribute("mode", mode_before, Some(mode_text(self.mode)))
            .attribute("owner", owner_before, owner)
            .unless_empty())
    }

    async fn apply(&self, _: &DirectoryState, host: &Host) -> Result<()> {
        let owner = self.owner.require(host)?;
        let entry = Entry::make_way(&host.path(&self.path))?;
        entry.directory((self.mode, owner), &Attributes::default(), &host.batch)
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &DirectoryState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &DirectoryState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &DirectoryState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &DirectoryState, host: &Host) -> Result<()> {
        let path = host.path(&self.path);
        match before {
            DirectoryState::Directory(mode, uid, gid, attributes) => {
                let access = (*mode, (*uid, *gid));
                Entry::make_way(&path)?.directory(access, attributes, &host.batch)
            }
            // Only an empty directory: what others put into it is theirs.
            DirectoryState::Absent if self.owns_content => match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("remove `{}`", self.path.display()))
                }
                _ => Ok(()),
            },
            DirectoryState::Absent => {
                for socket in self.sockets.iter().map(|name| path.join(name)) {
                    let entry = Entry::find(&socket)?;
                    entry
                        .filter(Entry::is_socket)
                        .map_or(Ok(()), |entry| entry.remove(&host.batch))?;
                }
                let entry = Entry::find(&path)?;
                entry.map_or(Ok(()), |entry| entry.remove_empty_directory(&host.batch))
            }
            DirectoryState::Other(_) => Ok(()),
        }
    }

    async fn diff_back(
        &self,
        now: &DirectoryState,
        to: &DirectoryState,
        host: &Host,
    ) -> Result<Back> {
        let access = |state: &DirectoryState| match state {
            DirectoryState::Directory(mode, uid, gid, _) => Ok::<_, anyhow::Error>((
                Some(mode_text(*mode)),
                Some(owner_text(host, *uid, *gid)?),
            )),
            _ => Ok((None, None)),
        };
        let is_leaving = matches!(now, DirectoryState::Other(_)) && host.is_leaving(&self.path);
        let now = if is_leaving { &DirectoryState::Absent } else { now };
        let action = match (now, to) {
            // A file that took the place of the directory is not what went.
            (DirectoryState::Other(_), DirectoryState::Absent) => return Ok(Back::Nothing),
            (DirectoryState::Other(found), _) => {
                in_the_way(&self.path, found, "directory")?;
                return Ok(Back::Nothing);
            }
            (_, DirectoryState::Other(_)) => return Ok(Back::Nothing),
            (DirectoryState::Absent, _) => Action::Create,
            (_, DirectoryState::Absent) if self.owns_content => Action::Remove,
            (_, DirectoryState::Absent) => match self.others(host)? {
                Some(name) => return Ok(Back::Kept(format!("`{name}` in it stays"))),
                None => Action::Remove,
            },
            _ => Action::Update,
        };
        if now == to {
            return Ok(Back::Nothing);
        }
        let acls = |state: &DirectoryState| match state {
            DirectoryState::Directory(.., attributes) => {
                (attributes.acl(host), attributes.default_acl(host), attributes.others())
            }
            _ => (None, None, None),
        };
        let ((mode_now, owner_now), (mode_to, owner_to)) = (access(now)?, access(to)?);
        let ((acl_now, default_now, others_now), (acl_to, default_to, others_to)) =
            (acls(now), acls(to));
        Ok(Back::Change(
            Change::new(self.id(), action)
                .attribute("mode", mode_now, mode_to)
                .attribute("owner", owner_now, owner_to)
                .attribute("acl", acl_now, acl_to)
                .attribute("default acl", default_now, default_to)
                .attribute("attributes", others_now, others_to),
        ))
    }
}

impl Directory {
    /// The name of something in it that the plan does not remove.
    fn others(&self, host: &Host) -> Result<Option<String>> {
        let path = host.path(&self.path);
        let entries =
            std::fs::read_dir(&path).with_context(|| format!("read `{}`", path.display()))?;
        let is_own = |entry: &DirEntry| {
            let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
            is_socket && self.sockets.iter().any(|name| entry.file_name() == **name)
        };
        let others = entries.flatten().filter(|entry| !is_own(entry));
        let mut names: Vec<_> = others.map(|entry| entry.file_name()).collect();
        names.sort();
        let other = names.into_iter().find(|name| !host.is_leaving(&self.path.join(name)));
        Ok(other.map(|name| name.to_string_lossy().into_owned()))
    }
}
