//! A systemd unit: enabled, running, and started with the configuration that is on disk.

mod own_name;
mod ports;
mod readiness;
mod reload;
mod socket;
mod state;
mod systemctl;
mod trial;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::resource::host::docker;
use crate::resource::host::systemd::{reload_systemd, reload_systemd_if_stale};
use crate::resource::host::units::{block, field};
use crate::resource::host::{Host, StartRecord};
use crate::resource::kinds::health::Health;
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};
use state::StartedWith;

pub use state::UnitState;
pub use trial::FOLDER as TRIAL_FOLDER;

/// How a running unit takes up a changed configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnChange {
    /// Stop and start.
    Restart,
    /// Read it anew while serving.
    Reload,
}

/// A systemd unit that is enabled and running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its name with suffix, such as `nginx.service`.
    pub name: String,
    /// Whether it starts at boot.
    pub enabled: bool,
    /// Whether it runs.
    pub active: bool,
    /// The resources that it reads when it starts.
    pub inputs: Vec<Id>,
    /// How it takes up a change of its inputs.
    pub on_change: OnChange,
    /// TCP ports that it listens on.
    pub ports: Vec<u16>,
    /// The settings (`NAME=value`) with which a second one can run beside the first. When given, a
    /// changed configuration is tried so before the one that serves is stopped.
    #[serde(default)]
    pub beside: Vec<String>,
    /// What it answers once it is ready. When given, a start that is not followed by such an answer has failed, and
    /// a stop waits for the requests that a web server has in hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Whether another unit takes over its work before it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hands_over: bool,
    /// Whether the unit is the operator's own: its name must not be that of a package's unit, whose file would be hidden.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_own: bool,
}

impl Unit {
    /// A unit that starts at boot and runs, and is as soon ready as systemd says so.
    pub fn new(name: impl Into<String>, inputs: Vec<Id>, on_change: OnChange) -> Self {
        Self {
            name: name.into(),
            enabled: true,
            active: true,
            inputs,
            on_change,
            ports: Vec::new(),
            beside: Vec::new(),
            health: None,
            hands_over: false,
            is_own: false,
        }
    }

    fn read_start(&self, host: &Host) -> Option<StartedWith> {
        serde_json::from_slice(&std::fs::read(host.kept_path(&self.name)).ok()?).ok()
    }

    async fn note_start(&self, host: &Host) -> Result<()> {
        let Some(digest) = host.digest_of(&self.inputs) else { return Ok(()) };
        let started = StartedWith { digest, start: self.read_anew(host).await?.start };
        host.keep_between_runs(&self.name, &serde_json::to_vec(&started)?)
    }

    /// The property that says when the unit last read its configuration. A reload changes the state of
    /// a service. A socket or timer changes its state whenever its service starts.
    fn start_time(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "socket" | "timer")) => "ActiveEnterTimestampMonotonic",
            _ => "StateChangeTimestampMonotonic",
        }
    }

    /// Its name, and that of the service behind a socket or a timer.
    fn with_service(&self) -> Vec<String> {
        let behind = match self.name.rsplit_once('.') {
            Some((name, "socket" | "timer")) => Some(format!("{name}.service")),
            _ => None,
        };
        std::iter::once(self.name.clone()).chain(behind).collect()
    }

    async fn read_anew(&self, host: &Host) -> Result<UnitState> {
        host.forget();
        self.read(host).await
    }
}

impl Kind for Unit {
    type State = UnitState;

    const WORD: &'static str = "unit";

    fn id(&self) -> Id {
        Id::new(Self::WORD, &self.name)
    }

    fn named(_: &str) -> Option<Self> {
        None
    }

