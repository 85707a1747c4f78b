//! Carries Redis's data over from a container that somebody else made, and gives it back.
//!
//! hwctl's Redis keeps an append-only log and would begin an empty one beside a copy (`dump.rdb`)
//! that an older Redis has left. So the log is made from that copy first, and when the older Redis
//! comes back, or hwctl's goes, the copy is brought up to date.

mod client;
mod files;
mod old;
mod owners;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bollard::Docker;
use bollard::query_parameters::InspectContainerOptions;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{Container, MountSource};
use crate::resource::host::Host;
use crate::resource::host::docker::said;

pub use client::{Count, RedisClient};
pub use files::{COPY, LOG, LOG_ASIDE, MAGIC, MAX_COPY, prepare, read_copy, switch};
pub use old::OldRedis;
use old::{addresses, connect};
use owners::{disown, own};

/// The name of a copy where none was chosen.
const DEFAULT_COPY: &str = "dump.rdb";
/// Names the copy that hwctl has made the append-only log from.
const MARKER: &str = "hwctl.adopted";
/// How long Redis may take to load its data.
const LOAD_TIMEOUT: Duration = Duration::from_mins(1);

/// The data of a Redis that hwctl makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisData {
    /// The socket of Redis on the host.
    pub socket: PathBuf,
    /// The folder of the data inside the container.
    pub folder: PathBuf,
    /// The name of the host's secret that is the password.
    pub password: String,
}

/// What was counted before a container was stopped; none of one that did not run.
pub(super) type Counted = Option<Count>;

impl RedisData {
    /// Before a container that somebody else made is stopped: its data is on disk and counted, and
    /// no write comes after that.
    pub(super) async fn before_stop(
        &self,
        docker: &Docker,
        name: &str,
        old: &OldRedis,
    ) -> Result<Counted> {
        let inspected =
            docker.inspect_container(name, None::<InspectContainerOptions>).await.map_err(said)?;
        let mut redis = connect(&inspected, name).await?;
        redis.hold_writes().await?;
        let counted = match old.log {
            true => redis.count().await,
            false => redis.copy_held().await,
        };
        if counted.is_err() {
            redis.release_writes().await?;
        }
        counted.map(Some)
    }

    /// After it was stopped: brings its data to where the new container looks for it.
    pub(super) async fn after_stop(
        &self,
        docker: &Docker,
        container: &Container,
        old: &OldRedis,
    ) -> Result<()> {
        let folder = self.volume(docker, container).await?;
        let is_same = same(&old.folder, &folder);
        own(&folder, container)?;
        if is_same && old.log {
            return Ok(());
        }
        if old.log {
            return copy_log(&old.folder, &folder);
        }
        let copy = old.folder.join(&old.copy);
        if !copy.exists() {
            return Ok(());
        }
        take_copy(&folder, &read_copy(&copy)?)?;
        if is_same { mark(&folder, &old.copy) } else { Ok(()) }
    }

    /// Takes over what a volume holds that no container uses.
    pub(super) async fn adopt(&self, docker: &Docker, container: &Container) -> Result<()> {
        let folder = self.volume(docker, container).await?;
        let copy = folder.join(DEFAULT_COPY);
        if has_log(&folder) || !copy.exists() {
            return Ok(());
        }
        own(&folder, container)?;
        take_copy(&folder, &read_copy(&copy)?)?;
        mark(&folder, DEFAULT_COPY)
    }

