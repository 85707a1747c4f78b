//! Local files on their way to the host, while it works.

use std::future::pending;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::engine::{Emit, Stdin, send as send_request};
use super::sending::Sending;
use crate::engine::protocol::{CHUNK, Request};
use crate::event::EventKind;
use crate::failure::Failure;
use crate::resource::Blob;

/// Makes sure that each of them can be read, before anything begins. They are not kept open: there may be
/// more of them than a process may open.
pub(super) async fn require_readable(wanted: &[(Blob, PathBuf)]) -> Result<(), Failure> {
    for (_, path) in wanted {
        open(path)
            .await
            .map_err(|error| Failure::from(error).not_done("nothing was changed on the host"))?;
    }
    Ok(())
}

async fn open(path: &Path) -> Result<File> {
    File::open(path).await.with_context(|| format!("cannot open `{}`", path.display()))
}

/// Sends them, one after the other. Only what is wrong here is an error: of the host's end and the
/// connection's the host's answers tell.
pub(super) async fn send(
    uploads: &[(Blob, PathBuf)],
    stdin: &Stdin,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let broken = |error| Failure::from(error).not_done("the run did not go on: it is undone");
    for (blob, path) in uploads {
        let mut file = open(path).await.map_err(broken)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut sending = Sending::new(format!("sending {name}"), blob.size);
        loop {
            let bytes = chunk(&mut file)
                .await
                .with_context(|| format!("cannot read `{}`", path.display()))
                .map_err(broken)?;
            let last = bytes.len() < CHUNK;
            let (message, fraction) = sending.more(bytes.len());
            let request = Request::Chunk { key: blob.key.clone(), bytes, last };
            if send_request(stdin, &request).await.is_err() {
                return pending().await;
            }
            emit(EventKind::Step { message, fraction });
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
