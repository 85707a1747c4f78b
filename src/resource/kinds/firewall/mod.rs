//! The host's firewall: ufw, with everything closed that is not allowed. ufw's own files are read
//! and written, so that its commands keep working and rules made by others stay.

mod exposure;
mod foreign;
mod guard;
mod kernel;
mod leavings;
mod port;
mod rules;
#[cfg(test)]
mod tests;
mod ufw;

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::hint::Advise;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};

use exposure::Closing;
pub use exposure::{Exposure, Opening, exposure};
pub use kernel::firewall_package;
pub(in crate::resource) use kernel::keep_listing;
pub(in crate::resource) use leavings::{note_policies, remove_leavings};
pub use port::{FirewallPort, Transport};
use rules::{Family, RuleChange, RuleFile};
pub use ufw::reload_firewall;
pub(in crate::resource) use ufw::undo_of_file;
use ufw::{RULES, Ufw};

/// The firewall. Established connections survive its changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// What may be reached.
    pub allow: Vec<FirewallPort>,
    /// Whether rules made by others are removed.
    pub exclusive: bool,
    /// The files it is loaded with: when their content changes, it is loaded anew.
    pub inputs: Vec<Id>,
}

/// What the host has of ufw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirewallState {
    /// It is not installed.
    Absent,
    /// It is installed.
    Installed(Box<Ufw>),
}

impl Kind for Firewall {
    type State = FirewallState;

    const WORD: &'static str = "firewall";

    fn id(&self) -> Id {
        Id::new(Self::WORD, "ufw")
    }

