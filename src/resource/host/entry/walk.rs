//! The way to a path's directory, one step after the other.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, ResolveFlags, Stat, fstat, openat, openat2, readlinkat, statat,
};
use rustix::process::geteuid;

use super::{FOLDER, absent_as_none, make_directory};
use crate::resource::host::fs::user_name;
use crate::resource::model::hint::Advise;

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// The way down from the root, one opened directory for each step, for `..` in links.
pub(super) struct Walk {
    steps: Vec<Step>,
    links: usize,
}

struct Step {
    folder: OwnedFd,
    path: PathBuf,
    /// Why a link in it is not followed.
    doubt: Option<String>,
}

impl Walk {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { steps: vec![Step { folder: root, path: "/".into(), doubt: None }], links: 0 }
    }

    /// Opens the directory that `names` lead to.
    pub(super) fn follow(mut self, names: Vec<OsString>, make: bool) -> Result<Option<OwnedFd>> {
        let mut rest: Vec<OsString> = names.into_iter().rev().collect();
        while let Some(name) = rest.pop() {
            if name == ".." {
                self.steps.truncate((self.steps.len() - 1).max(1));
                continue;
            }
            if !self.enter(&name, make, &mut rest)? {
                return Ok(None);
            }
        }
        Ok(self.steps.pop().map(|step| step.folder))
    }

    /// Goes one name down, or puts what a link there leads to in front of the rest; false when
    /// there is nothing.
    fn enter(&mut self, name: &OsStr, make: bool, rest: &mut Vec<OsString>) -> Result<bool> {
        let Some(here) = self.steps.last() else { return Ok(false) };
        let path = here.path.join(name);
        let looking = || format!("look at `{}`", path.display());
        if make {
            make_directory(&here.folder, name)
                .with_context(|| format!("make `{}`", path.display()))?;
        }
        let found = statat(&here.folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let Some(found) = absent_as_none(found).with_context(looking)? else { return Ok(false) };
        if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            let target = read_target(&here.folder, name).with_context(looking)?;
            self.links += 1;
            refuse_planted(here, &path, &target, found.st_uid)?;
            if self.links > MAX_LINKS {
                bail!("`{}` leads through too many symbolic links", path.display());
            }
            if target.is_absolute() {
                self.steps.truncate(1);
            }
            let more = target.components().rev().filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_owned()),
                Component::ParentDir => Some("..".into()),
                _ => None,
            });
            rest.extend(more);
            return Ok(true);
        }
        let opened = openat(&here.folder, name, FOLDER, Mode::empty());
        let Some(folder) = absent_as_none(opened).with_context(looking)? else { return Ok(false) };
        // Of what was opened: the name may mean something else by now.
        let found = fstat(&folder).with_context(looking)?;
        let doubt = here.doubt.clone().or_else(|| doubt(&path, &found));
        self.steps.push(Step { folder, path, doubt });
        Ok(true)
    }
}

/// Opens a directory in one call where no link is on the way, as is the rule. All else is for the walk:
/// errors, and kernels that lack the call (before 5.6), too.
pub(super) fn open_without_links(folder: &Path) -> Option<OwnedFd> {
    openat2(CWD, folder, FOLDER, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()
}

fn refuse_planted(here: &Step, path: &Path, target: &Path, owner: u32) -> Result<()> {
    let doubt = match &here.doubt {
        _ if !is_trusted(owner) => format!("it belongs to `{}`", user_name(owner)),
        Some(doubt) => doubt.clone(),
        None => return Ok(()),
    };
    let (path, target) = (path.display(), target.display());
    Err(anyhow!("`{path}` is a symbolic link to `{target}`, which root does not follow: {doubt}"))
        .hint(format!(
            "find out who made `{path}`; then remove it, or name the real path in the inventory"
        ))
}

/// Why a link in this directory could be anybody's.
fn doubt(path: &Path, found: &Stat) -> Option<String> {
    let path = path.display();
    if !is_trusted(found.st_uid) {
        return Some(format!("`{path}` belongs to `{}`", user_name(found.st_uid)));
    }
    let others = Mode::WGRP | Mode::WOTH;
    let open = Mode::from_raw_mode(found.st_mode).intersects(others);
    open.then(|| format!("others than root may write into `{path}`"))
}

/// Root, or whoever runs the tests.
fn is_trusted(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// The names of an absolute path without `..`.
pub(super) fn names(path: &Path) -> Result<Vec<OsString>> {
    let names = path.components().skip(1).map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        _ => None,
    });
    let names: Option<Vec<_>> = if path.is_absolute() { names.collect() } else { None };
    names.with_context(|| format!("`{}` is not an absolute path without `..`", path.display()))
}

pub(super) fn read_target(folder: &OwnedFd, name: &OsStr) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;

    let target = readlinkat(folder, name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}
