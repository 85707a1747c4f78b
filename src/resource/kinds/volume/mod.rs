//! A named docker volume. What it holds is never touched.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::docker::{
    self, Daemon, LABEL, NOT_KNOWN_BEFORE, NOT_RUNNING, found, said,
};
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};

/// A named volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
}

/// What docker has by the volume's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeState {
    /// Nothing, or there is no docker.
    Absent,
    /// Docker does not run.
    Down,
    /// A volume.
    Present,
}

impl Volume {
    /// Where docker keeps it; it stays there when docker is removed.
    fn folder(&self, host: &Host) -> PathBuf {
        host.path(&data_root(host).join("volumes").join(&self.name))
    }

    fn remove_folder(&self, host: &Host) -> Result<()> {
        let folder = self.folder(host);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove `{}`", folder.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The folder of docker's data, as its settings have it.
fn data_root(host: &Host) -> PathBuf {
    let settings = fs::read(host.path(Path::new("/etc/docker/daemon.json"))).unwrap_or_default();
    let settings: serde_json::Value = serde_json::from_slice(&settings).unwrap_or_default();
    // `graph` is its name of before Docker 17.05.
    let named = settings.get("data-root").or_else(|| settings.get("graph"));
    PathBuf::from(named.and_then(|root| root.as_str()).unwrap_or("/var/lib/docker"))
}

impl Kind for Volume {
    type State = VolumeState;

    const WORD: &'static str = "volume";

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
            is_data: true,
            risk: Risk::None,
            undo: Undo::Stored,
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<VolumeState> {
        let docker = match docker::daemon(host).await? {
            Daemon::Absent if self.folder(host).exists() => return Ok(VolumeState::Present),
            Daemon::Absent => return Ok(VolumeState::Absent),
            Daemon::Down => return Ok(VolumeState::Down),
            Daemon::Up(docker) => docker,
        };
        let volume = found(docker.inspect_volume(&self.name).await)
            .with_context(|| format!("look at volume `{}`", self.name))?;
        Ok(if volume.is_some() { VolumeState::Present } else { VolumeState::Absent })
    }

    fn diff(&self, state: &VolumeState, _: &Host) -> Result<Option<Change>> {
        Ok(match state {
            VolumeState::Present => None,
            VolumeState::Absent => Some(Change::new(self.id(), Action::Create)),
            VolumeState::Down => {
                let mut change = Change::new(self.id(), Action::Create).because(NOT_RUNNING);
                change.not_undone = Some(NOT_KNOWN_BEFORE.to_owned());
                Some(change)
            }
        })
    }

    async fn apply(&self, _: &VolumeState, host: &Host) -> Result<()> {
        let request = VolumeCreateRequest {
            name: Some(self.name.clone()),
            labels: Some([(LABEL.to_owned(), "volume".to_owned())].into()),
            ..Default::default()
        };
        // Docker keeps a volume that is already there.
        docker::require(host)
            .await?
            .create_volume(request)
            .await
            .map_err(said)
            .with_context(|| format!("make volume `{}`", self.name))?;
        Ok(())
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &VolumeState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &VolumeState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &VolumeState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &VolumeState, host: &Host) -> Result<()> {
        if *before != VolumeState::Absent {
            return Ok(());
        }
        let docker = match docker::daemon(host).await? {
            Daemon::Up(docker) => docker,
            Daemon::Down => return Ok(()),
            Daemon::Absent => return self.remove_folder(host),
        };
        // Only what this run made; without force docker keeps a volume that is in use.
        let Some(volume) = found(docker.inspect_volume(&self.name).await)? else { return Ok(()) };
        if !volume.labels.contains_key(LABEL) {
            return Ok(());
        }
        found(docker.remove_volume(&self.name, None::<RemoveVolumeOptions>).await)
            .with_context(|| format!("remove volume `{}`", self.name))?;
        Ok(())
    }

    async fn diff_back(&self, now: &VolumeState, to: &VolumeState, host: &Host) -> Result<Back> {
        Ok(match (now, to) {
            (VolumeState::Present, VolumeState::Absent) => {
                let mut change = Change::new(self.id(), Action::Remove);
                change.not_undone = Some("the data in it".to_owned());
                Back::Change(change)
            }
            (VolumeState::Absent, VolumeState::Present) => {
                Back::Change(Change::new(self.id(), Action::Create))
            }
            (VolumeState::Down, _) => docker::require(host).await.map(|_| Back::Nothing)?,
            _ => Back::Nothing,
        })
    }

    async fn restore(&self, to: &VolumeState, host: &Host) -> Result<()> {
        match to {
            VolumeState::Present => self.apply(to, host).await,
            _ => self.undo(to, host).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_where_dockers_settings_say() {
        let root = tempfile::tempdir().unwrap();
        let host =
            Host::new(root.path(), Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()));
        assert_eq!(data_root(&host), Path::new("/var/lib/docker"));
        fs::create_dir_all(root.path().join("etc/docker")).unwrap();

        let settings = root.path().join("etc/docker/daemon.json");
        fs::write(settings, r#"{"data-root": "/srv/docker"}"#).unwrap();

        assert_eq!(data_root(&host), Path::new("/srv/docker"));
    }
}
