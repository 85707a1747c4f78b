//! hwctl's binary as it travels: packed once for all hosts and runs, beside the first login.

use std::fs::{self, File};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use flate2::{Compression, write::GzEncoder};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::kept::state_folder;
use crate::resource::write_atomic;

/// Where it is in the operator's folder, alone.
const FOLDER: &str = "packed";
/// How much is sent at once, in bytes.
const PIECE: usize = 128 << 10;

/// A binary packed by gzip, which every host can unpack.
pub(super) struct Packed {
    bytes: Box<dyn AsyncRead + Send + Unpin>,
    /// How many bytes it has.
    pub(super) size: u64,
}

fn path(key: &str) -> Option<PathBuf> {
    state_folder().map(|folder| folder.join(FOLDER).join(format!("{key}.gz")))
}

/// Begins to pack a binary, unless that was done before: a host that lacks this version wants it soon.
/// Nobody waits for it at the end of the program.
pub(super) fn begin(source: &Path, key: &str) {
    static BEGUN: Once = Once::new();
    if path(key).is_some_and(|path| !path.exists()) {
        let (source, key) = (source.to_owned(), key.to_owned());
        // An error is told to who asks for it.
        BEGUN.call_once(|| drop(thread::spawn(move || Packed::of(&source, &key).map(drop))));
    }
}

/// Forgets it: on a host it turned out to be broken.
pub(super) fn forget(key: &str) {
    if let Some(path) = path(key) {
        let _ = fs::remove_file(path);
    }
}

impl Packed {
    /// The binary at `source`, which is known by `key`.
    pub(super) fn of(source: &Path, key: &str) -> io::Result<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path(key);
        if let Some(file) = path.as_ref().and_then(|path| File::open(path).ok()) {
            let size = file.metadata()?.len();
            return Ok(Self { bytes: Box::new(tokio::fs::File::from_std(file)), size });
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        io::copy(&mut File::open(source)?, &mut encoder)?;
        let bytes = encoder.finish()?;
        if let Some(path) = path {
            keep(&path, &bytes);
        }
        Ok(Self { size: bytes.len() as u64, bytes: Box::new(Cursor::new(bytes)) })
    }

    /// Its next piece; empty at its end.
    pub(super) async fn piece(&mut self) -> io::Result<Vec<u8>> {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut self.bytes).take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok(piece)
    }
}

/// Keeps it for the next runs, in the place of other versions and of what was never finished.
fn keep(path: &Path, bytes: &[u8]) {
    let Some(folder) = path.parent() else { return };
    let _ = fs::create_dir(folder);
    for other in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_file(other.path());
    }
    let _ = write_atomic(path, bytes, 0o600, None);
}
