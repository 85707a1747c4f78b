//! Carries Redis's data over from a container that somebody else made, and gives it back.
//!
//! hwctl's Redis keeps an append-only log and would begin an empty one beside a copy (`dump.rdb`)
//! that an older Redis has left. So the log is made from that copy first, and when the older Redis
//! comes back, or hwctl's goes, the copy is brought up to date.

mod client;
mod files;

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::super::docker::said;
use super::super::{Advise, Host};
use super::{Container, MountSource};

pub use client::{Count, RedisClient};
pub use files::{COPY, LOG, LOG_ASIDE, MAGIC, MAX_COPY, prepare, read_copy, switch};

/// Redis's own port.
const PORT: u16 = 6379;
/// Where the image of Redis has its data.
const FOLDER: &str = "/data";
/// The name of a copy where none was chosen.
const DEFAULT_COPY: &str = "dump.rdb";
/// Names the copy that hwctl has made the append-only log from.
const MARKER: &str = "hwctl.adopted";
/// Notes whose the folder and the log were: a line with user, group and path for each.
const OWNERS: &str = "hwctl.owners";
/// How long a Redis that somebody else made may take to listen after its start.
const START_TIMEOUT: Duration = Duration::from_secs(5);
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

/// How a Redis that somebody else made keeps its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldRedis {
    /// Its folder on the host.
    folder: PathBuf,
    /// The name of its copy.
    copy: String,
    /// Whether it keeps an append-only log, by the names that hwctl's Redis uses.
    log: bool,
}

/// What was counted before a container was stopped; none of one that did not run.
pub(super) type Counted = Option<Count>;

impl OldRedis {
    /// Examines a container that somebody else made. An error says why its data cannot be taken
    /// over.
    pub(super) async fn examine(docker: &Docker, name: &str) -> Result<Option<Self>> {
        let inspected =
            docker.inspect_container(name, None::<InspectContainerOptions>).await.map_err(said)?;
        let is_up = inspected.state.as_ref().is_some_and(|state| state.running == Some(true));
        let (folder, copy, log) = match is_up {
            true => settings_of_running(&inspected, name).await?,
            false => settings_of_stopped(&inspected),
        };
        let mounts = inspected.mounts.as_deref().unwrap_or_default();
        let found = mounts.iter().find_map(|mount| {
            let below = folder.strip_prefix(mount.destination.as_deref()?).ok()?;
            Some(Path::new(mount.source.as_deref()?).join(below))
        });
        let Some(folder) = found else {
            // Without a volume its data would be in the container itself.
            return Err(anyhow!(
                "the data of container `{name}`, which hwctl did not make, cannot be taken over: \
                 it is in `{}`, where neither a volume nor a folder is mounted",
                folder.display()
            ))
            .hint("choose another name with `redis.container`, which keeps that container");
        };
        let log = log.unwrap_or_else(|| has_log(&folder));
        Ok(Some(Self { folder, copy, log }))
    }
}

type Settings = (PathBuf, String, Option<bool>);

async fn settings_of_running(inspected: &ContainerInspectResponse, name: &str) -> Result<Settings> {
    let mut redis = connect(inspected, name).await?;
    let log = redis.setting("appendonly").await? == "yes";
    let names = [("appenddirname", LOG), ("appendfilename", "appendonly.aof")];
    for (setting, usual) in names {
        let found = redis.setting(setting).await?;
        // Redis 6 has no folder for its log. Redis 7 takes such a log over by itself.
        if log && found != usual && !(setting == "appenddirname" && found.is_empty()) {
            return Err(anyhow!(
                "the data of container `{name}`, which hwctl did not make, cannot be taken over: \
                 its `{setting}` is `{found}` instead of `{usual}`"
            ))
            .hint("choose another name with `redis.container`, which keeps that container");
        }
    }
    let used: u64 = redis.info("memory", "used_memory").await?.parse().unwrap_or_default();
    if used > MAX_COPY {
        return Err(anyhow!(
            "the data of container `{name}`, which hwctl did not make, cannot be taken over: \
             it uses {} MiB of memory, more than {} MiB",
            used >> 20,
            MAX_COPY >> 20
        ))
        .hint("choose another name with `redis.container`, which keeps that container");
    }
    Ok((redis.setting("dir").await?.into(), redis.setting("dbfilename").await?, Some(log)))
}

