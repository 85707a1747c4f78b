//! A program's start with an environment that Docker does not show: hwctl itself is the first program of the
//! container. It reads the variables from a file that the container's user alone can read, and becomes the program.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, ImageConfig};

use super::Container;
use crate::resource::host::Host;
use crate::resource::host::docker::{self, Daemon, found, said};
use crate::resource::kinds::image::Image;
use crate::resource::kinds::kind::Kind as _;
use crate::resource::model::hint::Advise;
use crate::resource::model::id::Id;

/// The name by which hwctl knows that it shall start a container's program.
pub const LAUNCHER_NAME: &str = "hwctl-launch";
/// Where hwctl is inside.
pub const LAUNCHER: &str = "/.hwctl/hwctl-launch";
/// Where the variables are inside, as a file of systemd's `EnvironmentFile=`.
pub const ENVIRONMENT: &str = "/.hwctl/env";

/// Where images keep data, by their names.
type Noted = RefCell<HashMap<String, Vec<String>>>;

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

    /// Notes where the image keeps data that the host has now, for [`Self::require_noted_volumes`].
    pub(super) async fn note_volumes(&self, host: &Host) -> Result<()> {
        let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(()) };
        let noted = host.cached::<Noted>();
        if noted.borrow().contains_key(&self.image) {
            return Ok(());
        }
        let Some(image) = found(docker.inspect_image(&self.image).await)? else { return Ok(()) };
        let volumes = image.config.and_then(|config| config.volumes).unwrap_or_default();
        noted.borrow_mut().insert(self.image.clone(), volumes);
        Ok(())
    }

    /// Refuses an image that keeps data where nothing is mounted, in a plan already, where the host has the image and the
    /// plan brings no other one.
    pub(super) fn require_noted_volumes(&self, host: &Host) -> Result<()> {
        let image = Id::new(Image::WORD, &self.image);
        if host.first_changed(std::slice::from_ref(&image)).is_some() {
            return Ok(());
        }
        let noted = host.cached::<Noted>();
        let noted = noted.borrow();
        self.require_volumes(noted.get(&self.image).into_iter().flatten().map(String::as_str))
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
