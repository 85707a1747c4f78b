//! The container as docker is asked to make it, and its properties by name.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount as DockerMount,
    MountType, PortBinding, PortMap, RestartPolicy, RestartPolicyNameEnum,
};

use super::{Container, MountSource};
use crate::resource::host::Host;
use crate::resource::host::docker::LABEL;

/// The label with the digest of what a container was started with.
pub(super) const DIGEST: &str = "org.hwctl.digest";

const SECOND: i64 = 1_000_000_000;

impl Container {
    /// What docker is asked to make.
    pub(super) fn body(&self, digest: &str) -> ContainerCreateBody {
        let labels =
            [(DIGEST.to_owned(), digest.to_owned()), (LABEL.to_owned(), "container".to_owned())];
        ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: (!self.command.is_empty()).then(|| self.command.clone()),
            env: (!self.env.is_empty())
                .then(|| self.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            user: self.user.clone(),
            labels: Some(labels.into()),
            exposed_ports: Some(self.ports.iter().map(|p| tcp(p.container_port)).collect()),
            healthcheck: self.healthcheck.as_ref().map(|test| HealthConfig {
                test: Some(std::iter::once("CMD").map(str::to_owned).chain(test.clone()).collect()),
                interval: Some(10 * SECOND),
                timeout: Some(3 * SECOND),
                retries: Some(3),
                start_period: Some(10 * SECOND),
                start_interval: None,
            }),
            host_config: Some(self.host_config()),
            ..Default::default()
        }
    }

    /// The same for a trial beside a container that serves: it sees what that one only reads, and
    /// has empty folders of its own in the place of all that it could write to.
    pub(super) fn trial_body(&self, digest: &str, host: &Host) -> ContainerCreateBody {
        let mut body = self.body(digest);
        let Some(config) = &mut body.host_config else { return body };
        // One that a crash leaves behind does not come back with the next boot.
        config.restart_policy = None;
        let tmpfs = config.tmpfs.get_or_insert_default();
        for mount in config.mounts.iter_mut().flatten() {
            if mount.typ == Some(MountType::VOLUME) {
                // Without a name docker makes a new one, which goes with the container.
                mount.source = None;
            }
        }
        for mount in self.mounts.iter().filter(|mount| !mount.read_only) {
            let MountSource::Path(path) = &mount.source else { continue };
            let options = match fs::metadata(host.path(path)) {
                Ok(found) if found.is_dir() => format!(
                    "rw,noexec,nosuid,nodev,size=64m,mode={:o},uid={},gid={}",
                    found.mode() & 0o7777,
                    found.uid(),
                    found.gid()
                ),
                // A file of its own is not to be had so: it is seen, and cannot be written.
                _ => continue,
            };
            tmpfs.insert(mount.target.display().to_string(), options);
        }
        for mount in config.mounts.iter_mut().flatten() {
            mount.read_only =
                Some(mount.read_only == Some(true) || mount.typ == Some(MountType::BIND));
        }
        let replaced: Vec<_> = tmpfs.keys().cloned().collect();
        let stays =
            |mount: &DockerMount| mount.target.as_ref().is_none_or(|t| !replaced.contains(t));
        config.mounts.iter_mut().for_each(|mounts| mounts.retain(stays));
        body
    }

    fn host_config(&self) -> HostConfig {
        let mut ports = PortMap::new();
        for port in &self.ports {
            let binding = PortBinding {
                host_ip: Some(port.host_address.to_string()),
                host_port: Some(port.host_port.to_string()),
            };
            ports
                .entry(tcp(port.container_port))
                .or_default()
                .get_or_insert_default()
                .push(binding);
        }
        let log = [("max-size", "10m"), ("max-file", "3")];
        let tmpfs = self.tmpfs.iter().map(|path| (path.display().to_string(), tmpfs_options(path)));
        HostConfig {
            mounts: Some(self.mounts.iter().map(docker_mount).collect()),
            tmpfs: Some(tmpfs.collect()),
            port_bindings: Some(ports),
            readonly_rootfs: Some(self.read_only_root),
            memory: Some(i64::from(self.memory_mib) * 1024 * 1024),
            pids_limit: Some(i64::from(self.pids)),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: (!self.capabilities.is_empty()).then(|| self.capabilities.clone()),
            network_mode: self.networks.first().cloned(),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(log.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            }),
            ..Default::default()
        }
    }
}