/// What a container that does not run was started with, as far as its command says it.
fn settings_of_stopped(inspected: &ContainerInspectResponse) -> Settings {
    let folder = option(inspected, "--dir").unwrap_or_else(|| FOLDER.to_owned());
    let copy = option(inspected, "--dbfilename").unwrap_or_else(|| DEFAULT_COPY.to_owned());
    (folder.into(), copy, None)
}

/// The value of an option in a container's command.
fn option(inspected: &ContainerInspectResponse, name: &str) -> Option<String> {
    let command = inspected.config.as_ref()?.cmd.as_ref()?;
    // A shell's command is one word of many.
    let mut words = command.iter().flat_map(|word| word.split_whitespace());
    words.find(|word| *word == name)?;
    words.next().map(|word| word.trim_matches(['"', '\'']).to_owned())
}

/// Connects to a Redis that somebody else made, wherever it listens, with a password that its
/// settings name.
async fn connect(inspected: &ContainerInspectResponse, name: &str) -> Result<RedisClient> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut cause = anyhow!("it publishes no port and has no address");
    loop {
        let mut may_come = false;
        for address in addresses(inspected) {
            for password in passwords(inspected) {
                let tried = async {
                    let mut redis = RedisClient::connect_tcp(address, password.as_deref()).await?;
                    redis.ask(&["PING"]).await?;
                    Ok::<_, anyhow::Error>(redis)
                };
                match tried.await {
                    Ok(redis) => return Ok(redis),
                    Err(error) => {
                        may_come |= !is_refusal(&error);
                        cause = error;
                    }
                }
            }
        }
        // One that has just started listens in a moment, and may load its data first.
        if !may_come || Instant::now() > deadline {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let what = format!(
        "the data of container `{name}`, which hwctl did not make, cannot be taken over: \
         it does not let hwctl look"
    );
    Err(cause.context(what)).hint(
        "hwctl finds a password in the container's command, environment or mounted configuration; \
         or choose another name with `redis.container`, which keeps that container",
    )
}

/// Whether Redis has answered that the password is not right.
fn is_refusal(error: &anyhow::Error) -> bool {
    let said = error.root_cause().to_string();
    ["NOAUTH", "WRONGPASS", "ERR AUTH"].iter().any(|word| said.starts_with(word))
}

/// Where a container's Redis may be reached from the host.
fn addresses(inspected: &ContainerInspectResponse) -> Vec<(IpAddr, u16)> {
    let port = option(inspected, "--port").and_then(|port| port.parse().ok()).unwrap_or(PORT);
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let mut all = Vec::new();
    let Some(network) = &inspected.network_settings else { return all };
    let networks = network.networks.iter().flatten();
    let own = networks.filter_map(|(_, endpoint)| endpoint.ip_address.as_ref()?.parse().ok());
    all.extend(own.map(|address| (address, port)));
    for (inside, bindings) in network.ports.iter().flatten() {
        let bindings = bindings.iter().flatten().filter(|_| *inside == format!("{port}/tcp"));
        all.extend(
            bindings
                .filter_map(|binding| binding.host_port.as_ref()?.parse().ok())
                .map(|host_port| (loopback, host_port)),
        );
    }
    let mode = inspected.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
    if mode == Some("host") {
        all.push((loopback, port));
    }
    all
}

/// The passwords that a container's settings name, and none at all.
fn passwords(inspected: &ContainerInspectResponse) -> Vec<Option<String>> {
    let mut all = vec![None, option(inspected, "--requirepass")];
    let environment = inspected.config.iter().filter_map(|config| config.env.as_ref()).flatten();
    let named = environment.filter_map(|line| line.split_once('='));
    all.extend(
        named
            .filter(|(name, _)| ["REDIS_PASSWORD", "REDISCLI_AUTH"].contains(name))
            .map(|(_, value)| Some(value.to_owned())),
    );
    for mount in inspected.mounts.iter().flatten() {
        let Some(source) = &mount.source else { continue };
        let is_small =
            fs::metadata(source).is_ok_and(|found| found.is_file() && found.len() < 1 << 20);
        let text = is_small.then(|| fs::read_to_string(source).ok()).flatten().unwrap_or_default();
        let named = text.lines().filter_map(|line| line.trim().strip_prefix("requirepass "));
        all.extend(named.map(|value| Some(value.trim().trim_matches('"').to_owned())));
    }
    all.dedup();
    all
}

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
            super::run::stop(docker, &container.name).await?;
            return disown(&folder);
        }
        host.progress(None, "giving Redis's data back");
        let mut redis = self.connect_own(docker, &container.name, host).await?;
        redis.hold_writes().await?;
        redis.copy_held().await?;
        let newest = folder.join(COPY);
        let copy = read_copy(&newest)?;
        super::run::stop(docker, &container.name).await?;
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

