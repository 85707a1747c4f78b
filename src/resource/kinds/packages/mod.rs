//! Packages of the host's own distribution, installed in one apt transaction.

mod apt;
mod consequences;
mod hold;
mod removal;
mod simulation;
mod sources;
mod table;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::kinds::firewall::{note_policies, remove_leavings};
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::hint::Advise as _;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};
use apt::{
    apt, apt_command, install, is_dpkg_locked, lists_are_fresh, require_space,
    sources_have_changed, wait_for_first_boot, wait_for_locks,
};
use consequences::Consequences;
use removal::Removal;
use sources::Heard;
use table::{has_updates, table};

pub use table::installed_version;
pub use updates::{pending_security_updates, security_lists_version};

/// Packages that are installed; which version is the distribution's choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packages {
    /// Their names.
    pub names: Vec<String>,
    /// Packages that do the same work, by the name in whose place they may be: one of them is as good.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alternatives: BTreeMap<String, Vec<String>>,
    /// Packages of the names that are not installed where they are missing, since the part of the stack
    /// that needs them is skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<String>,
}

/// What dpkg says of the wanted packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackagesState {
    /// Installed version of each wanted package; those not installed are missing here.
    installed: BTreeMap<String, String>,
    /// Whether dpkg was interrupted, and has to finish before it can be used.
    interrupted: bool,
    /// Packages of others that dpkg has not finished; nothing of this run needs it to.
    #[serde(default)]
    unfinished: BTreeSet<String>,
    /// The names of all installed packages: what came later may go again.
    all: BTreeSet<String>,
    /// What apt would do besides, where it knows the missing packages already.
    #[serde(default)]
    consequences: Option<Consequences>,
}

impl Kind for Packages {
    type State = PackagesState;

    const WORD: &'static str = "packages";

    fn id(&self) -> Id {
        Id::new(Self::WORD, "apt")
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
            needs: Needs::AllPackages,
            pace: Pace::Install,
            is_data: false,
            risk: Risk::None,
            undo: Undo::Packages,
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<PackagesState> {
        let mut state = self.read_table(host)?;
        let missing = self.missing(&state.installed);
        if !missing.is_empty() && !state.interrupted {
            state.consequences = Consequences::of(&missing, host).await?;
        }
        Ok(state)
    }

    fn diff(&self, state: &PackagesState, host: &Host) -> Result<Option<Change>> {
        let missing = self.missing(&state.installed);
        let action = if state.installed.is_empty() { Action::Create } else { Action::Update };
        let mut change = Change::new(self.id(), action);
        for name in &missing {
            change = change.attribute(name, None, Some("installed".to_owned()));
        }
        if state.interrupted {
            let (before, after) = ("interrupted".to_owned(), "configured".to_owned());
            change = change.attribute("dpkg", Some(before), Some(after));
        }
        if let Some(consequences) = &state.consequences {
            consequences.require_no_removal()?;
            change = consequences.shown(change);
        }
        if !missing.is_empty() {
            require_space(host)?;
            change.not_undone = Some("the packages stay installed".to_owned());
        }
        Ok(change.unless_empty())
    }

    async fn require(&self, state: &PackagesState, host: &Host) -> Result<()> {
        if self.needs_sources(state, host) {
            return Heard::of(host).await?.require_any();
        }
        match &state.consequences {
            Some(consequences) if lists_are_fresh(host) && !sources_have_changed(host) => {
                consequences.require_known()
            }
            _ => Ok(()),
        }
    }

    async fn concern(&self, state: &PackagesState, host: &Host) -> Option<String> {
        if !state.interrupted && !state.unfinished.is_empty() {
            let names = state.unfinished.iter().cloned().collect::<Vec<_>>().join(" ");
            return Some(format!(
                "dpkg has not finished `{names}`: `dpkg --configure {names}` says why"
            ));
        }
        if !self.needs_sources(state, host) {
            return None;
        }
        Heard::of(host).await.ok()?.concern()
    }

    async fn apply(&self, _: &PackagesState, host: &Host) -> Result<()> {
        wait_for_first_boot(host).await?;
        let state = self.settled(host).await?;
        let missing = self.missing(&state.installed);
        if missing.is_empty() {
            return Ok(());
        }
        note_policies(&missing, host).await?;
        install(host, &missing).await
    }

    async fn wait_for_others(&self, host: &Host) -> Result<()> {
        wait_for_first_boot(host).await?;
        wait_for_locks(host).await
    }

    async fn launch(&self, _: &PackagesState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &PackagesState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, host: &Host) -> Result<()> {
        self.names.iter().for_each(|name| hold::release(name, host));
        Ok(())
    }

    async fn release(&self, _: &PackagesState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &PackagesState, host: &Host) -> Result<()> {
        // What was installed stays, as the plan has said (`not_undone`): a next run needs it again.
        let now = self.read_table(host)?;
        let missing = without(&before.installed, &now.installed);
        let missing: Vec<_> = missing.iter().map(String::as_str).collect();
        if !missing.is_empty() {
            install(host, &missing).await?;
        }
        if host.is_held(hold::STARTED_BY_UNDO) {
            // As its package would have; one that runs by now runs on.
            host.output("systemctl", &["start", hold::STARTED_BY_UNDO]).await?;
        }
        Ok(())
    }

    async fn diff_back(
        &self,
        now: &PackagesState,
        to: &PackagesState,
        host: &Host,
    ) -> Result<Back> {
        let installed = || Some("installed".to_owned());
        let missing = without(&to.installed, &now.installed);
        let removal = Removal::of(&without(&now.installed, &to.installed), &to.all, host).await?;
        let action = if missing.is_empty() { Action::Remove } else { Action::Create };
        let mut change = Change::new(self.id(), action);
        change =
            missing.iter().fold(change, |change, name| change.attribute(name, None, installed()));
        change = removal
            .names
            .iter()
            .fold(change, |change, name| change.attribute(name, installed(), None));
        if change.details.is_empty() {
            let why = removal.kept.join("; ");
            return Ok(if why.is_empty() { Back::Nothing } else { Back::Kept(why) });
        }
        if !removal.kept.is_empty() {
            change.because = Some(removal.kept.join("; "));
        }
        change.not_undone = Some("what the packages' own scripts do".to_owned());
        Ok(Back::Change(change))
    }

    /// Configuration files of removed packages stay, as apt does it.
    async fn restore(&self, to: &PackagesState, host: &Host) -> Result<()> {
        self.settled(host).await?;
        self.undo(to, host).await?;
        let now = self.read_table(host)?;
        let removal = Removal::of(&without(&now.installed, &to.installed), &to.all, host).await?;
        if removal.names.is_empty() {
            return Ok(());
        }
        // By itself: a host's policy (policy-rc.d) may keep the packages' scripts from it, and what
        // went on running from removed files would be in everybody's way.
        let stopped = removal.stop_units(host).await?;
        // The programs that can do it go as well.
        remove_leavings(&removal.names, host).await?;
        let names = removal.names.iter().map(String::as_str);
        let removed = apt(host, &std::iter::once("remove").chain(names).collect::<Vec<_>>()).await;
        if removed.is_err() && !stopped.is_empty() {
            // The next run needs them to look at what is left.
            let start = ["start".to_owned()].into_iter().chain(stopped);
            host.output("systemctl", &start.collect::<Vec<_>>()).await?;
        }
        removed
    }
}

impl Packages {
    /// Whether a run will ask apt's sources: packages are missing, and the lists are old.
    fn needs_sources(&self, state: &PackagesState, host: &Host) -> bool {
        !self.missing(&state.installed).is_empty() && !lists_are_fresh(host)
    }

