//! Where the Redis of a part is: asked over its socket, which no other user of the host can take.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bollard::query_parameters::InspectContainerOptions;

use crate::engine::host_secret;
use crate::resource::container::redis::RedisClient;
use crate::resource::{Advise as _, Host, require_docker};
use crate::spec::PartSpec;

/// Where Redis is, as the settings of its part say.
pub(super) struct Place<'a> {
    /// Its container.
    pub(super) container: &'a str,
    /// Its socket on the host.
    socket: &'a Path,
    /// The name of the host's secret that is its password.
    password: &'a str,
}

impl<'a> Place<'a> {
    /// Takes the settings `container`, `socket` and `password`.
    pub(super) fn of(part: &'a PartSpec) -> Result<Self> {
        let setting = |name: &str| {
            let value = part.settings.get(name).map(String::as_str);
            value.with_context(|| format!("the spec of `{}` has no setting `{name}`", part.name))
        };
        Ok(Self {
            container: setting("container")?,
            socket: Path::new(setting("socket")?),
            password: setting("password")?,
        })
    }

    /// Connects to Redis and gives the password.
    pub(super) async fn connect(&self, host: &Host) -> Result<RedisClient> {
        let password = host_secret(host, self.password)?;
        RedisClient::connect(self.socket, password.expose()).await
    }

    /// The folder on the host that the container has its data in.
    pub(super) async fn folder(&self, host: &Host) -> Result<PathBuf> {
        let docker = require_docker(host).await?;
        let options = None::<InspectContainerOptions>;
        let found = docker.inspect_container(self.container, options).await;
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