/// How a path inside is kept in memory. Docker gives a folder that the image lacks to root alone from the second start on,
/// unless its mode is said. Images bring the folders of the system.
fn tmpfs_options(path: &Path) -> String {
    let is_of_system = ["/tmp", "/run"].iter().any(|of_system| path == Path::new(of_system));
    let mode = if is_of_system { "" } else { ",mode=1777" };
    format!("rw,noexec,nosuid,nodev,size=64m{mode}")
}

fn tcp(port: u16) -> String {
    format!("{port}/tcp")
}

fn docker_mount(mount: &super::Mount) -> DockerMount {
    let (typ, source) = match &mount.source {
        MountSource::Volume(name) => (MountType::VOLUME, name.clone()),
        MountSource::Path(path) => (MountType::BIND, path.display().to_string()),
    };
    DockerMount {
        typ: Some(typ),
        source: Some(source),
        target: Some(mount.target.display().to_string()),
        read_only: Some(mount.read_only),
        ..Default::default()
    }
}

/// A container's properties by name. What may hold a secret is not among them: environment and
/// labels are left out.
pub(super) fn properties(body: &ContainerCreateBody) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            all.insert(name.to_owned(), value);
        }
    };
    add("image", body.image.clone());
    add("command", body.cmd.as_ref().map(|words| words.join(" ")));
    add("user", body.user.clone());
    let test = body.healthcheck.as_ref().and_then(|check| check.test.as_ref());
    add("health check", test.map(|words| words[1.min(words.len())..].join(" ")));
    let Some(config) = &body.host_config else { return all };
    add("read-only root", config.readonly_rootfs.map(yes));
    add("privileged", config.privileged.filter(|privileged| *privileged).map(yes));
    add("memory", config.memory.filter(|m| *m > 0).map(|m| format!("{} MiB", m / 1024 / 1024)));
    add("pids", config.pids_limit.filter(|pids| *pids > 0).map(|pids| pids.to_string()));
    let policy = config.restart_policy.as_ref().and_then(|policy| policy.name);
    add("restart policy", policy.map(|policy| policy.to_string()));
    add("dropped capabilities", config.cap_drop.as_ref().map(|caps| caps.join(" ").to_uppercase()));
    add("added capabilities", config.cap_add.as_ref().map(|caps| capabilities(caps)));
    add("security options", config.security_opt.as_ref().map(|options| options.join(" ")));
    add("log", config.log_config.as_ref().map(log_text));
    for (path, options) in config.tmpfs.iter().flatten() {
        add(&format!("tmpfs {path}"), Some(options.clone()));
    }
    for (port, binding) in config.port_bindings.iter().flatten().flat_map(bindings) {
        add(&format!("port {binding}"), Some(port));
    }
    for (target, source) in mounts(config) {
        add(&format!("mount {target}"), Some(source));
    }
    all
}

/// Capabilities as hwctl writes them: newer Dockers list them with a prefix, and in an order of their own.
fn capabilities(names: &[String]) -> String {
    let upper = names.iter().map(|name| name.to_uppercase());
    let mut names: Vec<_> =
        upper.map(|name| name.strip_prefix("CAP_").map_or(name.clone(), str::to_owned)).collect();
    names.sort();
    names.join(" ")
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn log_text(log: &HostConfigLogConfig) -> String {
    let options: BTreeMap<_, _> = log.config.iter().flatten().collect();
    let options: Vec<_> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {}", log.typ.as_deref().unwrap_or_default(), options.join(" ")).trim().to_owned()
}

/// Each port inside with each address of the host that leads to it.
fn bindings(
    (inside, bindings): (&String, &Option<Vec<PortBinding>>),
) -> impl Iterator<Item = (String, String)> {
    bindings.iter().flatten().map(|binding| {
        let address = binding.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
        let port = binding.host_port.as_deref().unwrap_or_default();
        (inside.clone(), format!("{address}:{port}"))
    })
}

/// Targets and sources, however the mounts were asked for.
fn mounts(config: &HostConfig) -> HashMap<String, String> {
    let mut all = HashMap::new();
    for mount in config.mounts.iter().flatten() {
        let read_only = if mount.read_only == Some(true) { ", read-only" } else { "" };
        let source = mount.source.clone().unwrap_or_default();
        all.insert(mount.target.clone().unwrap_or_default(), format!("{source}{read_only}"));
    }
    for bind in config.binds.iter().flatten() {
        let mut parts = bind.split(':');
        if let (Some(source), Some(target)) = (parts.next(), parts.next()) {
            let read_only = parts.next().is_some_and(|o| o.split(',').any(|o| o == "ro"));
            let read_only = if read_only { ", read-only" } else { "" };
            all.insert(target.to_owned(), format!("{source}{read_only}"));
        }
    }
    all
}
