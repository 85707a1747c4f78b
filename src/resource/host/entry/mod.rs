//! A path's place in its directory, reached without following a link that anybody but root could
//! have planted: a home, a site's folder or `/tmp` cannot lead root elsewhere.
//!
//! Everything is done relative to the opened directory, so that what was looked at is what is
//! changed, whatever others rename meanwhile.

mod walk;

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail};
use rand::RngExt as _;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, fchown, mkdirat, open,
    openat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::resource::host::attributes::{Attributes, LinkAttributes, disinherit};
use crate::resource::host::batch::Batch;
use crate::resource::host::fs::explain;
use crate::resource::host::large_files::{LARGE, write_with_holes};
use walk::{Walk, names, open_without_links, read_target};

/// What the names of files begin with until they are whole.
const UNFINISHED: &str = ".hwctl-";
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The mode of a directory that is made on the way to a path.
const WAY_MODE: u32 = 0o755;

/// A file to be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::resource) struct NewFile<'a> {
    pub(in crate::resource) bytes: &'a [u8],
    pub(in crate::resource) mode: u32,
    /// User and group; those of this process when absent.
    pub(in crate::resource) owner: Option<(u32, u32)>,
    pub(in crate::resource) attributes: &'a Attributes,
}

/// What a new file has beside its content.
#[derive(Clone, Copy, Debug)]
pub(in crate::resource) struct Access<'a> {
    pub(in crate::resource) mode: u32,
    /// User and group; those of this process when absent.
    pub(in crate::resource) owner: Option<(u32, u32)>,
    pub(in crate::resource) attributes: &'a Attributes,
}

impl Access<'_> {
    /// Gives it to a file, by the file and not by its name, which somebody may have given to another.
    fn set(&self, file: &File) -> io::Result<()> {
        set_access(file, self.mode, self.owner, Inherited::No)?;
        self.attributes.set(file)
    }
}

/// A name in an opened directory. The name itself is never followed.
#[derive(Debug)]
pub(in crate::resource) struct Entry {
    folder: Rc<OwnedFd>,
    name: OsString,
    path: PathBuf,
}

impl Entry {
    /// The place of `path`; `None` when a directory on the way is absent.
    pub(in crate::resource) fn find(path: &Path) -> Result<Option<Self>> {
        Self::walk(path, false)
    }

    /// The place of `path`, whose directory has to be there.
    pub(in crate::resource) fn require(path: &Path) -> Result<Self> {
        let missing = || anyhow!("the directory of `{}` does not exist", path.display());
        Self::walk(path, false)?.ok_or_else(missing)
    }

    /// The place of `path`; directories on the way are made, for all to enter.
    pub(in crate::resource) fn make_way(path: &Path) -> Result<Self> {
        Self::walk(path, true)?.with_context(|| format!("make the way to `{}`", path.display()))
    }

    fn walk(path: &Path, make: bool) -> Result<Option<Self>> {
        let mut names = names(path)?;
        let Some(name) = names.pop() else { bail!("`/` is not in a directory") };
        let at = |folder| Self { folder: Rc::new(folder), name, path: path.to_owned() };
        if let Some(folder) = path.parent().and_then(open_without_links) {
            return Ok(Some(at(folder)));
        }
        let root = open("/", FOLDER, Mode::empty()).context("open `/`")?;
        Ok(Walk::new(root).follow(names, make)?.map(at))
    }

