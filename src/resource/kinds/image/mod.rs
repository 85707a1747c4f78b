//! A docker image: loaded from an archive, or pulled. A tag that has moved upstream is not pulled
//! again, so that a second run changes nothing.

mod archive;
mod existence;
mod image_layers;
mod registry;

use anyhow::{Context, Result, anyhow};
use bollard::Docker;
use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptions};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::docker::{self, Daemon, NOT_KNOWN_BEFORE, NOT_RUNNING, found, said};
use crate::resource::kinds::image::image_layers::Layers;
use crate::resource::kinds::kind::Kind;
use crate::resource::model::blob::Blob;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::hint::Advise;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};
use crate::resource::model::secret::Secret;

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name, such as `redis:7-alpine`.
    pub reference: String,
    /// Where it comes from, as `docker save` writes it; without one it is pulled.
    pub archive: Option<Blob>,
    /// What tells the image in the archive from one of the same name in another archive, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<String>,
    /// Who the registry is told is pulling. Never kept on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<RegistryLogin>,
    /// The variable of the inventory that names it, such as `containers.db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// What has a new image with each of its versions, such as `apps.shop`. The image of the version before stays on the
    /// host then, for the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
}

/// A login to a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// The user.
    pub user: String,
    /// The user's password or token.
    pub password: Secret,
}

/// What docker has by the image's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageState {
    /// Nothing, or there is no docker.
    Absent,
    /// Docker does not run.
    Down,
    /// An image with this id.
    Present(String),
}

impl Kind for Image {
    type State = ImageState;

    const WORD: &'static str = "image";

    fn id(&self) -> Id {
        Id::new(Self::WORD, &self.reference)
    }

    fn named(name: &str) -> Option<Self> {
        Some(Self::named_in(name, None, None))
    }

    fn profile(&self) -> Profile<'_> {
        // A pull needs the certificates as well.
        let needs = match self.archive {
            Some(_) => Needs::Package(docker::PACKAGE),
            None => Needs::AllPackages,
        };
        Profile {
            place: Place::Nowhere,
            target: None,
            written: [None, None],
            bytes: 0,
            blob: self.archive.as_ref(),
            inputs: &[],
            needs,
            pace: Pace::Fetch,
            is_data: false,
            risk: Risk::None,
            undo: Undo::Stored,
            series: self.series.as_deref(),
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        Self { login: None, ..self.clone() }
    }

    async fn read(&self, host: &Host) -> Result<ImageState> {
        let docker = match docker::daemon(host).await? {
            Daemon::Absent => return Ok(ImageState::Absent),
            Daemon::Down => return Ok(ImageState::Down),
            Daemon::Up(docker) => docker,
        };
        Ok(id_of(docker, &self.reference).await?.map_or(ImageState::Absent, ImageState::Present))
    }

    fn diff(&self, state: &ImageState, host: &Host) -> Result<Option<Change>> {
        let source = match &self.archive {
            Some(_) => "archive",
            None => "registry",
        };
        let change =
            Change::new(self.id(), Action::Create).attribute("from", None, Some(source.to_owned()));
        Ok(match state {
            ImageState::Present(id) if self.has_another_archive(id, host) => {
                let before = Some("archive of before".to_owned());
                let change = Change::new(self.id(), Action::Update);
                Some(change.attribute("from", before, Some("another archive".to_owned())))
            }
            ImageState::Present(_) => None,
            ImageState::Absent => Some(change),
            ImageState::Down => {
                let mut change = change.because(NOT_RUNNING);
                change.not_undone = Some(NOT_KNOWN_BEFORE.to_owned());
                Some(change)
            }
        })
    }

    async fn require(&self, state: &ImageState, host: &Host) -> Result<()> {
        match (state, &self.archive) {
            (ImageState::Absent, None) => {
                let cannot = || format!("`{}` cannot be pulled", self.setting("image"));
                registry::require_reachable(&self.reference, &self.setting("image_archive"), host)
                    .await
                    .with_context(cannot)?;
                self.require_known(host).await.with_context(cannot)
            }
            _ => Ok(()),
        }
    }

    fn digest(&self, state: &ImageState, host: &Host) -> Option<String> {
        match state {
            // Its id is known once the new archive is loaded.
            ImageState::Present(id) => (!self.has_another_archive(id, host)).then(|| id.clone()),
            _ => None,
        }
    }

    fn digest_now(&self, state: &ImageState, _: &Host) -> Option<String> {
        match state {
            ImageState::Present(id) => Some(id.clone()),
            _ => None,
        }
    }

