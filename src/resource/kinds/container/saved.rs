//! A container as it is found: enough to compare it, and to make it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, HealthStatusEnum};
use serde::{Deserialize, Serialize};

use super::body::{DIGEST, properties};
use super::calls::inspect;
use super::redis::OldRedis;
use super::{Container, networks, short};
use crate::resource::host::docker::said;
use crate::resource::kinds::image;

/// A container that docker has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// In docker's words, such as `running` or `exited`; and `unhealthy`.
    pub(super) status: String,
    /// Of what hwctl started it with; none for a container that somebody else made.
    pub(super) digest: Option<String>,
    /// The id of the image it runs, and that of the image which has the name now, if they differ.
    pub(super) stale_image: Option<(String, String)>,
    /// The id of the image it runs.
    pub(super) image_id: String,
    /// Limits that this host's kernel does not enforce and docker drops.
    pub(super) no_limits: Vec<String>,
    /// How it keeps its data, where somebody else made it and its data is taken over.
    #[serde(default)]
    pub(super) redis: Option<OldRedis>,
    /// The networks that it is in, save for docker's default one. None in records of before hwctl made networks.
    #[serde(default)]
    pub(super) networks: Option<Vec<String>>,
    /// What docker is asked for to make it again, as JSON. May hold secrets in its environment.
    pub(super) body: String,
}

// The body may hold secrets.
impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found")
            .field("status", &self.status)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Found {
    /// The container by its name, given the name of the image it should run.
    pub(super) async fn read(docker: &Docker, name: &str, reference: &str) -> Result<Option<Self>> {
        let Some(inspected) = inspect(docker, name).await? else { return Ok(None) };
        let image_id = inspected.image.clone().unwrap_or_default();
        let now = image::id_of(docker, reference).await?;
        let body = creating(&inspected);
        Ok(Some(Self {
            status: status(&inspected),
            digest: body.labels.as_ref().and_then(|labels| labels.get(DIGEST)).cloned(),
            stale_image: now.filter(|now| *now != image_id).map(|now| (image_id.clone(), now)),
            image_id,
            no_limits: no_limits(docker, &body).await?,
            redis: None,
            networks: Some(networks::of(&inspected)),
            body: json(&body)?,
        }))
    }

    /// Whether it runs and has what is declared, so that it holds its ports itself.
    pub(super) fn is_as_wanted(&self, container: &Container) -> Result<bool> {
        let (before, after) = self.compare(container)?;
        Ok(self.status == "running" && before == after)
    }

    pub(super) fn creating(&self) -> Result<ContainerCreateBody> {
        serde_json::from_str(&self.body).context("read the saved container")
    }

    /// The properties it has and those it should have, without those that cannot be compared.
    pub(super) fn compare(&self, wanted: &Container) -> Result<(Properties, Properties)> {
        let mut before = properties(&self.creating()?);
        let mut after = properties(&wanted.body(""));
        for limit in &self.no_limits {
            after.remove(limit);
        }
        // The image's own, where the container is not to have another.
        for name in ["command", "user", "health check"] {
            if !after.contains_key(name) {
                before.remove(name);
            }
        }
        // The image's entry point is a part of it, so the digest alone can tell.
        if wanted.is_launched {
            before.remove("command");
            after.remove("command");
        }
        put(&mut before, "networks", &self.joined().join(" "));
        put(&mut after, "networks", &wanted.networks.join(" "));
        if self.digest.is_some() {
            for (name, value) in &wanted.env {
                let has = self.variable(name)?;
                put(&mut before, &format!("env {name}"), &has.unwrap_or_default());
                put(&mut after, &format!("env {name}"), value);
            }
        }
        // A container made by somebody else may have a password on its command line.
        if self.digest.is_none()
            && let Some(command) = before.get_mut("command")
        {
            "<hidden: may hold a secret>".clone_into(command);
        }
        Ok((before, after))
    }
}

impl Found {
    /// The networks that it is in, as far as they are known.
    pub(super) fn joined(&self) -> &[String] {
        self.networks.as_deref().unwrap_or_default()
    }

    /// The value of a variable of its environment.
    fn variable(&self, name: &str) -> Result<Option<String>> {
        let env = self.creating()?.env.unwrap_or_default();
        let named = env.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Ok(named.map(str::to_owned))
    }

