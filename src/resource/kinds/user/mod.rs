//! A system user with a group of the same name, who cannot log in.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::fs::number;
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::hint::Advise as _;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};

const NOLOGIN: &str = "/usr/sbin/nologin";

/// A system user that services run as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name and the name of its group.
    pub name: String,
    /// Its home, which is not created.
    pub home: PathBuf,
    /// Whether the home becomes the user's, as systemd does with the state folder of a service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owns_home: bool,
}

/// What the host's user table has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserState {
    /// Home and shell, when the user exists.
    found: Option<(PathBuf, String)>,
    /// Whether a group of the name exists.
    #[serde(default)]
    group: bool,
}

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// Whether a table of users or groups has a name.
fn has_entry(host: &Host, table: &str, name: &str) -> Result<bool> {
    let path = host.path(Path::new(table));
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    Ok(text.lines().any(|line| line.split(':').next() == Some(name)))
}

/// The name of the host's user with this number.
pub(in crate::resource) fn user_of_id(host: &Host, id: &str) -> Option<String> {
    let table = std::fs::read_to_string(host.path(Path::new(USERS))).ok()?;
    let entry = table.lines().find(|line| line.split(':').nth(2) == Some(id))?;
    entry.split(':').next().map(str::to_owned)
}

impl User {
    async fn create(&self, home: &str, shell: &str, host: &Host) -> Result<()> {
        let create = ["--system", "--no-create-home", "--home-dir", home, "--shell", shell];
        let has_group = has_entry(host, GROUPS, &self.name)?;
        let group: &[&str] = if has_group { &["--gid", &self.name] } else { &["--user-group"] };
        host.run("useradd", &[&create[..], group, &[&self.name]].concat()).await?;
        Ok(())
    }

    /// Refuses a home that is another user's: whoever runs as this user would take it over.
    fn require_own_home(&self, host: &Host) -> Result<()> {
        if !self.owns_home {
            return Ok(());
        }
        let Ok(found) = std::fs::symlink_metadata(host.path(&self.home)) else { return Ok(()) };
        let owner = user_of_id(host, &found.uid().to_string());
        // A number without a user is what was left of one that has been removed.
        let Some(owner) = owner.filter(|owner| *owner != self.name && owner != "root") else {
            return Ok(());
        };
        let home = self.home.display();
        Err(anyhow!("`{home}`, which `{}` would get, belongs to `{owner}`", self.name)).hint(
            format!("move `{home}` out of the way, or give it to root if the new user may have it"),
        )
    }

    /// What the user leaves at home goes to root, so that no later user of the same number gets it.
    fn leave_home_to_root(&self, uid: Option<u32>, host: &Host) -> Result<()> {
        let home = host.path(&self.home);
        match std::fs::symlink_metadata(&home) {
            Ok(found) if found.is_dir() && Some(found.uid()) == uid => {
                lchown(&home, Some(0), Some(0))?;
                std::fs::set_permissions(&home, Permissions::from_mode(0o700))?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes the user, and the group unless it was there before.
    async fn remove(&self, had_group: bool, host: &Host) -> Result<()> {
        let number = number(host, USERS, &self.name)?;
        // By itself userdel removes a group of the user's name, whoever made it.
        let id = host.run("getent", &["group", &self.name]).await.ok();
        host.run("userdel", &[&self.name]).await?;
        self.leave_home_to_root(number, host)
            .with_context(|| format!("give `{}` to root", self.home.display()))?;
        if let (true, Some(entry)) = (had_group, id)
            && !has_entry(host, GROUPS, &self.name)?
        {
            let number = entry.split(':').nth(2).unwrap_or_default().to_owned();
            host.run("groupadd", &["--gid", &number, &self.name]).await?;
        }
        Ok(())
    }
}

impl Kind for User {
    type State = UserState;

    const WORD: &'static str = "user";

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
            written: [Some(Path::new(USERS)), Some(Path::new(GROUPS))],
            bytes: 0,
            blob: None,
            inputs: &[],
            needs: Needs::Nothing,
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::None,
            undo: Undo::Setting,
            series: None,
            hands_over: false,
        }
    }

    fn makes_account(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<UserState> {
        let path = host.path(Path::new(USERS));
        let table =
            std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
        let found = table.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            (fields.first() == Some(&self.name.as_str()) && fields.len() >= 7)
                .then(|| (PathBuf::from(fields[5]), fields[6].to_owned()))
        });
        Ok(UserState { found, group: has_entry(host, GROUPS, &self.name)? })
    }

    fn diff(&self, state: &UserState, host: &Host) -> Result<Option<Change>> {
        self.require_own_home(host)?;
        let action = if state.found.is_some() { Action::Update } else { Action::Create };
        let (home, shell) = state.found.clone().unzip();
        let home = home.map(|home| home.display().to_string());
        Ok(Change::new(self.id(), action)
            .attribute("home", home, Some(self.home.display().to_string()))
            .attribute("shell", shell, Some(NOLOGIN.to_owned()))
            .unless_empty())
    }

    fn stays(&self, state: &UserState) -> Result<Option<String>> {
        let is_old = state.found.is_none() && state.group;
        Ok(is_old.then(|| format!("the group `{}`, which the user gets", self.name)))
    }

    async fn apply(&self, state: &UserState, host: &Host) -> Result<()> {
        let home = self.home.display().to_string();
        if state.found.is_some() {
            let settings = ["--home", &home, "--shell", NOLOGIN, &self.name];
            host.run("usermod", &settings).await?;
            return Ok(());
        }
        self.create(&home, NOLOGIN, host).await
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &UserState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &UserState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &UserState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &UserState, host: &Host) -> Result<()> {
        match &before.found {
            None if self.read(host).await?.found.is_some() => {
                self.remove(before.group, host).await?;
            }
            None => {}
            Some((home, shell)) => {
                let home = home.display().to_string();
                match self.read(host).await?.found {
                    Some(_) => {
                        let settings = ["--home", &home, "--shell", shell, &self.name];
                        host.run("usermod", &settings).await?;
                    }
                    None => self.create(&home, shell, host).await?,
                }
            }
        }
        Ok(())
    }

    async fn diff_back(&self, now: &UserState, to: &UserState, _: &Host) -> Result<Back> {
        let action = match (&now.found, &to.found) {
            (None, _) => Action::Create,
            (_, None) => Action::Remove,
            _ => Action::Update,
        };
        let home = |state: &UserState| state.found.as_ref().map(|(h, _)| h.display().to_string());
        let shell = |state: &UserState| state.found.as_ref().map(|(_, shell)| shell.clone());
        let change = Change::new(self.id(), action)
            .attribute("home", home(now), home(to))
            .attribute("shell", shell(now), shell(to));
        Ok(change.unless_empty().into())
    }
}