    async fn apply(&self, _: &ImageState, host: &Host) -> Result<()> {
        let docker = docker::require_started(host).await?;
        let now = id_of(docker, &self.reference).await?;
        if now.is_some_and(|id| !self.has_another_archive(&id, host)) {
            return Ok(());
        }
        match &self.archive {
            Some(archive) => archive::load(self, docker, archive, host).await,
            None => pull(self, docker, host).await,
        }
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &ImageState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &ImageState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &ImageState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &ImageState, host: &Host) -> Result<()> {
        let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(()) };
        let now = id_of(docker, &self.reference).await?;
        match (before, now) {
            (ImageState::Absent, Some(id)) => {
                // Without force docker keeps an image that a container uses.
                found(docker.remove_image(&self.reference, None::<RemoveImageOptions>, None).await)
                    .with_context(|| format!("remove image `{}`", self.reference))?;
                host.keep_no_longer(&archive::record(&self.reference, &id))
            }
            (ImageState::Present(before), Some(now)) if *before != now => {
                archive::name(docker, before, &self.reference).await
            }
            _ => Ok(()),
        }
    }

    async fn diff_back(&self, now: &ImageState, to: &ImageState, host: &Host) -> Result<Back> {
        Ok(match (now, to) {
            (ImageState::Present(id), ImageState::Absent) => {
                if let Some(user) = used_by_others(host, id).await? {
                    return Ok(Back::Kept(format!("container `{user}` uses it")));
                }
                let mut change = Change::new(self.id(), Action::Remove);
                change.not_undone = Some("the image: `hwctl provision` brings it".to_owned());
                Back::Change(change)
            }
            (ImageState::Absent, ImageState::Present(_)) if self.series.is_some() => {
                Back::Kept("it is of an older version, and is no longer on the host".to_owned())
            }
            (ImageState::Absent, ImageState::Present(_)) => {
                return Err(anyhow!(
                    "image `{}` is gone and cannot be brought back",
                    self.reference
                ))
                .hint("`hwctl provision` makes the whole stack again");
            }
            (ImageState::Present(id), ImageState::Present(before)) if id != before => {
                let docker = docker::require(host).await?;
                match id_of(docker, before).await? {
                    None => Back::Kept("the image of before is no longer on the host".to_owned()),
                    Some(_) => Back::Change(Change::new(self.id(), Action::Update).attribute(
                        "image",
                        Some(short(id)),
                        Some(short(before)),
                    )),
                }
            }
            (ImageState::Down, _) => docker::require(host).await.map(|_| Back::Nothing)?,
            _ => Back::Nothing,
        })
    }
}

impl Image {
    /// An image that is loaded from an archive or pulled, without a login.
    #[must_use]
    pub fn named_in(
        reference: impl Into<String>,
        archive: Option<Blob>,
        variable: Option<&str>,
    ) -> Self {
        let (reference, variable) = (reference.into(), variable.map(str::to_owned));
        Self { reference, archive, archived: None, login: None, variable, series: None }
    }

    /// Whether the image with this id was loaded from another archive than the declared one.
    fn has_another_archive(&self, id: &str, host: &Host) -> bool {
        let Some(archived) = &self.archived else { return false };
        let loaded = std::fs::read_to_string(host.kept_path(&archive::record(&self.reference, id)));
        loaded.is_ok_and(|loaded| loaded != *archived)
    }

    /// What messages call the variable of one of its settings.
    fn setting(&self, key: &str) -> String {
        self.variable
            .as_ref()
            .map_or_else(|| key.to_owned(), |variable| format!("{variable}.{key}"))
    }
}

async fn pull(image: &Image, docker: &Docker, host: &Host) -> Result<()> {
    let reference = image.reference.as_str();
    // Without a tag docker would pull every tag there is.
    let name = reference.rsplit('/').next().unwrap_or_default();
    let whole = if name.contains([':', '@']) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    };
    host.progress(None, "asking the registry");
    let options = CreateImageOptionsBuilder::new().from_image(&whole).build();
    let mut answers = Box::pin(docker.create_image(Some(options), None, image.credentials()));
    let mut layers = Layers::default();
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(said).with_context(|| format!("pull image `{whole}`")).hint(format!(
            "see that the name is right, that the host reaches the registry and may pull, or give the image as a \
             file made by `docker save`: `{}` in the inventory",
            image.setting("image_archive")
        ))?;
        if layers.hear(&answer) {
            let (told, fraction) = layers.told();
            host.progress(fraction, told);
        }
    }
    match id_of(docker, reference).await? {
        Some(_) => Ok(()),
        None => Err(anyhow!("image `{whole}` is not there after it was pulled")),
    }
}

/// A container that runs an image and was not made by hwctl.
async fn used_by_others(host: &Host, id: &str) -> Result<Option<String>> {
    let others = docker::foreign_containers(host).await?;
    Ok(others.into_iter().find(|(_, image)| image == id).map(|(name, _)| name))
}

/// The id of the image that a name stands for.
pub(in crate::resource) async fn id_of(docker: &Docker, reference: &str) -> Result<Option<String>> {
    let image = found(docker.inspect_image(reference).await)
        .with_context(|| format!("look at image `{reference}`"))?;
    Ok(image.and_then(|image| image.id))
}

/// Which part of `total` is done; `None` where there is nothing to do.
#[allow(clippy::cast_possible_truncation, reason = "a fraction for a progress bar")]
pub(in crate::resource) fn fraction(done: f64, total: f64) -> Option<f32> {
    (total > 0.0).then(|| (done / total).clamp(0.0, 1.0) as f32)
}

/// An id of an image as people read it.
fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}
