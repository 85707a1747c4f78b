//! The bytes that travel apart from resources: kept on the host until the run that needs them ends.

use std::fs;
use std::io::{Cursor, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use crate::resource::{Blob, Host, sha256};

/// What the binary carries for the host: bytes by the key of their blob.
#[derive(Clone, Copy, Debug)]
pub struct Bundle {
    /// The key of the API binary's blob.
    pub key: &'static str,
    /// The number of its bytes.
    pub size: u64,
    /// Its bytes, compressed with gzip.
    pub gzip: &'static [u8],
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from("/var/lib/hwctl/blobs")
}

/// Those of `blobs` that the host has to be sent.
pub(super) fn missing(blobs: &[Blob], bundle: Option<Bundle>) -> Vec<Blob> {
    let mut missing: Vec<Blob> = Vec::new();
    for blob in blobs {
        let bundled = bundle.is_some_and(|bundle| bundle.key == blob.key);
        let path = folder().join(&blob.key);
        let stored = fs::metadata(path).is_ok_and(|found| found.len() == blob.size);
        if !bundled && !stored && !missing.contains(blob) {
            missing.push(blob.clone());
        }
    }
    missing
}

/// Opens a blob for reading.
pub(super) fn open(blob: &Blob, bundle: Option<Bundle>) -> Result<Box<dyn Read + Send>> {
    if let Some(bundle) = bundle.filter(|bundle| bundle.key == blob.key) {
        return Ok(Box::new(flate2::read::GzDecoder::new(Cursor::new(bundle.gzip))));
    }
    let path = folder().join(&blob.key);
    let file = fs::File::open(&path).with_context(|| format!("open `{}`", path.display()))?;
    Ok(Box::new(file))
}

/// Adds a chunk to a blob; the last one gives it its name.
pub(super) fn keep_chunk(host: &Host, key: &str, bytes: &[u8], last: bool) -> Result<()> {
    let is_key = key.len() < 80 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_key {
        return Err(anyhow!("`{key}` is not the key of a blob"));
    }
    let folder = host.path(&folder());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let part = folder.join(format!("{key}.part"));
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&part)?;
    file.write_all(bytes).with_context(|| format!("write `{}`", part.display()))?;
    if !last {
        return Ok(());
    }
    if key.len() == 64 && sha256(&fs::read(&part)?) != key {
        fs::remove_file(&part)?;
        return Err(anyhow!("a blob arrived broken: its hash is not `{key}`"));
    }
    fs::rename(&part, folder.join(key)).with_context(|| format!("store blob `{key}`"))
}
