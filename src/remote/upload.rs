//! Local files on their way to the host, while it works.

use std::future::pending;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::engine::{Stdin, Tell, send as send_request};
use super::sending::Sending;
use crate::engine::protocol::{CHUNK, Request};
use crate::event::What;
use crate::failure::Failure;
use crate::resource::Blob;

/// A file that the host wants.
pub(super) struct Upload<'a> {
    blob: &'a Blob,
    path: &'a Path,
    file: File,
}

/// Opens all of them, before anything begins.
pub(super) async fn open(wanted: &[(Blob, PathBuf)]) -> Result<Vec<Upload<'_>>, Failure> {
    let mut uploads = Vec::new();
    for (blob, path) in wanted {
        let file = File::open(path).await;
        let file = file
            .with_context(|| format!("cannot open `{}`", path.display()))
            .map_err(|error| Failure::from(error).not_done("nothing was changed on the host"))?;
        uploads.push(Upload { blob, path, file });
    }
    Ok(uploads)
}

/// Sends them, one after the other. Only what is wrong here is an error: of the host's end and the
/// connection's the host's answers tell.
pub(super) async fn send(
    uploads: Vec<Upload<'_>>,
    stdin: &Stdin,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    for Upload { blob, path, mut file } in uploads {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut sending = Sending::new(format!("sending {name}"), blob.size);
        loop {
            let bytes = chunk(&mut file)
                .await
                .with_context(|| format!("cannot read `{}`", path.display()))
                .map_err(|error| {
                    Failure::from(error).not_done("the run did not go on: it is undone")
                })?;
            let last = bytes.len() < CHUNK;
            let (message, fraction) = sending.more(bytes.len());
            let request = Request::Chunk { key: blob.key.clone(), bytes, last };
            if send_request(stdin, &request).await.is_err() {
                return pending().await;
            }
            tell(What::Step { message, fraction });
            if last {
                break;
            }
        }
    }
    Ok(())
}

/// The next bytes of a file; fewer than [`CHUNK`] at its end.
async fn chunk(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(CHUNK);
    file.take(CHUNK as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
