//! Files that are too large for a record. A state knows such a file by the digest of its content. While something else
//! is in the place of the file, hwctl keeps the content in a folder of its own.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::ioctl_ficlone;

use crate::resource::host::Host;
use crate::resource::host::attributes::{Attributes, has_holes};
use crate::resource::host::batch::Batch;
use crate::resource::host::entry::{Access, Entry, sweep};
use crate::resource::host::fs::{make_private, remove_file};
use crate::resource::model::digest::file_digest;
use crate::resource::model::hint::Advise as _;

/// A larger file is known by its digest. Smaller ones are in the records as a whole: they hold even where hwctl's own
/// folder is lost, and this many bytes fit into memory many times.
pub(in crate::resource) const LARGE: u64 = 16 << 20;
/// The largest file that is handled. The digest of this many takes a minute, and a file with a hole of a terabyte is
/// quickly made.
pub const MAX_FILE: u64 = 8 << 30;

/// hwctl's folder with the content of large files, each under its digest.
const FOLDER: &str = "large";
/// Zeros of this length are left out of a file with holes.
const HOLE: usize = 4 << 10;
const PIECE: usize = 64 << 10;

/// Keeps the content of a file that is about to be replaced: as one more name of it where that is possible, else as a copy.
pub(in crate::resource) fn keep(path: &Path, digest: &str, host: &Host) -> Result<()> {
    let kept = kept_at(digest, host)?;
    if open_kept(digest, host).is_ok() {
        return Ok(());
    }
    make_private(&host.state_dir().join(FOLDER))?;
    remove_file(&kept)?;
    let entry = Entry::require(path)?;
    if entry.also_at(&Entry::require(&kept)?).is_ok() {
        return Ok(());
    }
    // It is on another file system.
    let (file, found) = entry.open().with_context(|| format!("read `{}`", path.display()))?;
    let fill = |new: &mut File| copy_file(&file, new, has_holes(&found));
    let access = Access { mode: 0o600, owner: None, attributes: &Attributes::default() };
    Entry::require(&kept)?
        .write_by(&fill, access, &Batch::default())
        .with_context(|| format!("keep a copy of `{}`", path.display()))
}

/// Opens content that is kept, after a look at all of it.
pub(in crate::resource) fn open_kept(digest: &str, host: &Host) -> Result<File> {
    let path = kept_at(digest, host)?;
    let open = || -> Result<_> {
        let (mut file, _) = Entry::require(&path)?.open()?;
        let found = file_digest(&file)?;
        file.rewind()?;
        Ok((file, found))
    };
    let (file, found) = open().with_context(|| format!("read `{}`", path.display()))?;
    if found != digest {
        return Err(anyhow!("`{}` no longer has the content that hwctl has kept", path.display()))
            .hint("a program has written to the old file, which it still had open; give the file back from a backup");
    }
    Ok(file)
}

/// Puts kept content into the place of `entry`: as a copy, or as one more name of what is kept where the file system has
/// no room for a copy.
pub(in crate::resource) fn put_back(
    digest: &str,
    entry: &Entry,
    access: Access<'_>,
    host: &Host,
) -> Result<()> {
    let file = open_kept(digest, host)?;
    let fill = |new: &mut File| copy_file(&file, new, access.attributes.has_holes());
    let written = entry.write_by(&fill, access, &host.batch);
    let is_full = |error: &anyhow::Error| {
        let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
        kinds.map(io::Error::kind).any(|kind| kind == io::ErrorKind::StorageFull)
    };
    match written {
        Err(error) if is_full(&error) => {
            let kept = Entry::require(&kept_at(digest, host)?)?;
            entry.put_name_of(&kept, access, &host.batch).map_err(|_| error)
        }
        written => written,
    }
}

fn kept_at(digest: &str, host: &Host) -> Result<PathBuf> {
    // It comes from a record and must not lead elsewhere.
    if digest.is_empty() || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{digest:?} is not a digest");
    }
    Ok(host.state_dir().join(FOLDER).join(digest))
}

/// Whether content is kept. Nobody looks at all of it.
pub(in crate::resource) fn is_kept(digest: &str, size: u64, host: &Host) -> bool {
    let found = kept_at(digest, host).and_then(|path| Ok(fs::symlink_metadata(path)?));
    found.is_ok_and(|found| found.is_file() && found.len() == size)
}

/// The digests of all that is kept.
#[must_use]
pub fn kept_large_files(host: &Host) -> Vec<String> {
    let found = fs::read_dir(host.state_dir().join(FOLDER)).into_iter().flatten().flatten();
    found.filter_map(|found| found.file_name().into_string().ok()).collect()
}

/// Gives content up that no record knows any more, and what a run that was killed has left unfinished.
pub fn give_up_large_files(digests: &[String], host: &Host) -> Result<()> {
    let folder = host.state_dir().join(FOLDER);
    sweep(&folder)?;
    digests.iter().try_for_each(|digest| remove_file(&folder.join(digest)))
}

/// Puts the content of one file into another one, which is empty. Where the file system can, both share the blocks.
pub(in crate::resource) fn copy_file(
    from: &File,
    to: &mut File,
    has_holes: bool,
) -> io::Result<()> {
    if ioctl_ficlone(&*to, from).is_ok() {
        return Ok(());
    }
    copy(&mut &*from, to, has_holes)
}

/// Writes all that can be read into a file, which is empty; with holes where it is to have some.
pub(in crate::resource) fn copy(
    from: &mut dyn Read,
    to: &mut File,
    has_holes: bool,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut place = 0;
    loop {
        let read = fill(from, &mut piece)?;
        match has_holes {
            true => write_with_holes(to, &piece[..read], place)?,
            false => to.write_all(&piece[..read])?,
        }
        place += read as u64;
        if read < piece.len() {
            return if has_holes { to.set_len(place) } else { Ok(()) };
        }
    }
}

/// Writes a piece of a file and leaves out what is zero in it.
pub(in crate::resource) fn write_with_holes(
    file: &File,
    bytes: &[u8],
    place: u64,
) -> io::Result<()> {
    for (number, part) in bytes.chunks(HOLE).enumerate() {
        if part.iter().any(|byte| *byte != 0) {
            file.write_all_at(part, place + (number * HOLE) as u64)?;
        }
    }
    Ok(())
}

/// Reads until the piece is full or the end is there.
fn fill(from: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match from.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