    /// Where two states of a container differ: property, in this state, in the other.
    pub(super) fn differences(&self, other: &Self) -> Result<Vec<Difference>> {
        let (mut now, mut to) = (properties(&self.creating()?), properties(&other.creating()?));
        // A container made by somebody else may have a password on its command line.
        if self.digest.is_none() || other.digest.is_none() {
            now.remove("command");
            to.remove("command");
        }
        for (properties, found) in [(&mut now, self), (&mut to, other)] {
            properties.insert("state".to_owned(), found.status.clone());
            properties.insert("image id".to_owned(), short(&found.image_id));
            put(properties, "networks", &found.joined().join(" "));
        }
        let names: BTreeSet<_> = now.keys().chain(to.keys()).cloned().collect();
        let mut differences: Vec<_> = names
            .into_iter()
            .map(|name| (now.remove(&name), to.remove(&name), name))
            .filter(|(now, to, _)| now != to)
            .map(|(now, to, name)| (name, now, to))
            .collect();
        if differences.is_empty() && !self.is_like(other) {
            let (now, to) = ("of now".to_owned(), "of before".to_owned());
            differences.push(("configuration".to_owned(), Some(now), Some(to)));
        }
        Ok(differences)
    }
}

/// Adds a property that is not empty.
fn put(properties: &mut Properties, name: &str, value: &str) {
    if !value.is_empty() {
        properties.insert(name.to_owned(), value.to_owned());
    }
}

type Difference = (String, Option<String>, Option<String>);
type Properties = BTreeMap<String, String>;

/// JSON that is the same for the same content, whatever the order of its maps.
fn json(body: &ContainerCreateBody) -> Result<String> {
    let mut value = serde_json::to_value(body)?;
    value.sort_all_objects();
    Ok(value.to_string())
}

fn status(inspected: &ContainerInspectResponse) -> String {
    let Some(state) = &inspected.state else { return "unknown".to_owned() };
    let health = state.health.as_ref().and_then(|health| health.status);
    match state.status {
        Some(status) if status.to_string() == "running" => match health {
            Some(HealthStatusEnum::UNHEALTHY) => "unhealthy".to_owned(),
            _ => "running".to_owned(),
        },
        Some(status) => status.to_string(),
        None => "unknown".to_owned(),
    }
}

/// What Docker was asked for, from what it reports of the container.
fn creating(inspected: &ContainerInspectResponse) -> ContainerCreateBody {
    let config = inspected.config.clone().unwrap_or_default();
    let mut host_config = inspected.host_config.clone().unwrap_or_default();
    // A volume without a name would be a new and empty one.
    let named: Vec<_> =
        host_config.mounts.iter().flatten().filter_map(|m| m.target.clone()).collect();
    let mut binds = host_config.binds.take().unwrap_or_default();
    for mount in inspected.mounts.iter().flatten() {
        let (Some(name), Some(target)) = (&mount.name, &mount.destination) else { continue };
        let asked = named.contains(target)
            || binds.iter().any(|bind| bind.split(':').nth(1) == Some(target));
        if mount.typ.as_deref() == Some("volume") && !asked {
            let mode = if mount.rw == Some(false) { ":ro" } else { "" };
            binds.push(format!("{name}:{target}{mode}"));
        }
    }
    host_config.binds = (!binds.is_empty()).then_some(binds);
    // By default the name inside is the start of the id, which is another one each time.
    let id = inspected.id.clone().unwrap_or_default();
    let hostname = config.hostname.filter(|name| name.is_empty() || !id.starts_with(name.as_str()));
    ContainerCreateBody {
        hostname: hostname.filter(|name| !name.is_empty()),
        domainname: config.domainname,
        user: config.user,
        attach_stdin: config.attach_stdin,
        attach_stdout: config.attach_stdout,
        attach_stderr: config.attach_stderr,
        exposed_ports: config.exposed_ports,
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        env: config.env,
        cmd: config.cmd,
        healthcheck: config.healthcheck,
        args_escaped: config.args_escaped,
        image: config.image,
        volumes: config.volumes,
        working_dir: config.working_dir,
        entrypoint: config.entrypoint,
        network_disabled: config.network_disabled,
        on_build: config.on_build,
        labels: config.labels,
        stop_signal: config.stop_signal,
        stop_timeout: config.stop_timeout,
        shell: config.shell,
        host_config: Some(host_config),
        networking_config: None,
    }
}

/// The limits that docker dropped because the kernel has no means for them.
async fn no_limits(docker: &Docker, body: &ContainerCreateBody) -> Result<Vec<String>> {
    let config = body.host_config.clone().unwrap_or_default();
    let has = |limit: Option<i64>| limit.is_some_and(|limit| limit > 0);
    if has(config.memory) && has(config.pids_limit) {
        return Ok(Vec::new());
    }
    // Docker looks here, too, and when it is asked it starts runc for its version besides.
    if let Ok(known) = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        let known: Vec<_> = known.split_whitespace().collect();
        let missing = ["memory", "pids"].into_iter().filter(|limit| !known.contains(limit));
        return Ok(missing.map(str::to_owned).collect());
    }
    let info = docker.info().await.map_err(said).context("ask docker for the host's limits")?;
    let limits = [("memory", info.memory_limit), ("pids", info.pids_limit)];
    let missing = limits.iter().filter(|(_, works)| *works == Some(false));
    Ok(missing.map(|(name, _)| (*name).to_owned()).collect())
}