    fn named(_: &str) -> Option<Self> {
        None
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Nowhere,
            target: None,
            written: [Some(Path::new(RULES)), None],
            bytes: 0,
            blob: None,
            inputs: &self.inputs,
            needs: Needs::Firewall,
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::LockOut,
            undo: Undo::Firewall,
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<FirewallState> {
        let ufw = Ufw::read(host).await?;
        let closing = exposure::closing(&self.allow, ufw.as_ref(), host).await?;
        host.cached::<RefCell<Vec<Closing>>>().replace(closing);
        Ok(ufw.map_or(FirewallState::Absent, |ufw| FirewallState::Installed(Box::new(ufw))))
    }

    fn expect(&self, host: &Host) {
        foreign::expect(host);
    }

    async fn require(&self, _: &FirewallState, host: &Host) -> Result<()> {
        foreign::require_none(&self.allow, host).await
    }

    fn diff(&self, state: &FirewallState, host: &Host) -> Result<Option<Change>> {
        let ufw = match state {
            FirewallState::Absent => {
                let change = Change::new(self.id(), Action::Create)
                    .attribute("enabled", None, Some(yes(true)))
                    .attribute("default incoming", None, Some("deny".to_owned()));
                let none = RuleFile::default();
                let change = self.rule_attributes(change, &self.allow, &none, &none);
                return Ok(Some(with_closing(change, host)));
            }
            FirewallState::Installed(ufw) => ufw,
        };
        let change = Change::new(self.id(), Action::Update)
            .attribute("enabled", Some(yes(ufw.is_enabled())), Some(yes(true)))
            .attribute("IPv6", Some(yes(ufw.has_ipv6())), Some(yes(true)))
            .attribute("default incoming", Some(ufw.incoming()), Some("deny".to_owned()));
        let (v4, v6) = (ufw.rules(Family::V4)?, ufw.rules(Family::V6)?);
        let mut change = self.rule_attributes(change, &self.wanted(ufw)?, &v4, &v6);
        let only_loading = change.details.is_empty();
        if ufw.is_enabled() {
            change = change.attribute("loaded", Some(yes(ufw.loaded)), Some(yes(true)));
        }
        if change.details.is_empty() {
            return Ok(self.stale(ufw, host).map(|change| with_closing(change, host)));
        }
        if only_loading {
            change.action = Action::Reload;
        }
        Ok(Some(with_closing(change, host)))
    }

    fn stays(&self, state: &FirewallState) -> Result<Option<String>> {
        let FirewallState::Installed(ufw) = state else { return Ok(None) };
        if self.exclusive {
            return Ok(None);
        }
        let allow = self.wanted(ufw)?;
        let mut names = ufw.rules(Family::V4)?.others(&allow, Family::V4);
        names.extend(ufw.rules(Family::V6)?.others(&allow, Family::V6));
        names.dedup();
        let shown =
            (!names.is_empty()).then(|| format!("rules that others made: {}", names.join(", ")));
        Ok(shown)
    }

    async fn concern(&self, _: &FirewallState, host: &Host) -> Option<String> {
        let beside = exposure::beside(host).await.unwrap_or_default();
        let named: Vec<_> = beside
            .iter()
            .map(|(container, network)| format!("`{container}` (network `{network}`)"))
            .collect();
        (!named.is_empty()).then(|| {
            format!(
                "containers that are on the outer network themselves, where this firewall closes \
                 none of their ports: {}",
                named.join(", ")
            )
        })
    }

    async fn apply(&self, _: &FirewallState, host: &Host) -> Result<()> {
        // A package of this run may have installed it since the plan was made.
        let Some(ufw) = Ufw::read(host).await? else {
            bail!("`ufw` is not installed on the host");
        };
        let allow = self.wanted(&ufw)?;
        let mut changed = Vec::new();
        for family in [Family::V4, Family::V6] {
            let mut file = ufw.rules(family)?;
            let changes = file.bring_to(&allow, self.exclusive, family);
            if !changes.is_empty() || !ufw.has_rules(family) {
                ufw.write_rules(family, &file, host)?;
            }
            changed.extend(changes);
        }
        // The kernel knows no comments, and ufw takes the rules out for a moment when it loads them.
        if is_only_about_comments(&changed)
            && ufw.is_as_declared()
            && self.stale(&ufw, host).is_none()
        {
            return Ok(());
        }
        ufw.write_defaults(host)?;
        ufw.load(host).await?;
        let now = Ufw::read(host).await?.context("`ufw` is gone while it is set up")?;
        if !now.loaded {
            return Err(anyhow::anyhow!("`ufw` is enabled, and its rules are not in the kernel"))
                .hint("`iptables -S` and `ufw status verbose` on the host say what is loaded");
        }
        if let Some(digest) = host.digest_of(&self.inputs) {
            host.keep_between_runs(ufw::LOADED_WITH, digest.as_bytes())?;
        }
        Ok(())
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &FirewallState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &FirewallState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, before: &FirewallState, host: &Host) -> Result<()> {
        match before {
            FirewallState::Absent => self.undo(before, host).await,
            FirewallState::Installed(_) => Ok(()),
        }
    }

    async fn undo(&self, before: &FirewallState, host: &Host) -> Result<()> {
        match (before, Ufw::read(host).await?) {
            (_, None) => Ok(()),
            (FirewallState::Absent, Some(now)) => now.leave(host).await,
            (FirewallState::Installed(before), Some(now)) => before.restore(&now, host).await,
        }
    }

    async fn diff_back(
        &self,
        now: &FirewallState,
        to: &FirewallState,
        host: &Host,
    ) -> Result<Back> {
        let FirewallState::Installed(now) = now else { return Ok(Back::Nothing) };
        let to = match to {
            FirewallState::Installed(to) => to.with_rules_of_others(now, self.exclusive)?,
            FirewallState::Absent => now.left()?,
        };
        let mut change = Change::new(self.id(), Action::Update)
            .attribute("enabled", Some(yes(now.is_enabled())), Some(yes(to.is_enabled())))
            .attribute("IPv6", Some(yes(now.has_ipv6())), Some(yes(to.has_ipv6())))
            .attribute("default incoming", Some(now.incoming()), Some(to.incoming()));
        for (family, suffix) in [(Family::V4, ""), (Family::V6, " (v6)")] {
            for rule in now.rules(family)?.differences(&to.rules(family)?, family) {
                change = with_rule(change, rule, suffix);
            }
        }
        if !change.details.is_empty() || !to.is_enabled() {
            return Ok(change.unless_empty().into());
        }
        let changed = host.first_changed(&self.inputs);
        let reload = |id| Change::new(self.id(), Action::Reload).because(format!("{id} changes"));
        Ok(changed.map(reload).into())
    }

    async fn restore(&self, to: &FirewallState, host: &Host) -> Result<()> {
        match (to, Ufw::read(host).await?) {
            (FirewallState::Installed(to), Some(now)) => {
                to.with_rules_of_others(&now, self.exclusive)?.restore(&now, host).await
            }
            _ => self.undo(to, host).await,
        }
    }
}

impl Firewall {
    /// The ports that need a rule of hwctl's on this host. A port that only has to let a client in needs
    /// none where a rule of others does: the host's owner has decided from where.
    fn wanted(&self, ufw: &Ufw) -> Result<Vec<FirewallPort>> {
        let (v4, v6) = (ufw.rules(Family::V4)?, ufw.rules(Family::V6)?);
        let is_needed = |port: &&FirewallPort| {
            let Some(client) = port.enough_for.filter(|_| !self.exclusive) else { return true };
            let file = if client.is_ipv4() { &v4 } else { &v6 };
            v4.has_own(port, Family::V4)
                || v6.has_own(port, Family::V6)
                || !file.lets_in(client, port, ufw.loaded)
        };
        Ok(self.allow.iter().filter(is_needed).cloned().collect())
    }