    /// What is there, itself and not what it points to.
    pub(in crate::resource) fn stat(&self) -> Result<Option<Stat>> {
        let found = absent_as_none(statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW));
        found.with_context(|| format!("look at `{}`", self.path.display()))
    }

    /// Whether a socket is there.
    pub(in crate::resource) fn is_socket(&self) -> bool {
        let found = self.stat().ok().flatten();
        found.is_some_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Socket)
    }

    /// Where a link points.
    pub(in crate::resource) fn target(&self) -> Result<PathBuf> {
        read_target(&self.folder, &self.name)
            .with_context(|| format!("read link `{}`", self.path.display()))
    }

    /// Opens a regular file for reading, and says what it is.
    pub(in crate::resource) fn open(&self) -> io::Result<(File, Metadata)> {
        // Not waiting for a pipe's other end, should somebody put one there.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.folder, &self.name, flags, Mode::empty())?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is no longer a file"));
        }
        Ok((file, found))
    }

    pub(in crate::resource) fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a regular file that was opened and is not large.
    pub(in crate::resource) fn content(&self, file: &File, found: &Metadata) -> Result<Vec<u8>> {
        // One byte of room more than it has: its end is then found without growing.
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1);
        // It may grow meanwhile.
        let read = file.take(LARGE).read_to_end(&mut bytes);
        read.with_context(|| format!("read `{}`", self.path.display()))?;
        Ok(bytes)
    }

    /// Opens a directory, itself and not what a link points to.
    pub(in crate::resource) fn open_directory(&self) -> io::Result<File> {
        Ok(File::from(openat(&self.folder, &self.name, FOLDER, Mode::empty())?))
    }

    /// Puts a file there: written beside its place, synced, renamed.
    pub(in crate::resource) fn write(&self, new: &NewFile<'_>, batch: &Batch) -> Result<()> {
        let NewFile { bytes, mode, owner, attributes } = *new;
        let fill = |file: &mut File| match attributes.has_holes() {
            true => {
                write_with_holes(file, bytes, 0)?;
                file.set_len(bytes.len() as u64)
            }
            false => file.write_all(bytes),
        };
        self.write_by(&fill, Access { mode, owner, attributes }, batch)
    }

    /// The same with content that `fill` writes.
    pub(in crate::resource) fn write_by(
        &self,
        fill: &dyn Fn(&mut File) -> io::Result<()>,
        access: Access<'_>,
        batch: &Batch,
    ) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let put = |name: &OsStr| -> io::Result<Option<File>> {
            let fd = openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)?;
            let mut file = File::from(fd);
            access.attributes.set_flags(&file);
            fill(&mut file)?;
            access.set(&file)?;
            Ok(Some(file))
        };
        let written = self.replace(put, batch);
        explain(written, &self.path, || format!("write `{}`", self.path.display()))
    }

    /// Puts one more name of a file there, which is on the same file system, and gives that file its mode and owner.
    pub(in crate::resource) fn put_name_of(
        &self,
        file: &Self,
        access: Access<'_>,
        batch: &Batch,
    ) -> Result<()> {
        let put = |name: &OsStr| -> io::Result<Option<File>> {
            rustix::fs::linkat(&file.folder, &file.name, &self.folder, name, AtFlags::empty())?;
            let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(openat(&self.folder, name, flags, Mode::empty())?);
            access.set(&file)?;
            Ok(Some(file))
        };
        let put = self.replace(put, batch);
        explain(put, &self.path, || format!("put `{}` back", self.path.display()))
    }

    /// Puts a link there.
    pub(in crate::resource) fn link(
        &self,
        target: &Path,
        attributes: &LinkAttributes,
        batch: &Batch,
    ) -> Result<()> {
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        let put = |name: &OsStr| -> io::Result<Option<File>> {
            symlinkat(target, &self.folder, name)?;
            if let Some((user, group)) = attributes.owner {
                let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
                chownat(&self.folder, name, Some(user), Some(group), itself)?;
            }
            if let Some(times) = attributes.times() {
                utimensat(&self.folder, name, &times, itself)?;
            }
            Ok(None)
        };
        let linked = self.replace(put, batch);
        explain(linked, &self.path, || format!("link `{}`", self.path.display()))
    }

    /// Moves the file at `from` here, which is on the same file system: it keeps its inode.
    pub(in crate::resource) fn take(&self, from: &Self, batch: &Batch) -> Result<()> {
        let moved = renameat(&from.folder, &from.name, &self.folder, &self.name);
        let moved = moved.map_err(io::Error::from).and_then(|()| batch.changed(&self.folder));
        explain(moved, &self.path, || format!("put `{}` back", self.path.display()))
    }

    /// Gives the file here one more name, at `to` on the same file system; it may have that already.
    pub(in crate::resource) fn also_at(&self, to: &Self) -> Result<()> {
        let linked =
            rustix::fs::linkat(&self.folder, &self.name, &to.folder, &to.name, AtFlags::empty());
        let linked = match linked {
            Ok(()) => Batch::default().changed(&to.folder),
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        };
        explain(linked, &self.path, || format!("keep `{}`", self.path.display()))
    }

    /// Makes something beside the place and renames it there. A file is synced before.
    fn replace(
        &self,
        put: impl Fn(&OsStr) -> io::Result<Option<File>>,
        batch: &Batch,
    ) -> io::Result<()> {
        let name = OsString::from(format!("{UNFINISHED}{:016x}", rand::rng().random::<u64>()));
        let renamed =
            put(&name).and_then(|file| batch.rename(file, &self.folder, &name, &self.name));
        if renamed.is_err() {
            let _ = unlinkat(&self.folder, &name, AtFlags::empty());
        }
        renamed
    }

    /// Makes a directory there, unless there is one, and gives it its mode and owner; with
    /// `attributes` those, too.
    pub(in crate::resource) fn directory(
        &self,
        (mode, owner): (u32, (u32, u32)),
        attributes: &Attributes,
        batch: &Batch,
    ) -> Result<()> {
        let set = || -> io::Result<()> {
            // The lists of one that others have made are theirs.
            let inherited = match make_directory(&self.folder, &self.name)? {
                Made::Now => Inherited::No,
                Made::Before => Inherited::Yes,
            };
            let directory = self.open_directory()?;
            set_access(&directory, mode, Some(owner), inherited)?;
            attributes.set(&directory)?;
            batch.changed(&self.folder)
        };
        explain(set(), &self.path, || {
            format!("make `{}` with its mode and owner", self.path.display())
        })
    }

    /// Removes a file or a link; an absent one is no error.
    pub(in crate::resource) fn remove(&self, batch: &Batch) -> Result<()> {
        let gone = absent_as_none(unlinkat(&self.folder, &self.name, AtFlags::empty()));
        let gone = gone.map_err(io::Error::from).and_then(|_| batch.changed(&self.folder));
        explain(gone, &self.path, || format!("remove `{}`", self.path.display()))
    }

    /// Removes a directory if it is empty: what others put into it is theirs.
    pub(in crate::resource) fn remove_empty_directory(&self, batch: &Batch) -> Result<()> {
        let gone = match unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            gone => {
                let gone = absent_as_none(gone).map_err(io::Error::from);
                gone.and_then(|_| batch.changed(&self.folder))
            }
        };
        explain(gone, &self.path, || format!("remove `{}`", self.path.display()))
    }
}

