//! A Redis that somebody else made: how it keeps its data, and a connection to it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::client::RedisClient;
use super::files::{LOG, MAX_COPY};
use super::{DEFAULT_COPY, has_log};
use crate::resource::host::docker::said;
use crate::resource::model::hint::Advise;

/// Redis's own port.
const PORT: u16 = 6379;
/// Where the image of Redis has its data.
const FOLDER: &str = "/data";
/// How long a Redis that somebody else made may take to listen after its start.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// How a Redis that somebody else made keeps its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldRedis {
    /// Its folder on the host.
    pub(super) folder: PathBuf,
    /// The name of its copy.
    pub(super) copy: String,
    /// Whether it keeps an append-only log, by the names that hwctl's Redis uses.
    pub(super) log: bool,
}

impl OldRedis {
    /// Examines a container that somebody else made. An error says why its data cannot be taken
    /// over.
    pub(in super::super) async fn examine(docker: &Docker, name: &str) -> Result<Option<Self>> {
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
pub(super) async fn connect(
    inspected: &ContainerInspectResponse,
    name: &str,
) -> Result<RedisClient> {
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
pub(super) fn addresses(inspected: &ContainerInspectResponse) -> Vec<(IpAddr, u16)> {
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
