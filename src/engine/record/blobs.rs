//! Bytes that travel apart from the plan: asked for, received, kept until the run has used them.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{Cursor, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail};
use lzma_rust2::XzReader;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::Receiver;

use crate::engine::protocol::Request;
use crate::resource::{Blob, hex};

/// What the binary carries for the host: bytes by the key of their blob.
#[derive(Clone, Copy, Debug)]
pub struct Bundle {
    /// The key of the API binary's blob.
    pub key: &'static str,
    /// The number of its bytes.
    pub size: u64,
    /// Its bytes, compressed with xz.
    pub xz: &'static [u8],
}

/// Where they are kept, for root alone.
pub(in crate::engine) const FOLDER: &str = "/var/lib/hwctl/blobs";

/// A smaller blob is sent again in a later session: that is sooner done than it is synced.
const WORTH_SYNCING: u64 = 1 << 20;

/// The blobs of one session: only what a plan wants is taken, and no more of it than it has.
#[derive(Debug, Default)]
pub(in crate::engine) struct Blobs {
    folder: PathBuf,
    bundle: Option<Bundle>,
    /// What is still to come, by its key.
    wanted: HashMap<String, Blob>,
    /// The keys of what has come in this session.
    received: HashSet<String>,
    receiving: Option<Receiving>,
}

/// One blob on its way, in `<key>.part`.
#[derive(Debug)]
struct Receiving {
    blob: Blob,
    part: PathBuf,
    file: File,
    digest: Sha256,
    received: u64,
}

impl Blobs {
    /// Kept in `folder`; `bundle` is what the binary itself carries.
    pub(in crate::engine) fn new(folder: impl Into<PathBuf>, bundle: Option<Bundle>) -> Self {
        Self { folder: folder.into(), bundle, ..Self::default() }
    }

    /// Those of `blobs` that have to be sent; from now on these and no others are taken.
    pub(in crate::engine) fn want(&mut self, blobs: &[Blob]) -> Result<Vec<Blob>> {
        self.receiving = None;
        self.wanted.clear();
        let mut wanted = Vec::new();
        for blob in blobs {
            let bundled = self.bundle.is_some_and(|bundle| bundle.key == blob.key);
            let stored = fs::metadata(path(&self.folder, &blob.key)?);
            let stored = stored.is_ok_and(|found| found.len() == blob.size)
                && (blob.size >= WORTH_SYNCING || self.received.contains(&blob.key));
            if !bundled && !stored && self.wanted.insert(blob.key.clone(), blob.clone()).is_none() {
                wanted.push(blob.clone());
            }
        }
        Ok(wanted)
    }

    /// Whether some that were asked for are not whole yet.
    fn are_coming(&self) -> bool {
        self.receiving.is_some() || !self.wanted.is_empty()
    }

    fn lacks(&self, blob: &Blob) -> bool {
        self.receiving.as_ref().is_some_and(|receiving| receiving.blob == *blob)
            || self.wanted.get(&blob.key) == Some(blob)
    }

    /// Opens a blob for reading.
    pub(in crate::engine) fn open(&self, blob: &Blob) -> Result<Box<dyn Read + Send>> {
        if let Some(bundle) = self.bundle.filter(|bundle| bundle.key == blob.key) {
            return Ok(Box::new(XzReader::new(Cursor::new(bundle.xz), false)));
        }
        let path = path(&self.folder, &blob.key)?;
        let file = File::open(&path).with_context(|| format!("open `{}`", path.display()))?;
        Ok(Box::new(file))
    }

    /// Adds a chunk to a wanted blob; the last one gives it its name.
    pub(in crate::engine) fn receive(&mut self, key: &str, bytes: &[u8], last: bool) -> Result<()> {
        let mut receiving = match self.receiving.take() {
            Some(receiving) if receiving.blob.key == key => receiving,
            Some(receiving) => bail!("`{key}` comes within `{}`", receiving.blob.key),
            None => self.begin(key)?,
        };
        receiving.add(bytes)?;
        if last {
            receiving.finish(&path(&self.folder, key)?)?;
            self.received.insert(key.to_owned());
            return Ok(());
        }
        self.receiving = Some(receiving);
        Ok(())
    }

    /// Begins a blob anew: what an earlier session left of it is gone.
    fn begin(&mut self, key: &str) -> Result<Receiving> {
        let Some(blob) = self.wanted.remove(key) else {
            bail!("nobody asked for the blob {key:?}")
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("make `{}`", self.folder.display()))?;
        let part = path(&self.folder, key)?.with_added_extension("part");
        let file = File::create(&part).with_context(|| format!("write `{}`", part.display()))?;
        Ok(Receiving { blob, part, file, digest: Sha256::new(), received: 0 })
    }