    /// Counts what the new container has loaded: as much as there was before.
    pub(super) async fn prove(&self, before: Counted, host: &Host) -> Result<()> {
        let Some(before) = before else { return Ok(()) };
        let password = self.password(host)?;
        let deadline = Instant::now() + LOAD_TIMEOUT;
        let now = loop {
            let counted = async {
                let mut redis = RedisClient::connect(&self.socket, &password).await?;
                if redis.info("persistence", "loading").await? != "0" {
                    bail!("Redis is still loading its data");
                }
                redis.count().await
            };
            match counted.await {
                Ok(now) => break now,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        let lasting = |count: Count| count.keys.saturating_sub(count.expiring);
        if lasting(now) < lasting(before) || now.visits < before.visits {
            bail!(
                "the new Redis has {} keys and {} visits, the one of before had {} and {}",
                now.keys,
                now.visits,
                before.keys,
                before.visits
            );
        }
        host.progress(None, format!("took over {} keys, {} visits", now.keys, now.visits));
        Ok(())
    }

    /// Before hwctl's container goes: brings the copy that its data came from up to date, so that
    /// whoever comes next finds all of it. `old` is the container that comes back, if one does.
    pub(super) async fn give_back(
        &self,
        docker: &Docker,
        container: &Container,
        old: Option<&OldRedis>,
        host: &Host,
    ) -> Result<()> {
        let folder = self.volume(docker, container).await?;
        let marked = fs::read_to_string(folder.join(MARKER)).ok();
        let elsewhere = old.filter(|old| !same(&old.folder, &folder));
        if marked.is_none() && elsewhere.is_none() {
            super::calls::stop(docker, &container.name).await?;
            return disown(&folder);
        }
        host.progress(None, "giving Redis's data back");
        let mut redis = self.connect_own(docker, &container.name, host).await?;
        redis.hold_writes().await?;
        redis.copy_held().await?;
        let newest = folder.join(COPY);
        let copy = read_copy(&newest)?;
        super::calls::stop(docker, &container.name).await?;
        if let Some(old) = elsewhere {
            match old.log {
                true => take_copy(&old.folder, &copy)?,
                false => files::replace_copy(&old.folder.join(&old.copy), &copy)?,
            }
        }
        if let Some(name) = marked {
            files::replace_copy(&folder.join(name.trim()), &copy)?;
            files::remove(&folder.join(LOG))?;
            files::remove(&folder.join(MARKER))?;
        }
        files::remove(&newest)?;
        disown(&folder)
    }

    /// Connects to hwctl's container by its socket, or at its own address: on the way back the folder
    /// of the socket may be gone already.
    async fn connect_own(&self, docker: &Docker, name: &str, host: &Host) -> Result<RedisClient> {
        let password = self.password(host)?;
        let error = match RedisClient::connect(&self.socket, &password).await {
            Ok(redis) => return Ok(redis),
            Err(error) => error,
        };
        let inspected =
            docker.inspect_container(name, None::<InspectContainerOptions>).await.map_err(said)?;
        let own = addresses(&inspected).into_iter().find(|(address, _)| !address.is_loopback());
        match own {
            Some(address) => RedisClient::connect_tcp(address, Some(&password)).await,
            None => Err(error),
        }
    }

    /// Takes back what [`RedisData::after_stop`] has made, where the new container did not live.
    pub(super) async fn forget(&self, docker: &Docker, container: &Container) -> Result<()> {
        let folder = self.volume(docker, container).await?;
        if folder.join(MARKER).exists() {
            files::remove(&folder.join(LOG))?;
            files::remove(&folder.join(MARKER))?;
        }
        disown(&folder)
    }

    /// Where the volume of the data is on the host, as docker itself says.
    async fn volume(&self, docker: &Docker, container: &Container) -> Result<PathBuf> {
        let source = container.mounts.iter().find(|mount| mount.target == self.folder);
        match source.map(|mount| &mount.source) {
            Some(MountSource::Path(path)) => Ok(path.clone()),
            Some(MountSource::Volume(name)) => {
                let volume = docker.inspect_volume(name).await.map_err(said);
                Ok(volume.with_context(|| format!("look at volume `{name}`"))?.mountpoint.into())
            }
            None => bail!("nothing is mounted at `{}`", self.folder.display()),
        }
    }

    fn password(&self, host: &Host) -> Result<String> {
        let path = host.state_dir().join("secrets").join(&self.password);
        let text =
            fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

fn has_log(folder: &Path) -> bool {
    folder.join(LOG).join(files::MANIFEST).exists() || folder.join("appendonly.aof").exists()
}

fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

/// Makes the append-only log from a copy. A log that was there stays beside it: nobody has said
/// that it may go.
fn take_copy(folder: &Path, copy: &[u8]) -> Result<()> {
    if !copy.starts_with(MAGIC) {
        bail!("the copy of Redis's data in `{}` is damaged", folder.display());
    }
    prepare(folder, &folder.join(LOG_ASIDE), copy)?;
    install(folder)
}

/// Puts the prepared log in its place, and keeps one that was there.
fn install(folder: &Path) -> Result<()> {
    let aside = folder.join(LOG_ASIDE);
    if !switch(&folder.join(LOG), &aside)? {
        return Ok(());
    }
    let mut names = (1_u32..).map(|number| folder.join(format!("{LOG}.before-{number}")));
    let kept = names.find(|path| !path.exists()).context("find a free name")?;
    fs::rename(&aside, &kept).with_context(|| format!("keep `{}`", kept.display()))
}

fn mark(folder: &Path, copy: &str) -> Result<()> {
    let path = folder.join(MARKER);
    fs::write(&path, copy).with_context(|| format!("write `{}`", path.display()))
}

/// Copies an append-only log into another folder, with that folder's owner.
fn copy_log(from: &Path, to: &Path) -> Result<()> {
    let owner = fs::metadata(to)?;
    let own = |path: &Path| lchown(path, Some(owner.uid()), Some(owner.gid()));
    let aside = to.join(LOG_ASIDE);
    files::remove(&aside)?;
    fs::create_dir(&aside)?;
    let old = from.join(LOG);
    for entry in fs::read_dir(&old).with_context(|| format!("list `{}`", old.display()))? {
        let entry = entry?;
        let copy = aside.join(entry.file_name());
        fs::copy(entry.path(), &copy)?;
        own(&copy)?;
        fs::File::open(&copy)?.sync_all()?;
    }
    own(&aside)?;
    install(to)
}
