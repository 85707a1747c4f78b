//! A person's account on the host. hwctl makes it, or takes over one that is there, and never removes it: an account
//! that is no longer wanted is locked, and its home stays.

mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::accounts::Accounts;
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::hint::Advise as _;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};
use table::{GROUPS, USERS, has_group};

/// An account that a person logs in to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Its name.
    pub name: String,
    /// Its shell.
    pub shell: PathBuf,
    /// Groups that it is in besides its own. It stays in those that others have put it in.
    pub groups: BTreeSet<String>,
}

/// What the host has of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginState {
    /// None where there is no such account.
    account: Option<Account>,
    /// Whether the folder was there that would be its home.
    had_home: bool,
    /// Whether there is a group of its name.
    had_group: bool,
}

/// An account that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    uid: u32,
    shell: PathBuf,
    home: PathBuf,
    /// The groups that it is in, besides its own.
    groups: BTreeSet<String>,
    /// Whether it has expired, so that nobody can log in to it.
    is_locked: bool,
    /// The day on which it expires, as `shadow(5)` has it: empty for never. A record of an older hwctl has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// The day of an account that is locked. One that has expired is closed to keys as well, which a locked password is not.
const LONG_AGO: &str = "1";
/// The day of an account that does not expire.
const NEVER: &str = "";

const OPEN: &str = "open";
const LOCKED: &str = "locked";

impl Login {
    fn home(&self) -> PathBuf {
        Path::new("/home").join(&self.name)
    }

    async fn create(&self, state: &LoginState, host: &Host) -> Result<()> {
        let shell = self.shell.display().to_string();
        let group: &[&str] =
            if state.had_group { &["--gid", &self.name] } else { &["--user-group"] };
        let options = ["--create-home", "--shell", &shell];
        host.run("useradd", &[&options[..], group, &[&self.name]].concat()).await?;
        Ok(())
    }

    /// Puts the account into groups, and takes it out of others.
    async fn change_groups(
        &self,
        (join, leave): (&BTreeSet<&String>, &BTreeSet<&String>),
        host: &Host,
    ) -> Result<()> {
        for group in join {
            if !has_group(host, group)? {
                return Err(anyhow!("there is no group `{group}` on the host"))
                    .hint(format!("`groupadd {group}` on the host makes it, or a package does"));
            }
            host.run("usermod", &["--append", "--groups", group, &self.name]).await?;
        }
        for group in leave {
            host.run("gpasswd", &["--delete", &self.name, group]).await?;
        }
        Ok(())
    }

    async fn set_expiry(&self, day: &str, host: &Host) -> Result<()> {
        host.run("usermod", &["--expiredate", day, &self.name]).await.map(drop)
    }

    /// Brings an account that is there to an earlier state of it.
    async fn bring_to(&self, to: &Account, now: &Account, host: &Host) -> Result<()> {
        let join = to.groups.difference(&now.groups).collect();
        let leave = now.groups.difference(&to.groups).collect();
        self.change_groups((&join, &leave), host).await?;
        if now.shell != to.shell {
            let shell = to.shell.display().to_string();
            host.run("usermod", &["--shell", &shell, &self.name]).await?;
        }
        match &to.expires {
            Some(day) if now.expires.as_ref() != Some(day) => self.set_expiry(day, host).await,
            None if now.is_locked != to.is_locked => {
                let day = if to.is_locked { LONG_AGO } else { NEVER };
                self.set_expiry(day, host).await
            }
            _ => Ok(()),
        }
    }

    /// Removes an account that a run has just made, with a home that holds nothing of anybody's.
    async fn remove(&self, before: &LoginState, account: &Account, host: &Host) -> Result<()> {
        let entry = table::group_id(host, &self.name)?;
        host.run("userdel", &[&self.name]).await?;
        if let (true, Some(number), false) = (before.had_group, entry, has_group(host, &self.name)?)
        {
            // userdel takes a group of the user's name along, whoever made it.
            host.run("groupadd", &["--gid", &number, &self.name]).await?;
        }
        if !before.had_home {
            table::remove_unused_home(host, &account.home)?;
        }
        Ok(())
    }

    fn required(&self, found: &Account) -> Result<()> {
        if found.uid == 0 {
            return Err(anyhow!("`{}` is root on this host", self.name))
                .hint("give the person an account of another name");
        }
        Ok(())
    }
}

impl Kind for Login {
    type State = LoginState;

