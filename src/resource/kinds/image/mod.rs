//! A docker image: loaded from an archive, or pulled. A tag that has moved upstream is not pulled
//! again, so that a second run changes nothing.

mod image_layers;
mod registry;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bollard::Docker;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptions, RemoveImageOptions,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
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

    fn diff(&self, state: &ImageState, _: &Host) -> Result<Option<Change>> {
        let source = match &self.archive {
            Some(_) => "archive",
            None => "registry",
        };
        let change =
            Change::new(self.id(), Action::Create).attribute("from", None, Some(source.to_owned()));
        Ok(match state {
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

    fn digest(&self, state: &ImageState, _: &Host) -> Option<String> {
        match state {
            ImageState::Present(id) => Some(id.clone()),
            _ => None,
        }
    }

    async fn apply(&self, _: &ImageState, host: &Host) -> Result<()> {
        let docker = docker::require_started(host).await?;
        if id_of(docker, &self.reference).await?.is_some() {
            return Ok(());
        }
        match &self.archive {
            Some(archive) => load(self, docker, archive, host).await,
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
        if *before == ImageState::Absent {
            // Without force docker keeps an image that a container uses.
            found(docker.remove_image(&self.reference, None::<RemoveImageOptions>, None).await)
                .with_context(|| format!("remove image `{}`", self.reference))?;
        }
        Ok(())
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
        Self { reference, archive, login: None, variable, series: None }
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

async fn load(image: &Image, docker: &Docker, archive: &Blob, host: &Host) -> Result<()> {
    let reference = image.reference.as_str();
    let sent = Arc::new(AtomicU64::new(0));
    let body = body_of(host.open_blob(archive)?, Arc::clone(&sent));
    let answers = docker.import_image_stream(ImportImageOptions::default(), body, None);
    let mut answers = Box::pin(answers);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let mut loaded = Vec::new();
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                None => break,
                Some(answer) => {
                    let answer = answer.map_err(said).context("load the image archive").hint(
                        "make the archive with `docker save -o FILE IMAGE`",
                    )?;
                    loaded.extend(answer.stream.as_deref().and_then(loaded_name));
                }
            },
            _ = tick.tick() => {
                let sent = sent.load(Ordering::Relaxed) as f64;
                host.progress(fraction(sent, archive.size as f64), "loading its archive");
            }
        }
    }
    if id_of(docker, reference).await?.is_some() {
        return Ok(());
    }
    let had = if loaded.is_empty() { "no image".to_owned() } else { loaded.join("`, `") };
    Err(anyhow!("the image archive has `{had}`, and not `{reference}`")).hint(format!(
        "set `{}` to the name in the archive, or save the right image",
        image.setting("image")
    ))
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

/// `Loaded image: redis:7` and `Loaded image ID: sha256:…`, as docker says it.
fn loaded_name(line: &str) -> Option<String> {
    let name = line.trim().strip_prefix("Loaded image")?;
    Some(name.strip_prefix(" ID").unwrap_or(name).strip_prefix(": ")?.to_owned())
}

/// Which part of `total` is done; `None` where there is nothing to do.
#[allow(clippy::cast_possible_truncation, reason = "a fraction for a progress bar")]
pub(in crate::resource) fn fraction(done: f64, total: f64) -> Option<f32> {
    (total > 0.0).then(|| (done / total).clamp(0.0, 1.0) as f32)
}

/// A reader's bytes, read piece by piece on a thread that may block.
fn body_of(
    mut reader: Box<dyn Read + Send>,
    sent: Arc<AtomicU64>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; 256 * 1024];
            let piece = reader.read(&mut piece).map(|length| {
                piece.truncate(length);
                Bytes::from(piece)
            });
            if piece.as_ref().is_ok_and(Bytes::is_empty) {
                return;
            }
            sent.fetch_add(piece.as_ref().map_or(0, |p| p.len() as u64), Ordering::Relaxed);
            // An error goes on to docker's request and ends it.
            let ends = piece.is_err();
            if sender.blocking_send(piece).is_err() || ends {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_archive_is_streamed_whole() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| i.to_le_bytes()[1]).collect();
        let sent = Arc::new(AtomicU64::new(0));
        let body = body_of(Box::new(std::io::Cursor::new(bytes.clone())), Arc::clone(&sent));
        let pieces: Vec<_> = body.map(Result::unwrap).collect().await;
        assert_eq!(pieces.concat(), bytes);
        assert_eq!(sent.load(Ordering::Relaxed), 1_000_000);
    }

    #[test]
    fn names_are_found_in_what_docker_says() {
        assert_eq!(loaded_name("Loaded image: redis:7\n").as_deref(), Some("redis:7"));
        assert_eq!(loaded_name("Loaded image ID: sha256:1\n").as_deref(), Some("sha256:1"));
        assert_eq!(loaded_name("other"), None);
    }
}
