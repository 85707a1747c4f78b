//! Redis's files: the folder of its append-only log, made from a copy (an RDB file).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

/// The largest copy that is taken, in bytes: four times what Redis may hold in memory.
pub const MAX_COPY: u64 = 256 << 20;
/// What a copy begins with.
pub const MAGIC: &[u8] = b"REDIS";
/// The name of the copies that hwctl has Redis write; the configuration names it, so that a copy
/// (`dump.rdb`) that was there before is never written over.
pub const COPY: &str = "hwctl.rdb";
/// The folder of the append-only log, below Redis's data.
pub const LOG: &str = "appendonlydir";
/// The folder beside it that it changes places with.
pub const LOG_ASIDE: &str = "appendonlydir.hwctl";
const BASE: &str = "appendonly.aof.1.base.rdb";
pub(super) const MANIFEST: &str = "appendonly.aof.manifest";
const MANIFEST_TEXT: &str = "file appendonly.aof.1.base.rdb seq 1 type b\n";

/// Reads a copy. The folder is Redis's: a link in it is not followed.
pub fn read_copy(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.with_context(|| format!("open `{shown}`"))?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > MAX_COPY {
        bail!("`{shown}` is no copy of Redis's data, or is too large");
    }
    let mut bytes = Vec::new();
    file.take(MAX_COPY).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a copy as Redis keeps its data, into the folder `aside`: the base of an append-only log
/// that has no more. What an interrupted run left there is removed.
pub fn prepare(folder: &Path, aside: &Path, copy: &[u8]) -> Result<()> {
    remove(aside)?;
    let owner = fs::metadata(folder)?;
    let own = |path: &Path| chown(path, Some(owner.uid()), Some(owner.gid()));
    DirBuilder::new().mode(0o700).create(aside)?;
    for (name, content) in [(BASE, copy), (MANIFEST, MANIFEST_TEXT.as_bytes())] {
        let path = aside.join(name);
        write(&path, content)?;
        own(&path)?;
    }
    own(aside)?;
    File::open(aside)?.sync_all()?;
    Ok(())
}

/// Exchanges two folders in one step, so that there is data at every moment. Returns whether there
/// was something at `live`.
pub fn switch(live: &Path, aside: &Path) -> Result<bool> {
    let had_data = live.symlink_metadata().is_ok();
    if had_data {
        renameat_with(CWD, live, CWD, aside, RenameFlags::EXCHANGE)?;
    } else {
        fs::rename(aside, live)?;
    }
    let parent = live.parent().map(PathBuf::from).unwrap_or_default();
    File::open(parent)?.sync_all()?;
    Ok(had_data)
}

/// Replaces a copy by another, with the owner of its folder.
pub(super) fn replace_copy(path: &Path, copy: &[u8]) -> Result<()> {
    let folder = path.parent().context("a copy has a folder")?;
    let owner = fs::metadata(folder)?;
    let new = path.with_extension("hwctl-new");
    remove(&new)?;
    write(&new, copy)?;
    chown(&new, Some(owner.uid()), Some(owner.gid()))?;
    fs::rename(&new, path).with_context(|| format!("rename `{}` into place", new.display()))?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all().with_context(|| format!("write `{}`", path.display()))
}

/// Removes a file or a folder, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_changes_places_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let (live, aside) = (folder.path().join(LOG), folder.path().join(LOG_ASIDE));
        prepare(folder.path(), &aside, b"REDIS new").unwrap();
        assert!(!switch(&live, &aside).unwrap(), "there was no data");
        assert_eq!(fs::read(live.join(BASE)).unwrap(), b"REDIS new");

        fs::write(live.join(BASE), "REDIS old").unwrap();
        prepare(folder.path(), &aside, b"REDIS newer").unwrap();
        // What an interrupted restore left is no obstacle.
        prepare(folder.path(), &aside, b"REDIS newer").unwrap();
        assert!(switch(&live, &aside).unwrap());
        assert_eq!(fs::read(live.join(BASE)).unwrap(), b"REDIS newer");
        assert_eq!(fs::read(aside.join(BASE)).unwrap(), b"REDIS old");
        assert!(switch(&live, &aside).unwrap());
        assert_eq!(fs::read(live.join(BASE)).unwrap(), b"REDIS old");
    }

    #[test]
    fn a_copy_is_replaced_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("dump.rdb");
        let other = folder.path().join("other");
        fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, &copy).unwrap();

        assert!(read_copy(&copy).is_err());
        replace_copy(&copy, b"REDIS").unwrap();

        assert_eq!(read_copy(&copy).unwrap(), b"REDIS");
        assert_eq!(fs::read(&other).unwrap(), b"mine");
    }
}