    fn profile(&self) -> Profile<'_> {
        let risk = match self.name.split('.').next() {
            Some("ssh" | "sshd" | "ufw") => Risk::LockOut,
            _ => Risk::None,
        };
        let undo = if self.name == docker::UNIT { Undo::ContainerRuntime } else { Undo::Unit };
        Profile {
            place: Place::Nowhere,
            target: None,
            written: [None, None],
            bytes: 0,
            blob: None,
            inputs: &self.inputs,
            needs: Needs::Unit(&self.name),
            pace: if self.hands_over { Pace::AfterOthers } else { Pace::InTurn },
            is_data: false,
            risk,
            undo,
            series: None,
            hands_over: self.hands_over,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    fn expect(&self, host: &Host) {
        host.expect_unit(&self.name);
        if !self.enabled && !self.active {
            host.want_off(&self.name);
        }
    }

    async fn read(&self, host: &Host) -> Result<UnitState> {
        let block = block(host, &self.name).await?;
        let field = |name: &str| field(&block, name).to_owned();
        Ok(UnitState {
            loaded: matches!(field("LoadState").as_str(), "loaded" | "masked"),
            active: field("ActiveState"),
            enabled: field("UnitFileState"),
            start: (field("InvocationID"), field(self.start_time()).parse().unwrap_or_default()),
            started_with: self.read_start(host),
            held: host.is_held(&self.name),
        })
    }

    fn diff(&self, state: &UnitState, host: &Host) -> Result<Option<Change>> {
        self.require_own_name(host)?;
        let word = |yes: bool, word: &str, other: &str| {
            Some(if yes { word.to_owned() } else { other.to_owned() })
        };
        let enabled_before = state.loaded.then(|| state.enabled.clone());
        let (enabled_after, enabled_same) = match self.enabled {
            true => ("enabled", state.is_enabled()),
            false => ("disabled", !state.is_enabled()),
        };
        let enabled_before =
            if enabled_same { Some(enabled_after.to_owned()) } else { enabled_before };
        let active_before = match state.is_active() == self.active {
            true => word(self.active, "active", "inactive"),
            false => state.loaded.then(|| state.active.clone()),
        };
        let change = Change::new(self.id(), Action::Update)
            .attribute("at boot", enabled_before, Some(enabled_after.to_owned()))
            .attribute("state", active_before, word(self.active, "active", "inactive"));
        if self.active && !state.is_active() {
            self.require_ports()?;
            return Ok(Some(Change { action: Action::Start, ..change }));
        }
        let stale = if self.active { state.stale(self, host) } else { None };
        let Some(because) = stale else { return Ok(change.unless_empty()) };
        let (action, verb) = match self.on_change {
            OnChange::Restart => (Action::Restart, "restarted"),
            OnChange::Reload => (Action::Reload, "reloaded"),
        };
        let change =
            change.attribute("configuration", Some("of before".to_owned()), Some(verb.to_owned()));
        Ok(Some(Change { action, ..change }.because(because)))
    }

    fn start_record(&self, state: &UnitState, host: &Host) -> Option<StartRecord> {
        let started = state.started_by_others(self, host)?;
        let bytes = serde_json::to_vec(&started).ok()?;
        Some(StartRecord { name: self.name.clone(), bytes })
    }

    async fn apply(&self, state: &UnitState, host: &Host) -> Result<()> {
        // A package may have come with this run.
        self.require_own_name(host)?;
        let mut state = state.clone();
        if state.enabled.starts_with("masked") {
            self.systemctl(host, "unmask").await?;
        }
        if !state.loaded {
            reload_systemd(host).await?;
            state = self.read_anew(host).await?;
            if !state.loaded {
                // systemd says why.
                let verb = if self.active { "start" } else { "stop" };
                return self.systemctl(host, verb).await;
            }
        }
        let comes = self.enabled && !state.is_enabled();
        if comes {
            self.enable_on_disk(host).await?;
        }
        if reload_systemd_if_stale(host, &self.with_service()).await? || comes {
            state = self.read_anew(host).await?;
        }
        if self.enabled && !state.is_enabled() {
            // systemd keeps what it has read of a unit that another one refers to.
            reload_systemd(host).await?;
            state = self.read_anew(host).await?;
        }
        if self.enabled && !state.is_enabled() {
            // The file that it had before said nothing of the boot.
            self.systemctl(host, "enable").await?;
            state = self.read_anew(host).await?;
        }
        if !self.enabled && state.is_enabled() {
            self.systemctl(host, "disable").await?;
        }
        match (self.active, state.is_active()) {
            (false, true) => self.systemctl(host, "stop").await?,
            (true, false) => {
                self.make_way(host).await?;
                // A unit that failed too often is refused until its count is cleared.
                host.output("systemctl", &["reset-failed", &self.name]).await?;
                self.systemctl(host, "start").await?;
                self.require_health(host).await?;
            }
            (true, true) if state.stale(self, host).is_some() => match self.on_change {
                OnChange::Restart => {
                    trial::run(self, host).await?;
                    self.restart(host).await?;
                    self.require_health(host).await?;
                }
                OnChange::Reload => self.reload(host).await?,
            },
            _ => return Ok(()),
        }
        self.note_start(host).await
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &UnitState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &UnitState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, host: &Host) -> Result<()> {
        trial::sweep(self, host).await
    }

    async fn release(&self, before: &UnitState, host: &Host) -> Result<()> {
        let now = self.read(host).await?;
        if now.is_active() && !before.was_active() {
            self.drain(host).await;
            self.systemctl(host, "stop").await?;
            host.keep_no_longer(&self.name)?;
        }
        // systemd may not have read yet that it was enabled.
        if now.loaded && self.enabled && !before.is_enabled() {
            self.systemctl(host, "disable").await?;
        }
        Ok(())
    }

    async fn undo(&self, before: &UnitState, host: &Host) -> Result<()> {
        reload_systemd(host).await?;
        if !before.was_active() {
            self.give_way_back(host).await?;
        }
        let now = self.read_anew(host).await?;
        if before.enabled.starts_with("masked") && !now.enabled.starts_with("masked") {
            return self.mask(host).await;
        }
        if now.is_active() && !before.was_active() {
            // It could not be stopped before, or was to end after others.
            self.drain(host).await;
            self.systemctl(host, "stop").await?;
        }
        if !before.was_active() {
            // systemd remembers a unit that has failed after its file is gone.
            host.output("systemctl", &["reset-failed", &self.name]).await?;
        }
        if self.enabled && !before.is_enabled() && (self.hands_over || !now.loaded) {
            // It was not released before. systemd does not look for links to a file that is gone.
            host.output("systemctl", &["disable", &self.name]).await?;
        }
        if !now.loaded {
            return Ok(());
        }
        if before.is_enabled() && !now.is_enabled() {
            self.systemctl(host, "enable").await?;
        }
        match (before.was_active(), now.is_active()) {
            (true, false) => {
                self.systemctl(host, "start").await?;
                self.require_health(host).await
            }
            // It has not read anything else meanwhile.
            (true, true) if before.start == now.start => Ok(()),
            // Its files are as before again: it has to read them.
            (true, true) if !self.inputs.is_empty() => match self.on_change {
                OnChange::Restart => self.restart(host).await,
                OnChange::Reload => self.reload(host).await,
            },
            _ => Ok(()),
        }
    }

    async fn diff_back(&self, now: &UnitState, to: &UnitState, host: &Host) -> Result<Back> {
        if !now.loaded && !now.is_active() && !to.was_active() {
            // Gone with its package: there is nothing to switch off.
            return Ok(Back::Nothing);
        }
        let boot = |yes| Some(if yes { "enabled" } else { "disabled" }.to_owned());
        let state = |yes| Some(if yes { "active" } else { "inactive" }.to_owned());
        let change = Change::new(self.id(), Action::Update)
            .attribute("at boot", boot(now.is_enabled()), boot(to.is_enabled()))
            .attribute("state", state(now.is_active()), state(to.was_active()));
        Ok(match (now.is_active(), to.was_active()) {
            (true, false) => Back::Change(Change { action: Action::Stop, ..change }),
            (false, true) => Back::Change(Change { action: Action::Start, ..change }),
            (true, true) if let Some(id) = host.first_changed(&self.inputs) => {
                let action = match self.on_change {
                    OnChange::Restart => Action::Restart,
                    OnChange::Reload => Action::Reload,
                };
                Back::Change(Change { action, ..change }.because(format!("{id} changes")))
            }
            _ => change.unless_empty().into(),
        })
    }
}
