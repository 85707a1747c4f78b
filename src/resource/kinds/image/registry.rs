//! Whether a host reaches the registry of an image, and that has the image. It is asked in the plan, before apt and everything
//! else takes its time.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Image;
use crate::resource::host::Host;
use crate::resource::host::docker::{self, Daemon};
use crate::resource::model::hint::Advise;

/// How long a registry may take to accept a connection. Over a slow network that takes a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a registry may take to say whether it has an image.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Where Docker looks for an image whose name begins with no registry.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Fails if the host cannot connect to the registry. Passes if the host's Docker has its own way there.
/// `archive` is the variable of the inventory that can have the image as a file.
pub(super) async fn require_reachable(reference: &str, archive: &str, host: &Host) -> Result<()> {
    if has_own_way(host) {
        return Ok(());
    }
    let (name, port) = registry_of(reference);
    connect(&name, port, host)
        .await
        .map(drop)
        .with_context(|| format!("the host does not reach the registry `{name}:{port}`"))
        .hint(format!(
            "let the host through to the registry, or give the image as a file made by `docker save`: \
             `{archive}` in the inventory"
        ))
}

impl Image {
    /// Fails if the registry says that it has no such image, or none for this login. What else is wrong with the registry,
    /// Docker tells when it pulls.
    pub(super) async fn require_known(&self, host: &Host) -> Result<()> {
        // A verb that needs no passwords has looked none up.
        if self.login.as_ref().is_some_and(|login| login.password.expose().is_empty()) {
            return Ok(());
        }
        let docker = match docker::daemon(host).await? {
            Daemon::Up(docker) => docker,
            Daemon::Absent | Daemon::Down if has_own_way(host) => return Ok(()),
            Daemon::Absent | Daemon::Down => return self.require_in_registry(host).await,
        };
        let asked = docker.inspect_registry_image(&self.reference, self.credentials());
        match timeout(REGISTRY_TIMEOUT, asked).await {
            Ok(Err(Error::DockerResponseServerError {
                status_code: 401 | 403 | 404,
                message,
                ..
            })) => Err(anyhow!("docker says: {}", message.trim())).hint(format!(
                "check the name and tag in `{}`, and that the login in `{}` has permission to pull it",
                self.setting("image"),
                self.setting("registry")
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn credentials(&self) -> Option<DockerCredentials> {
        self.login.as_ref().map(|login| DockerCredentials {
            username: Some(login.user.clone()),
            password: Some(login.password.expose().to_owned()),
            serveraddress: Some(address_of(&self.reference)),
            ..DockerCredentials::default()
        })
    }
}

/// What Docker knows the registry of an image by.
fn address_of(reference: &str) -> String {
    match registry_of(reference) {
        (name, _) if name == DOCKER_HUB => "https://index.docker.io/v1/".to_owned(),
        (name, 443) => name,
        (name, port) if name.contains(':') => format!("[{name}]:{port}"),
        (name, port) => format!("{name}:{port}"),
    }
}

/// Returns the name and port of the registry in an image's name.
pub(super) fn registry_of(reference: &str) -> (String, u16) {
    let first = reference.split_once('/').map(|(first, _)| first);
    let Some(registry) = first.filter(|first| first.contains(['.', ':']) || *first == "localhost")
    else {
        return (DOCKER_HUB.to_owned(), 443);
    };
    match registry.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) => (name.trim_matches(['[', ']']).to_owned(), port),
        _ if matches!(registry, "docker.io" | "index.docker.io") => (DOCKER_HUB.to_owned(), 443),
        _ => (registry.to_owned(), 443),
    }
}

/// Whether Docker goes through a proxy or asks a mirror first.
fn has_own_way(host: &Host) -> bool {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default().to_lowercase();
    let drop_ins = host.path(Path::new("/etc/systemd/system/docker.service.d"));
    let drop_ins = fs::read_dir(drop_ins).into_iter().flatten().flatten();
    let daemon = read(&host.path(Path::new("/etc/docker/daemon.json")));
    daemon.contains("proxies")
        || daemon.contains("registry-mirrors")
        || drop_ins.map(|file| read(&file.path())).any(|text| text.contains("https_proxy"))
        || read(&host.path(Path::new("/etc/default/docker"))).contains("https_proxy")
}

pub(super) async fn connect(name: &str, port: u16, host: &Host) -> Result<TcpStream> {
    let mut last = anyhow!("`{name}` has no address");
    for address in addresses(name, host).await? {
        let connecting = TcpStream::connect(SocketAddr::new(address, port));
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = anyhow!("{address}: {error}"),
            Err(_) => last = anyhow!("{address}: no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        }
    }
    Err(last)
}

/// Returns one address of each family. getent(1) resolves names as Docker does; a static binary cannot.
async fn addresses(name: &str, host: &Host) -> Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let output = host.output("getent", &["ahosts", name]).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    let all = told.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = all.partition(IpAddr::is_ipv4);
    Ok(v4.first().into_iter().chain(v6.first()).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_in_the_name() {
        for (reference, name, port) in [
            ("redis:7-alpine", DOCKER_HUB, 443),
            ("bitnami/redis:7", DOCKER_HUB, 443),
            ("docker.io/library/redis", DOCKER_HUB, 443),
            ("ghcr.io/a/redis@sha256:0", "ghcr.io", 443),
            ("localhost/redis", "localhost", 443),
            ("127.0.0.1:5000/redis:7", "127.0.0.1", 5000),
            ("[2001:db8::1]:5000/redis", "2001:db8::1", 5000),
        ] {
            assert_eq!(registry_of(reference), (name.to_owned(), port), "{reference}");
        }
    }
}
