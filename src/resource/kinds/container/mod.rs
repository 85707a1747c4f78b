//! A docker container that runs with few rights, and is made anew when it is not as it should be.

mod body;
mod calls;
mod launcher;
mod networks;
mod new;
mod once;
mod ports;
mod readiness;
pub mod redis;
mod run;
mod saved;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::docker::{self, Daemon, NOT_KNOWN_BEFORE, NOT_RUNNING};
use crate::resource::kinds::health::Health;
use crate::resource::kinds::kind::Kind;
use crate::resource::kinds::user::user_of_id;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::digest::sha256;
use crate::resource::model::hint::Advise;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};

pub use launcher::{ENVIRONMENT, LAUNCHER, LAUNCHER_NAME};
pub use networks::{HOST_NETWORK, NO_NETWORK, OWN_NETWORKS};
use redis::{OldRedis, RedisData};
use saved::Found;

/// A container. Always: restarted unless it was stopped, every capability dropped that is not named, no new
/// privileges, and a log of at most three files of 10 MB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The name of its image, which has to be on the host.
    pub image: String,
    /// What runs in it, program first; empty for the image's own.
    pub command: Vec<String>,
    /// As whom, by numbers or the image's names; the image's own user without it.
    pub user: Option<String>,
    /// What of the host is seen inside.
    pub mounts: Vec<Mount>,
    /// Paths inside that are kept in memory.
    pub tmpfs: Vec<PathBuf>,
    /// Ports of the host that lead into it.
    pub ports: Vec<PublishedPort>,
    /// Whether it cannot write outside of its mounts.
    pub read_only_root: bool,
    /// The most memory it gets.
    pub memory_mib: u32,
    /// The most processes it gets.
    pub pids: u32,
    /// A program inside that succeeds when all is well.
    pub healthcheck: Option<Vec<String>>,
    /// The resources it is started with: when their content changes, it is made anew.
    pub inputs: Vec<Id>,
    /// The data that is carried over from a container that somebody else made, and given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RedisData>>,
    /// Variables of its environment. Docker shows them to everybody who may ask it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whether its program gets more variables from the file at [`ENVIRONMENT`], which Docker does not show. hwctl
    /// has to be mounted at [`LAUNCHER`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_launched: bool,
    /// The capabilities of Linux that it keeps, such as `CHOWN`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// The Docker networks that it is in; Docker's default one if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// The variable of the inventory that declares it, such as `containers.db`. No part of what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// What it answers once it is ready. When given, a start that is not followed by such an answer has failed, and
    /// before it ends it waits for the requests that a web server has in hand. No part of what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Box<Health>>,
    /// Whether another one takes over its work before it ends. No part of what it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hands_over: bool,
}

/// Something of the host that is seen inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What it is.
    pub source: MountSource,
    /// Where it is seen inside.
    pub target: PathBuf,
    /// Whether it cannot be written from inside.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A volume, by name.
    Volume(String),
    /// A path of the host.
    Path(PathBuf),
}

/// A TCP port of the host that leads into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The address it listens on. Docker's published ports walk past a host's firewall, so this
    /// is a loopback address unless the port is meant for everybody.
    pub host_address: IpAddr,
    /// The port of the host.
    pub host_port: u16,
    /// The port inside.
    pub container_port: u16,
}

/// What docker has by the container's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Nothing, or there is no docker.
    Absent,
    /// Docker does not run.
    Down,
    /// A container.
    Present(Box<Found>),
}

impl Kind for Container {
    type State = ContainerState;

    const WORD: &'static str = "container";

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
            inputs: &self.inputs,
            needs: Needs::Package(docker::PACKAGE),
            pace: if self.hands_over { Pace::AfterOthers } else { Pace::LaunchThenFinish },
            is_data: false,
            risk: Risk::None,
            undo: Undo::Container,
            series: None,
            hands_over: self.hands_over,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<ContainerState> {
        let docker = match docker::daemon(host).await? {
            Daemon::Absent => return Ok(ContainerState::Absent),
            Daemon::Down => return Ok(ContainerState::Down),
            Daemon::Up(docker) => docker,
        };
        let Some(mut found) = Found::read(docker, &self.name, &self.image).await? else {
            return Ok(ContainerState::Absent);
        };
        if self.data.is_some() && found.digest.is_none() {
            found.redis = OldRedis::examine(docker, &self.name).await?;
        }
        Ok(ContainerState::Present(Box::new(found)))
    }

