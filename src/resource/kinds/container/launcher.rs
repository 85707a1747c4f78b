//! A program's start with an environment that Docker does not show: hwctl itself is the first program of the
//! container. It reads the variables from a file that the container's user alone can read, and becomes the program.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, ImageConfig};

use super::{Container, ContainerState};
use crate::resource::host::Host;
use crate::resource::host::docker::{self, Daemon, found, said};
use crate::resource::kinds::image;
use crate::resource::model::hint::Advise;

/// The name by which hwctl knows that it shall start a container's program.
pub const LAUNCHER_NAME: &str = "hwctl-launch";
/// Where hwctl is inside.
pub const LAUNCHER: &str = "/.hwctl/hwctl-launch";
/// Where the variables are inside, as a file of systemd's `EnvironmentFile=`.
pub const ENVIRONMENT: &str = "/.hwctl/env";

impl Container {
    /// Completes what docker is asked for by what is known of the image alone.
    pub(super) async fn adapt_to_image(
        &self,
        docker: &Docker,
        body: &mut ContainerCreateBody,
    ) -> Result<()> {
        let image = docker.inspect_image(&self.image).await.map_err(said);
        let image = image.with_context(|| format!("look at image `{}`", self.image))?;
        let config = image.config.unwrap_or_default();
        self.require_volumes(config.volumes.iter().flatten().map(String::as_str))?;
        if self.is_launched {
            self.launch_by_hwctl(config, body)?;
        }
        Ok(())
    }

    /// Refuses an image whose data is kept where nothing is mounted, in a plan already where the host has the image and no
    /// archive may bring another one.
    pub(super) async fn require_known_volumes(
        &self,
        state: &ContainerState,
        host: &Host,
    ) -> Result<()> {
        let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(()) };
        if let ContainerState::Present(found) = state
            && (found.stale_image.is_none() && found.is_as_wanted(self)?)
        {
            return Ok(());
        }
        let Some(image) = found(docker.inspect_image(&self.image).await)? else { return Ok(()) };
        if image.id.is_some_and(|id| image::is_from_archive(&self.image, &id, host)) {
            return Ok(());
        }
        let volumes = image.config.and_then(|config| config.volumes).unwrap_or_default();
        self.require_volumes(volumes.iter().map(String::as_str))
    }

    /// Refuses an image that keeps data where nothing is mounted, at one of these `volumes`: Docker would give each new
    /// container a volume without a name, and what the one before had in its own would be lost to it.
    pub fn require_volumes<'a>(&self, mut volumes: impl Iterator<Item = &'a str>) -> Result<()> {
        let is_there = |path: &Path| {
            self.mounts.iter().any(|mount| mount.target == path)
                || self.tmpfs.iter().any(|target| target == path)
        };
        let missing = volumes.find(|path| !is_there(Path::new(path.trim_end_matches('/'))));
        let Some(path) = missing else { return Ok(()) };
        Err(anyhow!("image `{}` keeps data at `{path}`, and no volume is there", self.image)).hint(
            format!(
                "add `{}-data:{path}` to `{}`, or `{path}` to `{}` if the data need not last",
                self.declared_name(),
                self.setting("volumes"),
                self.setting("tmpfs")
            ),
        )
    }

    /// The name that the inventory has for it.
    fn declared_name(&self) -> &str {
        let variable = self.variable.as_deref().and_then(|variable| variable.rsplit_once('.'));
        variable.map_or(&self.name, |(_, name)| name)
    }

    /// Has hwctl start what the image, or the container's own command, says.
    fn launch_by_hwctl(&self, image: ImageConfig, body: &mut ContainerCreateBody) -> Result<()> {
        let user = image.user.unwrap_or_default();
        if self.user.is_none() && !is_root(&user) {
            return Err(anyhow!(
                "image `{}` runs as the user `{user}`, who cannot read the secrets in `{}`",
                self.image,
                self.setting("env")
            ))
            .hint(format!(
                "set `{}` to the number of that user, such as 999, and the secrets are readable for it",
                self.setting("user")
            ));
        }
        let mut words = body.entrypoint.take().or(image.entrypoint).unwrap_or_default();
        words.extend(body.cmd.take().or(image.cmd).unwrap_or_default());
        if words.is_empty() {
            bail!(
                "image `{}` starts no program, and `{}` names none",
                self.image,
                self.setting("command")
            );
        }
        body.entrypoint = Some(vec![LAUNCHER.to_owned()]);
        body.cmd = Some(words);
        Ok(())
    }
}

/// Whether the user of an image is root.
fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), None | Some("" | "0" | "root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_an_image_has_several_names() {
        for user in ["", "0", "root", "0:0", "root:daemon"] {
            assert!(is_root(user), "{user}");
        }
        for user in ["999", "postgres", "rooter", "1000:0"] {
            assert!(!is_root(user), "{user}");
        }
    }
}