    /// Removes all blobs: the run has used them.
    pub(in crate::engine) fn clear(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The blobs of a run, taken in while it goes on.
#[derive(Debug)]
pub(in crate::engine) struct Uploads {
    blobs: Rc<RefCell<Blobs>>,
    broken: OnceCell<String>,
}

impl Uploads {
    /// Of what was asked for nothing is here yet.
    pub(in crate::engine) fn new(blobs: Rc<RefCell<Blobs>>) -> Self {
        Self { blobs, broken: OnceCell::new() }
    }

    /// Takes in what was asked for, and no request of another kind.
    pub(in crate::engine) async fn receive(&self, requests: &mut Receiver<Result<Request>>) {
        while self.blobs.borrow().are_coming() {
            let taken = match requests.recv().await {
                Some(Ok(Request::Chunk { key, bytes, last })) => {
                    self.blobs.borrow_mut().receive(&key, &bytes, last)
                }
                Some(Ok(_)) => Err(anyhow!("the other end is not hwctl: it owes a blob")),
                Some(Err(error)) => Err(error),
                None => Err(anyhow!(
                    "the connection to the operator was lost before all files had arrived"
                )),
            };
            if let Err(error) = taken {
                let _ = self.broken.set(format!("{error:#}"));
                return;
            }
        }
    }

    /// Whether it was asked for, and is not whole yet.
    pub(in crate::engine) fn lack(&self, blob: &Blob) -> bool {
        self.blobs.borrow().lacks(blob)
    }

    /// Whether some are not whole yet; an error when they will never be.
    pub(in crate::engine) fn are_coming(&self) -> Result<bool> {
        match self.broken.get() {
            Some(why) => bail!("{why}"),
            None => Ok(self.blobs.borrow().are_coming()),
        }
    }
}

impl Receiving {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.received += bytes.len() as u64;
        let Blob { key, size } = &self.blob;
        if self.received > *size {
            bail!("the blob `{key}` has more than the {size} bytes that it should have");
        }
        self.digest.update(bytes);
        self.file.write_all(bytes).with_context(|| format!("write `{}`", self.part.display()))
    }

    fn finish(self, path: &Path) -> Result<()> {
        let Blob { key, size } = &self.blob;
        if self.received != *size {
            bail!("the blob `{key}` ends after {} of {size} bytes", self.received);
        }
        // The key of others is no hash of their bytes.
        if key.len() == 64 && hex(&self.digest.clone().finalize()) != *key {
            bail!("the blob `{key}` arrived broken: its hash is another");
        }
        // Its name and size are all that a later run knows it by: no power cut may come between.
        let synced = if *size < WORTH_SYNCING { Ok(()) } else { self.file.sync_all() };
        let stored = synced.and_then(|()| fs::rename(&self.part, path));
        stored.with_context(|| format!("store the blob `{key}`"))
    }
}

/// What did not arrive whole is of no use.
impl Drop for Receiving {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

/// Where a blob is kept; its key is a name and no path.
fn path(folder: &Path, key: &str) -> Result<PathBuf> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if key.is_empty() || key.len() > 80 || !key.bytes().all(fits) {
        bail!("{key:?} is not the key of a blob");
    }
    Ok(folder.join(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::sha256;

    fn blob(bytes: &[u8]) -> Blob {
        Blob { key: sha256(bytes), size: bytes.len() as u64 }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_wanted_arrives_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("blobs");
        let whole = blob(b"onetwo");
        // What a session that was cut left behind does not get into the next one's.
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(format!("{}.part", whole.key)), "left").unwrap();
        let mut blobs = Blobs::new(&folder, None);
        let wanted = blobs.want(&[whole.clone(), whole.clone()]).unwrap();
        assert_eq!(wanted, std::slice::from_ref(&whole));
        blobs.receive(&whole.key, b"one", false).unwrap();
        blobs.receive(&whole.key, b"two", true).unwrap();
        assert_eq!(names(&folder), [whole.key.as_str()]);
        let mut text = String::new();
        blobs.open(&whole).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "onetwo");
        assert!(blobs.receive(&whole.key, b"one", false).is_err());
        assert!(blobs.want(&[whole]).unwrap().is_empty());
        blobs.clear();
        assert!(!folder.exists());
    }

    #[test]
    fn what_is_wrong_is_refused_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("blobs");
        let right = blob(b"right");
        let refused = |chunks: &[(&str, &[u8], bool)], told: &str| {
            let mut blobs = Blobs::new(&folder, None);
            blobs.want(&[right.clone(), blob(b"other")]).unwrap();
            let results: Vec<_> =
                chunks.iter().map(|(key, bytes, last)| blobs.receive(key, bytes, *last)).collect();
            let error = results.last().unwrap().as_ref().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            drop(blobs);
            assert!(names(&folder).is_empty(), "{:?}", names(&folder));
        };
        let key = right.key.as_str();
        refused(&[("../../etc/x", b"x", true)], "nobody asked");
        refused(&[(&sha256(b"unasked"), b"x", true)], "nobody asked");
        refused(&[(key, b"wrong", true)], "its hash is another");
        refused(&[(key, b"rig", true)], "ends after 3 of 5");
        refused(&[(key, b"rig", false), (key, b"hting", false)], "more than the 5 bytes");
        refused(&[(key, b"rig", false), (&sha256(b"other"), b"o", false)], "comes within");
        for key in ["", "../x", "a/b", "a\0", &"a".repeat(81)] {
            let hostile = Blob { key: key.to_owned(), size: 1 };
            assert!(
                Blobs::new(&folder, None).want(std::slice::from_ref(&hostile)).is_err(),
                "{key:?}"
            );
            assert!(Blobs::new(&folder, None).open(&hostile).is_err(), "{key:?}");
        }
    }
}
