//! Changes of files that are made together: all are written beside their places and synced at once,
//! and then each is renamed to its place. A change that is made alone is synced by itself.
//!
//! Ten thousand small files that are synced one by one take minutes, and together no longer than one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, fstat, fsync, renameat, syncfs, unlinkat};

/// The changes that wait to be synced together; none while each is made alone.
#[derive(Debug, Default)]
pub(in crate::resource) struct Batch(RefCell<Option<Open>>);

#[derive(Debug, Default)]
struct Open {
    renames: Vec<Rename>,
    /// The folders that have changed, by the numbers of their device and inode.
    changed: HashMap<(u64, u64), Rc<OwnedFd>>,
}

/// A file that is whole and not in its place yet.
#[derive(Debug)]
struct Rename {
    folder: Rc<OwnedFd>,
    /// The name that the file has beside its place. None once it is in its place.
    from: Option<OsString>,
    to: OsString,
}

impl Batch {
    /// From now on changes wait for [`Self::commit`].
    pub(in crate::resource) fn begin(&self) {
        self.0.replace(Some(Open::default()));
    }

    /// Syncs what was written, puts it into its places, and syncs that.
    pub(in crate::resource) fn commit(&self) -> Result<()> {
        let Some(mut open) = self.0.take() else { return Ok(()) };
        if !open.renames.is_empty() {
            open.sync().context("sync what was written")?;
        }
        for mut rename in std::mem::take(&mut open.renames) {
            rename.make()?;
        }
        open.sync().context("sync the folders that changed")
    }

    /// Forgets what was not committed: whatever has its place already stays there.
    pub(in crate::resource) fn abandon(&self) {
        self.0.take();
    }

    /// Gives something that was made beside its place the name there; a `file` is synced before.
    pub(in crate::resource) fn rename(
        &self,
        file: Option<File>,
        folder: &Rc<OwnedFd>,
        from: &OsStr,
        to: &OsStr,
    ) -> io::Result<()> {
        if let Some(open) = self.0.borrow_mut().as_mut()
            && file.is_some()
        {
            let folder = open.note(folder)?;
            open.renames.push(Rename { folder, from: Some(from.to_owned()), to: to.to_owned() });
            return Ok(());
        }
        file.map_or(Ok(()), |file| file.sync_all())?;
        renameat(folder, from, folder, to)?;
        self.changed(folder)
    }

    /// Syncs what has changed in a folder.
    pub(in crate::resource) fn changed(&self, folder: &Rc<OwnedFd>) -> io::Result<()> {
        match self.0.borrow_mut().as_mut() {
            Some(open) => open.note(folder).map(|_| ()),
            None => Ok(fsync(folder)?),
        }
    }
}

impl Open {
    /// Notes that a folder changes. Returns it, opened once for all that changes in it.
    fn note(&mut self, folder: &Rc<OwnedFd>) -> io::Result<Rc<OwnedFd>> {
        let found = fstat(folder)?;
        let known = self.changed.entry((found.st_dev, found.st_ino));
        Ok(Rc::clone(known.or_insert_with(|| Rc::clone(folder))))
    }

    /// Syncs each file system that has changed.
    fn sync(&self) -> io::Result<()> {
        let systems: HashMap<u64, &Rc<OwnedFd>> =
            self.changed.iter().map(|((device, _), folder)| (*device, folder)).collect();
        Ok(systems.into_values().try_for_each(syncfs)?)
    }
}

impl Rename {
    /// Puts the file into its place.
    fn make(&mut self) -> Result<()> {
        let Self { folder, from: Some(from), to } = self else { return Ok(()) };
        renameat(&*folder, &*from, &*folder, &*to)
            .with_context(|| format!("write `{}`", to.to_string_lossy()))?;
        self.from = None;
        Ok(())
    }
}

/// What was not put into its place is of no use.
impl Drop for Rename {
    fn drop(&mut self) {
        if let Some(from) = &self.from {
            let _ = unlinkat(&self.folder, from, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::resource::host::attributes::Attributes;
    use crate::resource::host::entry::{Entry, NewFile};

    fn write(path: &Path, text: &str, batch: &Batch) {
        let attributes = &Attributes::default();
        let new = NewFile { bytes: text.as_bytes(), mode: 0o644, owner: None, attributes };
        Entry::require(path).unwrap().write(&new, batch).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|found| found.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_in_its_place_before_all_is_written() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("b"), "old").unwrap();
        let batch = Batch::default();

        batch.begin();
        write(&at("a"), "new", &batch);
        write(&at("b"), "new", &batch);
        assert!(!at("a").exists());
        assert_eq!(fs::read_to_string(at("b")).unwrap(), "old");
        batch.commit().unwrap();

        assert_eq!(names(root.path()), ["a", "b"]);
        assert_eq!(fs::read_to_string(at("b")).unwrap(), "new");
        write(&at("c"), "alone", &batch);
        assert_eq!(
            fs::read_to_string(at("c")).unwrap(),
            "alone",
            "after a batch each is for itself"
        );
    }

    #[test]
    fn what_is_abandoned_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let batch = Batch::default();
        batch.begin();
        write(&root.path().join("a"), "new", &batch);
        batch.abandon();
        batch.commit().unwrap();
        assert_eq!(names(root.path()), [""; 0]);
    }

    #[test]
    fn a_file_that_finds_no_place_ends_the_batch_and_leaves_no_part() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let batch = Batch::default();
        batch.begin();
        for name in ["a", "b", "c"] {
            write(&at(name), "new", &batch);
        }
        // Somebody makes a folder there meanwhile.
        fs::create_dir(at("b")).unwrap();

        let error = format!("{:#}", batch.commit().unwrap_err());

        assert!(error.contains("write `b`"), "{error}");
        assert_eq!(names(root.path()), ["a", "b"], "no file is left that is not in its place");
    }
}
