//! Redis of this host, asked over its socket, which no other user of the host can take.

use std::path::PathBuf;

use anyhow::{Context, Result};
use bollard::query_parameters::InspectContainerOptions;
use serde::{Deserialize, Serialize};

use crate::resource::redis::RedisClient;
use crate::resource::{Advise as _, Host, Secret, require_docker};

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisPlace {
    /// Its container.
    pub container: String,
    /// Its socket on the host.
    pub socket: PathBuf,
    /// The name of the host's secret that is its password.
    pub password: String,
}

impl RedisPlace {
    /// The folder on the host that the container has its data in.
    pub(super) async fn folder(&self, host: &Host) -> Result<PathBuf> {
        let docker = require_docker(host).await?;
        let options = None::<InspectContainerOptions>;
        let found = docker.inspect_container(&self.container, options).await;
        let found = found.with_context(|| format!("look at the container `{}`", self.container));
        let found = found.hint("`hwctl provision` makes the stack")?;
        let mounts = found.mounts.unwrap_or_default().into_iter();
        let mut data = mounts.filter(|mount| mount.destination.as_deref() == Some("/data"));
        let source = data.next().and_then(|mount| mount.source);
        source.map(PathBuf::from).with_context(|| {
            format!("the container `{}` has no folder for its data", self.container)
        })
    }
}

/// A secret that this host has made for itself.
pub fn host_secret(host: &Host, name: &str) -> Result<Secret> {
    let path = host.state_dir().join("secrets").join(name);
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("read `{}`", path.display()));
    Ok(Secret::new(text.hint("`hwctl provision` makes the stack")?.trim()))
}

/// Connects to the host's Redis and gives the password.
pub(super) async fn connect(host: &Host, place: &RedisPlace) -> Result<RedisClient> {
    let password = host_secret(host, &place.password)?;
    RedisClient::connect(&place.socket, password.expose()).await
}