    async fn require(&self, state: &ContainerState, host: &Host) -> Result<()> {
        docker::require_usable(host).await?;
        self.require_own(state)?;
        if self.may_be_made(state)? {
            self.note_volumes(host).await?;
        }
        self.require_ports(state, host).await
    }

    async fn concern(&self, _: &ContainerState, host: &Host) -> Option<String> {
        let concerns = [docker::concern(host).await, self.namesake(host)];
        concerns.into_iter().flatten().reduce(|all, next| format!("{all}; {next}"))
    }

    fn diff(&self, state: &ContainerState, host: &Host) -> Result<Option<Change>> {
        if self.may_be_made(state)? {
            self.require_noted_volumes(host)?;
        }
        match state {
            ContainerState::Absent => Ok(Some(
                Change::new(self.id(), Action::Create)
                    .attribute("image", None, Some(self.image.clone()))
                    .attribute("state", None, Some("running".to_owned())),
            )),
            ContainerState::Down => {
                let mut change = Change::new(self.id(), Action::Update).because(NOT_RUNNING);
                change.not_undone = Some(NOT_KNOWN_BEFORE.to_owned());
                Ok(Some(change))
            }
            ContainerState::Present(found) => self.diff_found(found, host),
        }
    }

    async fn apply(&self, _: &ContainerState, host: &Host) -> Result<()> {
        // Docker may have been started since the plan was made, and started containers by itself.
        let state = self.read(host).await?;
        let Some(change) = self.diff(&state, host)? else { return Ok(()) };
        let docker = docker::require(host).await?;
        match change.action {
            Action::Start | Action::Restart => self.start(docker, &state, host).await,
            _ => self.replace(docker, &state, host).await,
        }
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &ContainerState, host: &Host) -> Result<()> {
        self.begin_new(host).await
    }

    async fn finish(&self, _: &ContainerState, host: &Host) -> Result<()> {
        self.wait_for_new(host).await
    }

    async fn sweep(&self, host: &Host) -> Result<()> {
        match docker::daemon(host).await? {
            Daemon::Up(docker) => self.sweep_beside(docker).await,
            Daemon::Absent | Daemon::Down => Ok(()),
        }
    }

    async fn release(&self, before: &ContainerState, host: &Host) -> Result<()> {
        match before {
            ContainerState::Absent => self.undo(before, host).await,
            ContainerState::Down | ContainerState::Present(_) => Ok(()),
        }
    }

    async fn undo(&self, before: &ContainerState, host: &Host) -> Result<()> {
        let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(()) };
        match before {
            ContainerState::Absent => {
                self.end_in_order(docker, host).await?;
                self.remove_own(docker, host).await
            }
            ContainerState::Down => Ok(()),
            ContainerState::Present(found) => {
                self.bring_back(docker, found, host).await?;
                if found.is_up() { self.require_health(docker, host).await } else { Ok(()) }
            }
        }
    }

    async fn diff_back(
        &self,
        now: &ContainerState,
        to: &ContainerState,
        host: &Host,
    ) -> Result<Back> {
        let image = |found: &Found| Some(short(&found.image_id));
        let change = |action| Change::new(self.id(), action);
        Ok(match (now, to) {
            (_, ContainerState::Down) | (ContainerState::Absent, ContainerState::Absent) => {
                Back::Nothing
            }
            (ContainerState::Down, _) => docker::require(host).await.map(|_| Back::Nothing)?,
            (ContainerState::Present(now), ContainerState::Absent) if now.digest.is_none() => {
                Back::Kept("it was not made by hwctl".to_owned())
            }
            (ContainerState::Present(now), ContainerState::Absent) => Back::Change(
                change(Action::Remove).attribute("image id", image(now), None).attribute(
                    "state",
                    Some(now.status.clone()),
                    None,
                ),
            ),
            (ContainerState::Absent, ContainerState::Present(to)) => Back::Change(
                change(Action::Create).attribute("image id", None, image(to)).attribute(
                    "state",
                    None,
                    Some(to.status.clone()),
                ),
            ),
            (ContainerState::Present(now), ContainerState::Present(to)) => now
                .differences(to)?
                .into_iter()
                .fold(change(Action::Update), |change, (name, now, to)| {
                    change.attribute(&name, now, to)
                })
                .unless_empty()
                .into(),
        })
    }
}