/// Removes what writers that were killed have left unfinished in a folder.
pub fn sweep(folder: &Path) -> Result<()> {
    let Ok(found) = std::fs::read_dir(folder) else { return Ok(()) };
    for name in found.flatten().map(|found| found.file_name()) {
        if name.as_bytes().starts_with(UNFINISHED.as_bytes()) {
            let entry = Entry::find(&folder.join(name))?;
            entry.map_or(Ok(()), |entry| entry.remove(&Batch::default()))?;
        }
    }
    Ok(())
}

/// When a directory was made.
enum Made {
    Now,
    Before,
}

/// Makes a directory, unless there is one. Its mode is the same whatever the umask is and whatever the
/// folder around it hands down.
fn make_directory(folder: &OwnedFd, name: &OsStr) -> io::Result<Made> {
    match mkdirat(folder, name, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(Made::Before),
        Err(error) => return Err(error.into()),
    }
    let directory = File::from(openat(folder, name, FOLDER, Mode::empty())?);
    set_access(&directory, WAY_MODE, None, Inherited::No)?;
    Ok(Made::Now)
}

/// Whether the ACL that something new has from its folder stays.
#[derive(Clone, Copy)]
enum Inherited {
    Yes,
    No,
}

/// The owner first: a change of it takes some bits of the mode away. The mode last: with an ACL, a part
/// of it is the list's mask.
fn set_access(
    file: &File,
    mode: u32,
    owner: Option<(u32, u32)>,
    inherited: Inherited,
) -> io::Result<()> {
    if let Some((user, group)) = owner {
        fchown(file.as_fd(), Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    }
    if matches!(inherited, Inherited::No) {
        disinherit(file)?;
    }
    Ok(fchmod(file, Mode::from_raw_mode(mode))?)
}

fn absent_as_none<T>(found: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