    fn rule_attributes(
        &self,
        mut change: Change,
        allow: &[FirewallPort],
        v4: &RuleFile,
        v6: &RuleFile,
    ) -> Change {
        let v4 = v4.clone().bring_to(allow, self.exclusive, Family::V4);
        let mut v6 = v6.clone().bring_to(allow, self.exclusive, Family::V6);
        // What is the same for both families is one thing to a person.
        for rule in v4 {
            let both = v6.iter().position(|other| *other == rule);
            let is_narrow = rule.name.contains(" from ");
            let suffix = if both.is_some() || is_narrow { "" } else { " (v4 only)" };
            if let Some(both) = both {
                v6.remove(both);
            }
            change = with_rule(change, rule, suffix);
        }
        v6.into_iter().fold(change, |change, rule| with_rule(change, rule, " (v6 only)"))
    }

    /// The change that only loads it anew, when it was loaded with other files.
    fn stale(&self, ufw: &Ufw, host: &Host) -> Option<Change> {
        let change = Change::new(self.id(), Action::Reload);
        let wanted = host.digest_of(&self.inputs);
        if wanted.is_none() {
            return Some(change.because("its configuration is not known yet"));
        }
        if wanted == ufw.loaded_with {
            return None;
        }
        let changed = host.first_changed(&self.inputs);
        Some(match changed {
            Some(id) => change.because(format!("`{id}` changes")),
            None => change.because("it was loaded with another configuration"),
        })
    }
}

/// Names the containers and programs that others reach no longer, and the line that keeps them reachable.
fn with_closing(change: Change, host: &Host) -> Change {
    host.cached::<RefCell<Vec<Closing>>>().borrow().iter().fold(change, |change, closing| {
        let port = &closing.port;
        change.attribute(
            &closing.holder,
            Some(format!("reachable on {port}")),
            Some(format!("closed (`{port}` in `firewall.allow` keeps it open)")),
        )
    })
}

fn is_only_about_comments(changes: &[RuleChange]) -> bool {
    !changes.is_empty() && changes.iter().all(|change| change.is_comment)
}

fn with_rule(change: Change, rule: RuleChange, suffix: &str) -> Change {
    change.attribute(&format!("rule {}{suffix}", rule.name), rule.before, rule.after)
}

/// Whether the kernel has all the rules that ufw's files say, and those in Docker's chain.
pub async fn is_firewall_loaded(host: &Host) -> Result<bool> {
    Ok(Box::pin(Ufw::read(host)).await?.is_some_and(|ufw| ufw.loaded))
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
