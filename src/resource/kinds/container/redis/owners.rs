//! Whose the files of the data are: they change hands with the container, and go back with it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::super::Container;
use super::files::{self, LOG};

/// Notes whose the folder and the log were: a line with user, group and path for each.
const OWNERS: &str = "hwctl.owners";

/// Gives the folder, and a log in it, to the user of the new container, and notes whose they were.
pub(super) fn own(folder: &Path, container: &Container) -> Result<()> {
    let Some((user, group)) = container.user.as_ref().and_then(|user| user.split_once(':')) else {
        return Ok(());
    };
    let (user, group): (u32, u32) = (user.parse()?, group.parse()?);
    let mut before = String::new();
    for path in owned(folder)? {
        let found = fs::symlink_metadata(&path)?;
        if (found.uid(), found.gid()) != (user, group) && (found.is_file() || found.is_dir()) {
            let name = path.strip_prefix(folder)?.display();
            let _ = writeln!(before, "{} {} {name}", found.uid(), found.gid());
        }
    }
    if before.is_empty() {
        return Ok(());
    }
    let notes = folder.join(OWNERS);
    if !notes.exists() {
        fs::write(&notes, &before).with_context(|| format!("write `{}`", notes.display()))?;
    }
    for line in before.lines().filter_map(|line| line.splitn(3, ' ').nth(2)) {
        lchown(folder.join(line), Some(user), Some(group))?;
    }
    Ok(())
}

/// Gives the folder and the log back to those whose they were.
pub(super) fn disown(folder: &Path) -> Result<()> {
    let notes = folder.join(OWNERS);
    let Ok(text) = fs::read_to_string(&notes) else { return Ok(()) };
    let owners: Vec<(u32, u32, PathBuf)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            let (user, group) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((user, group, folder.join(words.next()?)))
        })
        .collect();
    // Files of the log that came meanwhile go to the owner of the log.
    let of_log = owners.iter().find(|(.., path)| path.starts_with(folder.join(LOG)));
    if let Some((user, group, _)) = of_log {
        for path in owned(folder)?.iter().filter(|path| path.starts_with(folder.join(LOG))) {
            lchown(path, Some(*user), Some(*group))?;
        }
    }
    for (user, group, path) in &owners {
        if path.exists() {
            lchown(path, Some(*user), Some(*group))?;
        }
    }
    files::remove(&notes)
}

/// The folder of the data, and its append-only log if it has one.
fn owned(folder: &Path) -> Result<Vec<PathBuf>> {
    let log = folder.join(LOG);
    let mut all = vec![folder.to_owned()];
    if log.is_dir() {
        for entry in fs::read_dir(&log)? {
            all.push(entry?.path());
        }
        all.push(log);
    }
    all.extend(Some(folder.join("appendonly.aof")).filter(|path| path.is_file()));
    Ok(all)
}