    const WORD: &'static str = "login";

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
            // A package may bring a group.
            needs: Needs::AllPackages,
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::LockOut,
            undo: Undo::Setting,
            series: None,
            hands_over: false,
        }
    }

    fn accounts(&self) -> Accounts {
        Accounts { groups: self.groups.clone(), ..Accounts::default() }
    }

    fn makes_account(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<LoginState> {
        let account = table::account(host, &self.name)?;
        let home = account.as_ref().map_or_else(|| self.home(), |found| found.home.clone());
        let had_home = host.path(&home).symlink_metadata().is_ok();
        Ok(LoginState { account, had_home, had_group: has_group(host, &self.name)? })
    }

    fn diff(&self, state: &LoginState, _: &Host) -> Result<Option<Change>> {
        let shell = Some(self.shell.display().to_string());
        let Some(found) = &state.account else {
            let change = Change::new(self.id(), Action::Create).attribute("shell", None, shell);
            let change = self.groups.iter().fold(change, |change, group| {
                change.attribute(&format!("group {group}"), None, Some("member".to_owned()))
            });
            return Ok(Some(change));
        };
        self.required(found)?;
        let word = |locked| Some(if locked { LOCKED } else { OPEN }.to_owned());
        let change = Change::new(self.id(), Action::Update)
            .attribute("shell", Some(found.shell.display().to_string()), shell)
            .attribute("account", word(found.is_locked), word(false));
        let missing = self.groups.difference(&found.groups);
        let change = missing.fold(change, |change, group| {
            change.attribute(&format!("group {group}"), None, Some("member".to_owned()))
        });
        Ok(change.unless_empty())
    }

    fn stays(&self, state: &LoginState) -> Result<Option<String>> {
        let Some(found) = &state.account else {
            return Ok(state.had_home.then(|| format!("`{}` as it is", self.home().display())));
        };
        let others: Vec<_> = found.groups.difference(&self.groups).map(String::as_str).collect();
        Ok((!others.is_empty()).then(|| format!("its other groups: {}", others.join(", "))))
    }

    async fn apply(&self, _: &LoginState, host: &Host) -> Result<()> {
        let mut state = self.read(host).await?;
        if state.account.is_none() {
            self.create(&state, host).await?;
            host.forget();
            state = self.read(host).await?;
        }
        let Some(now) = &state.account else {
            return Err(anyhow!("`useradd` made no account `{}`", self.name))
                .hint("`journalctl -t useradd` on the host says why");
        };
        let groups = now.groups.union(&self.groups).cloned().collect();
        let expires = if now.is_locked { Some(NEVER.to_owned()) } else { now.expires.clone() };
        let (shell, is_locked) = (self.shell.clone(), false);
        let to = Account { shell, groups, is_locked, expires, ..now.clone() };
        self.bring_to(&to, now, host).await
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &LoginState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &LoginState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &LoginState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &LoginState, host: &Host) -> Result<()> {
        let Some(now) = self.read(host).await?.account else { return Ok(()) };
        match &before.account {
            None => self.remove(before, &now, host).await,
            Some(before) => self.bring_to(before, &now, host).await,
        }
    }

    /// An account that goes is locked, and out of the groups that it was put in.
    async fn restore(&self, to: &LoginState, host: &Host) -> Result<()> {
        let Some(now) = self.read(host).await?.account else { return Ok(()) };
        if let Some(to) = &to.account {
            return self.bring_to(to, &now, host).await;
        }
        let groups = now.groups.difference(&self.groups).cloned().collect();
        let expires = if now.is_locked { now.expires.clone() } else { Some(LONG_AGO.to_owned()) };
        let locked = Account { groups, is_locked: true, expires, ..now.clone() };
        self.bring_to(&locked, &now, host).await?;
        // Nobody may be logged in, or no session be known.
        host.output("loginctl", &["terminate-user", &self.name]).await.map(drop)
    }

    async fn diff_back(&self, now: &LoginState, to: &LoginState, _: &Host) -> Result<Back> {
        let Some(now) = &now.account else { return Ok(Back::Nothing) };
        let word = |locked| Some(if locked { LOCKED } else { OPEN }.to_owned());
        let change = Change::new(self.id(), Action::Update);
        let (shell, groups, is_locked) = match &to.account {
            Some(to) => (&to.shell, to.groups.clone(), to.is_locked),
            None => (&now.shell, now.groups.difference(&self.groups).cloned().collect(), true),
        };
        let member = || Some("member".to_owned());
        let text = |shell: &Path| Some(shell.display().to_string());
        let mut change = change.attribute("shell", text(&now.shell), text(shell)).attribute(
            "account",
            word(now.is_locked),
            word(is_locked),
        );
        for group in groups.difference(&now.groups) {
            change = change.attribute(&format!("group {group}"), None, member());
        }
        for group in now.groups.difference(&groups) {
            change = change.attribute(&format!("group {group}"), member(), None);
        }
        Ok(change.unless_empty().into())
    }
}