impl Container {
    /// Whether the container is not there yet, or has something else than is declared.
    fn may_be_made(&self, state: &ContainerState) -> Result<bool> {
        match state {
            ContainerState::Absent => Ok(true),
            ContainerState::Down => Ok(false),
            ContainerState::Present(found) => {
                Ok(found.stale_image.is_some() || !found.is_as_wanted(self)?)
            }
        }
    }

    /// Refuses a container of the same name that somebody else made, unless its data is carried over.
    fn require_own(&self, state: &ContainerState) -> Result<()> {
        let ContainerState::Present(found) = state else { return Ok(()) };
        if self.data.is_some() || found.digest.is_some() {
            return Ok(());
        }
        Err(anyhow!("there is a container `{}` that hwctl has not made", self.name)).hint(
            "give yours another name in the inventory, or remove that one with `docker rm` if nothing needs it",
        )
    }

    /// What messages call the variable of one of its settings.
    fn setting(&self, key: &str) -> String {
        self.variable
            .as_ref()
            .map_or_else(|| key.to_owned(), |variable| format!("{variable}.{key}"))
    }

    /// Says whose processes the container's are, as far as the host is concerned: a container has no
    /// user table of its own for the kernel.
    fn namesake(&self, host: &Host) -> Option<String> {
        let id = self.user.as_deref()?.split(':').next()?;
        // `nobody` is there for processes that are nobody's, and images run as it for the same reason.
        let name = user_of_id(host, id).filter(|name| name != "nobody")?;
        Some(format!(
            "it runs as user {id}, which is `{name}` on this host: `{name}` can signal its processes and \
             connect to its socket"
        ))
    }

    /// What the container is started with, as its label has it; `None` while an input is not
    /// known yet.
    fn wanted_digest(&self, host: &Host) -> Option<String> {
        let inputs = host.digest_of(&self.inputs)?;
        // How its data came to it is no part of what it is.
        let own =
            Self { data: None, variable: None, health: None, hands_over: false, ..self.clone() };
        let own = serde_json::to_string(&own).ok()?;
        Some(sha256(format!("{own}\n{inputs}").as_bytes()))
    }

    fn diff_found(&self, found: &Found, host: &Host) -> Result<Option<Change>> {
        let mut change = Change::new(self.id(), Action::Update);
        let (before, after) = found.compare(self)?;
        for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
            let (before, after) = (before.get(name).cloned(), after.get(name).cloned());
            change = change.attribute(name, before, after);
        }
        if let Some((has, now)) = &found.stale_image {
            change = change.attribute("image id", Some(short(has)), Some(short(now)));
        }
        let wanted = self.wanted_digest(host);
        if found.digest.is_none() {
            return Ok(Some(change.because("it was not made by hwctl; its data is taken over")));
        }
        if wanted.is_none() {
            return Ok(Some(change.because("its configuration is not known yet")));
        }
        if found.digest != wanted {
            let changed = host.first_changed(&self.inputs);
            let because = match changed {
                Some(id) => format!("`{id}` changes"),
                None => "it was started with another configuration".to_owned(),
            };
            return Ok(Some(change.because(because)));
        }
        if !change.details.is_empty() {
            return Ok(Some(change));
        }
        let action = match found.status.as_str() {
            "running" => return Ok(None),
            "restarting" | "unhealthy" => Action::Restart,
            "dead" | "removing" => Action::Update,
            _ => Action::Start,
        };
        Ok(Some(Change::new(self.id(), action).attribute(
            "state",
            Some(found.status.clone()),
            Some("running".to_owned()),
        )))
    }
}

/// As much of an id as people compare.
fn short(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect()
}
