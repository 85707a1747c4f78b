//! Loading an image from an archive. An archive brings all the names that it has, so what they stood for is noted before.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bollard::Docker;
use bollard::query_parameters::{
    ImportImageOptions, ListImagesOptions, RemoveImageOptions, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::{Image, fraction, id_of};
use crate::resource::host::Host;
use crate::resource::host::docker::{found, said};
use crate::resource::model::blob::Blob;
use crate::resource::model::digest::sha256;
use crate::resource::model::hint::Advise;

/// The record of which archive the image of this name was loaded from when it has this id.
pub(super) fn record(reference: &str, id: &str) -> String {
    format!("image-{}", &sha256(format!("{reference} {id}").as_bytes())[..16])
}

pub(super) async fn load(
    image: &Image,
    docker: &Docker,
    archive: &Blob,
    host: &Host,
) -> Result<()> {
    let reference = image.reference.as_str();
    let before = names(docker).await?;
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
    if loaded.iter().any(|name| is_called(name, reference))
        && let Some(id) = id_of(docker, reference).await?
    {
        return match &image.archived {
            Some(archived) => host.keep_between_runs(&record(reference, &id), archived.as_bytes()),
            None => host.keep_no_longer(&record(reference, &id)),
        };
    }
    give_names_back(docker, &loaded, &before).await?;
    let had = if loaded.is_empty() { "no image".to_owned() } else { loaded.join("`, `") };
    Err(anyhow!("the image archive has `{had}`, and not `{reference}`")).hint(format!(
        "set `{}` to the name in the archive, or save the right image",
        image.setting("image")
    ))
}

/// The ids of all images by their names.
async fn names(docker: &Docker) -> Result<HashMap<String, String>> {
    let images = docker.list_images(None::<ListImagesOptions>).await;
    let images = images.map_err(said).context("list the images")?;
    let named = |image: bollard::models::ImageSummary| {
        let id = image.id;
        image.repo_tags.into_iter().map(move |name| (name, id.clone()))
    };
    Ok(images.into_iter().flat_map(named).collect())
}

/// Has names that an archive has brought stand for what they stood for before.
async fn give_names_back(
    docker: &Docker,
    loaded: &[String],
    before: &HashMap<String, String>,
) -> Result<()> {
    for loaded in loaded {
        match before.get(loaded) {
            Some(id) => name(docker, id, loaded).await?,
            None => found(docker.remove_image(loaded, None::<RemoveImageOptions>, None).await)
                .with_context(|| format!("remove image `{loaded}`"))
                .map(drop)?,
        }
    }
    Ok(())
}

/// Has a name stand for the image with this id.
pub(super) async fn name(docker: &Docker, id: &str, reference: &str) -> Result<()> {
    let (repo, tag) = match reference.rsplit_once(':') {
        Some((repo, tag)) if !tag.contains('/') => (repo, tag),
        _ => (reference, "latest"),
    };
    let options = TagImageOptionsBuilder::new().repo(repo).tag(tag).build();
    let named = docker.tag_image(id, Some(options)).await;
    named.map_err(said).with_context(|| format!("name image `{reference}`"))
}

/// Whether what Docker has loaded is what `reference` asks for, which may lack a tag.
fn is_called(loaded: &str, reference: &str) -> bool {
    let without_registry = |name: &str| {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name).to_owned()
    };
    let (loaded, reference) = (without_registry(loaded), without_registry(reference));
    loaded == reference || loaded == format!("{reference}:latest")
}

/// `Loaded image: redis:7` and `Loaded image ID: sha256:…`, as docker says it.
fn loaded_name(line: &str) -> Option<String> {
    let name = line.trim().strip_prefix("Loaded image")?;
    Some(name.strip_prefix(" ID").unwrap_or(name).strip_prefix(": ")?.to_owned())
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

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert!(is_called("redis:7", "redis:7"));
        assert!(is_called("redis:latest", "redis"));
        assert!(is_called("redis:7", "docker.io/library/redis:7"));
        assert!(!is_called("redis:7", "redis:8"));
    }
}