/// Gives the folder, and a log in it, to the user of the new container, and notes whose they were.
fn own(folder: &Path, container: &Container) -> Result<()> {
    let Some((user, group)) = container.user.as_ref().and_then(|user| user.split_once(':')) else {
        return Ok(());
    };
    let (user, group): (u32, u32) = (user.parse()?, group.parse()?);
    let mut before = String::new();
    for path in owned(folder)? {
        let found = fs::symlink_metadata(&path)?;
        if (found.uid(), found.gid()) != (user, group) && (found.is_file() || found.is_dir()) {
            let name = path.strip_prefix(folder)?.display();
            let _ = writeln!(before, "{} {} {name}", found.uid(), found.gid());
        }
    }
    if before.is_empty() {
        return Ok(());
    }
    let notes = folder.join(OWNERS);
    if !notes.exists() {
        fs::write(&notes, &before).with_context(|| format!("write `{}`", notes.display()))?;
    }
    for line in before.lines().filter_map(|line| line.splitn(3, ' ').nth(2)) {
        lchown(folder.join(line), Some(user), Some(group))?;
    }
    Ok(())
}

/// Gives the folder and the log back to those whose they were.
fn disown(folder: &Path) -> Result<()> {
    let notes = folder.join(OWNERS);
    let Ok(text) = fs::read_to_string(&notes) else { return Ok(()) };
    let owners: Vec<(u32, u32, PathBuf)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            let (user, group) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((user, group, folder.join(words.next()?)))
        })
        .collect();
    // Files of the log that came meanwhile go to the owner of the log.
    let of_log = owners.iter().find(|(.., path)| path.starts_with(folder.join(LOG)));
    if let Some((user, group, _)) = of_log {
        for path in owned(folder)?.iter().filter(|path| path.starts_with(folder.join(LOG))) {
            lchown(path, Some(*user), Some(*group))?;
        }
    }
    for (user, group, path) in &owners {
        if path.exists() {
            lchown(path, Some(*user), Some(*group))?;
        }
    }
    files::remove(&notes)
}

/// The folder of the data, and its append-only log if it has one.
fn owned(folder: &Path) -> Result<Vec<PathBuf>> {
    let log = folder.join(LOG);
    let mut all = vec![folder.to_owned()];
    if log.is_dir() {
        for entry in fs::read_dir(&log)? {
            all.push(entry?.path());
        }
        all.push(log);
    }
    all.extend(Some(folder.join("appendonly.aof")).filter(|path| path.is_file()));
    Ok(all)
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