    /// Whether a package is one of those, or may be in the place of one.
    fn is_meant(&self, name: &String) -> bool {
        self.names.contains(name) || self.alternatives.values().any(|all| all.contains(name))
    }

    /// The packages that have to be installed.
    fn missing(&self, installed: &BTreeMap<String, String>) -> Vec<&str> {
        let is_there = |name: &String| {
            let alternatives = self.alternatives.get(name).into_iter().flatten();
            std::iter::once(name).chain(alternatives).any(|name| installed.contains_key(name))
        };
        let is_missing = |name: &&String| !self.spared.contains(name) && !is_there(name);
        self.names.iter().filter(is_missing).map(String::as_str).collect()
    }

    /// What dpkg says, without asking apt what would follow from it.
    fn read_table(&self, host: &Host) -> Result<PackagesState> {
        let table = table(host)?;
        let all = table.installed.keys().cloned().collect();
        let mut installed = table.installed.clone();
        installed.retain(|name, _| self.is_meant(name));
        let missing = self.missing(&installed);
        let unfinished = table.unfinished.clone();
        // One of others that cannot be configured is in the way only of an installation.
        let is_in_the_way =
            !missing.is_empty() || unfinished.iter().any(|name| self.is_meant(name));
        let is_cut_off = has_updates(host)? || !unfinished.is_empty() && is_in_the_way;
        // One that works is not interrupted.
        let interrupted = is_cut_off && !is_dpkg_locked(host);
        Ok(PackagesState { installed, interrupted, unfinished, all, consequences: None })
    }

    /// What there is once nobody else works on packages and dpkg has finished what it was
    /// interrupted in: that may be the apt of a run that was cut off a moment ago.
    async fn settled(&self, host: &Host) -> Result<PackagesState> {
        wait_for_locks(host).await?;
        let state = self.read_table(host)?;
        if !state.interrupted {
            return Ok(state);
        }
        host.progress(None, "finishing what dpkg was interrupted in");
        let output = apt_command(host, "dpkg").args(["--configure", "-a"]).output().await?;
        if !output.status.success() {
            // What it cannot configure may need a package that was not unpacked any more.
            let told = crate::resource::host::last_lines(&output, 5);
            let mended = apt(host, &["install", "--fix-broken", "--no-remove"]).await;
            let names: Vec<_> = state.unfinished.iter().map(String::as_str).collect();
            mended.with_context(|| format!("`dpkg --configure -a` fails: {told}")).hint(
                format!("mend or remove `{}` on the host, then run again", names.join(" ")),
            )?;
        }
        self.read_table(host)
    }
}

/// The names in `these` that are not in `those`.
fn without<T>(these: &BTreeMap<String, T>, those: &BTreeMap<String, T>) -> BTreeSet<String> {
    these.keys().filter(|name| !those.contains_key(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternative_is_as_good() {
        let alternatives = BTreeMap::from([("docker.io".to_owned(), vec!["docker-ce".to_owned()])]);
        let names = vec!["nginx".to_owned(), "docker.io".to_owned()];
        let packages = Packages { names, alternatives, spared: Vec::new() };
        let installed = BTreeMap::from([("docker-ce".to_owned(), "28".to_owned())]);

        assert_eq!(packages.missing(&installed), ["nginx"]);
        assert_eq!(packages.missing(&BTreeMap::new()), ["nginx", "docker.io"]);
    }
}
