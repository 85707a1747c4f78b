//! A named Docker network, by which containers reach each other under their names.

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::models::{NetworkCreateRequest, NetworkInspect};
use bollard::query_parameters::{InspectNetworkOptions, ListContainersOptionsBuilder};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::docker::{
    self, Daemon, LABEL, NOT_KNOWN_BEFORE, NOT_RUNNING, found, said,
};
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};

/// A network of Docker's driver `bridge`. One of this name that is there already is taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
}

/// What Docker has by the network's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkState {
    /// Nothing, or there is no Docker.
    Absent,
    /// Docker does not run.
    Down,
    /// A network.
    Present,
}

impl Network {
    /// The network of exactly this name. Docker also takes the beginning of an id for one.
    async fn inspect(&self, docker: &Docker) -> Result<Option<NetworkInspect>> {
        let options = None::<InspectNetworkOptions>;
        let network = found(docker.inspect_network(&self.name, options).await)
            .with_context(|| format!("look at network `{}`", self.name))?;
        Ok(network.filter(|network| network.name.as_ref() == Some(&self.name)))
    }

    /// A container that is in the network and was not made by hwctl.
    async fn used_by_others(&self, host: &Host) -> Result<Option<String>> {
        let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(None) };
        let filters = [("network".to_owned(), vec![self.name.clone()])].into();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let all = docker.list_containers(Some(options)).await.map_err(said)?;
        let is_own =
            |labels: &std::collections::HashMap<String, String>| labels.contains_key(LABEL);
        let mut others = all.into_iter().filter(|one| !one.labels.as_ref().is_some_and(is_own));
        let name = others.next().and_then(|one| one.names?.into_iter().next());
        Ok(name.map(|name| name.trim_start_matches('/').to_owned()))
    }
}

impl Kind for Network {
    type State = NetworkState;

    const WORD: &'static str = "network";

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
            needs: Needs::Package(docker::PACKAGE),
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::None,
            undo: Undo::Stored,
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<NetworkState> {
        let docker = match docker::daemon(host).await? {
            Daemon::Absent => return Ok(NetworkState::Absent),
            Daemon::Down => return Ok(NetworkState::Down),
            Daemon::Up(docker) => docker,
        };
        let network = self.inspect(docker).await?;
        Ok(if network.is_some() { NetworkState::Present } else { NetworkState::Absent })
    }

    fn diff(&self, state: &NetworkState, _: &Host) -> Result<Option<Change>> {
        Ok(match state {
            NetworkState::Present => None,
            NetworkState::Absent => Some(Change::new(self.id(), Action::Create)),
            NetworkState::Down => {
                let mut change = Change::new(self.id(), Action::Create).because(NOT_RUNNING);
                change.not_undone = Some(NOT_KNOWN_BEFORE.to_owned());
                Some(change)
            }
        })
    }

    async fn apply(&self, _: &NetworkState, host: &Host) -> Result<()> {
        // Docker may have been started since the plan was made. Unlike volumes, networks are made twice under one name.
        let docker = docker::require_started(host).await?;
        if self.read(host).await? == NetworkState::Present {
            return Ok(());
        }
        let request = NetworkCreateRequest {
            name: self.name.clone(),
            driver: Some("bridge".to_owned()),
            labels: Some([(LABEL.to_owned(), "network".to_owned())].into()),
            ..Default::default()
        };
        docker
            .create_network(request)
            .await
            .map_err(said)
            .with_context(|| format!("make network `{}`", self.name))?;
        Ok(())
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &NetworkState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &NetworkState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &NetworkState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &NetworkState, host: &Host) -> Result<()> {
        if *before != NetworkState::Absent {
            return Ok(());
        }
        let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(()) };
        let network = self.inspect(docker).await?;
        let is_own =
            network.and_then(|network| network.labels).is_some_and(|l| l.contains_key(LABEL));
        if !is_own || self.used_by_others(host).await?.is_some() {
            return Ok(());
        }
        found(docker.remove_network(&self.name).await)
            .with_context(|| format!("remove network `{}`", self.name))?;
        Ok(())
    }

    async fn diff_back(&self, now: &NetworkState, to: &NetworkState, host: &Host) -> Result<Back> {
        Ok(match (now, to) {
            (NetworkState::Present, NetworkState::Absent) => match self.used_by_others(host).await?
            {
                Some(user) => Back::Kept(format!("container `{user}` is in it")),
                None => Back::Change(Change::new(self.id(), Action::Remove)),
            },
            (NetworkState::Absent, NetworkState::Present) => {
                Back::Change(Change::new(self.id(), Action::Create))
            }
            (NetworkState::Down, _) => docker::require(host).await.map(|_| Back::Nothing)?,
            _ => Back::Nothing,
        })
    }

    async fn restore(&self, to: &NetworkState, host: &Host) -> Result<()> {
        match to {
            NetworkState::Present => self.apply(to, host).await,
            NetworkState::Absent | NetworkState::Down => self.undo(to, host).await,
        }
    }
}
