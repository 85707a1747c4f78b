//! Refuses a run that a file system has no room for or does not let write, before anything changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::engine::plan::Plan;
use crate::engine::record::step::Step;
use crate::resource::{Advise, Host};

/// What a run needs besides what it writes: the journal, and a way back for each file.
const RESERVE: u64 = 512 << 10;
/// The same in files.
const RESERVE_FILES: u64 = 64;
/// What a file takes besides its content, at most.
const BLOCK: u64 = 4 << 10;

/// Looks at each file system that the run writes to.
pub(in crate::engine) fn require(plan: &Plan, host: &Host) -> Result<()> {
    let mounts = mounts()?;
    let state = (host.state_dir(), plan.blobs.iter().map(|blob| blob.size).sum());
    let steps = plan.steps.iter().flat_map(|step| needs(step, host));
    // By mount: the folder that is written to, and how much.
    let mut needed = BTreeMap::<&Path, (PathBuf, u64)>::new();
    for (path, size) in steps.chain([state]) {
        let Some(folder) = path.ancestors().find(|path| path.is_dir()) else { continue };
        let Some(mount) = mounts.iter().rev().find(|mount| folder.starts_with(mount)) else {
            continue;
        };
        needed.entry(mount).or_insert_with(|| (folder.to_owned(), RESERVE)).1 += size + BLOCK;
    }
    for (mount, (folder, size)) in needed {
        free_space(mount, &folder, size)?;
    }
    Ok(())
}

/// Where a change writes, and how much.
fn needs(step: &Step, host: &Host) -> impl Iterator<Item = (PathBuf, u64)> {
    let profile = step.resource.profile();
    let size = step.to.as_ref().map_or(profile.bytes, |to| step.resource.size_in(to));
    let is_first = std::iter::once(true).chain(std::iter::repeat(false));
    let written = profile.written.into_iter().flatten().zip(is_first);
    written.map(move |(path, is_first)| (host.path(path), if is_first { size } else { 0 }))
}

fn free_space(mount: &Path, folder: &Path, needed: u64) -> Result<()> {
    let (mount, shown) = (mount.display(), folder.display());
    let found = statvfs(folder).with_context(|| format!("look at the file system `{mount}`"))?;
    if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(anyhow!("the file system `{mount}` is mounted read-only"))
            .hint(format!(
                "`findmnt -T {shown}` and `dmesg` on the host say why; mount it writable and run \
                 again"
            ))
            .with_context(|| format!("`{shown}` cannot be written to"));
    }
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let (what, free, needed) = match found.f_files > 0 && found.f_favail < RESERVE_FILES {
        true => ("more files", found.f_favail, RESERVE_FILES),
        false if free < needed => ("KiB", free >> 10, needed.div_ceil(1024)),
        false => return Ok(()),
    };
    Err(anyhow!(
        "the file system `{mount}` is full: {free} {what} are free, the run needs {needed}"
    ))
    .hint(format!(
        "free some space on the host (`df -h {shown}`, `df -i {shown}`, `apt-get clean`) and run again"
    ))
    .with_context(|| format!("there is no room in `{shown}`"))
}

/// Where file systems are mounted, a mount below another after it.
fn mounts() -> Result<Vec<PathBuf>> {
    let path = "/proc/self/mountinfo";
    let table = fs::read_to_string(path).with_context(|| format!("read `{path}`"))?;
    let mut mounts: Vec<PathBuf> =
        table.lines().filter_map(|line| Some(unescaped(line.split(' ').nth(4)?).into())).collect();
    if mounts.is_empty() {
        bail!("`{path}` names no mount");
    }
    mounts.sort();
    Ok(mounts)
}

/// The kernel writes a space, a tab, a line's end and a backslash in octal.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (written, meant)| path.replace(written, meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_held_against_what_is_free() {
        let folder = tempfile::tempdir().unwrap();
        free_space(Path::new("/"), folder.path(), 1).unwrap();
        let full = free_space(Path::new("/"), folder.path(), u64::MAX).unwrap_err();
        assert!(format!("{full:#}").contains("the file system `/` is full"), "{full:#}");
        assert_eq!(unescaped(r"/a\040b"), "/a b");
        assert!(mounts().unwrap().contains(&PathBuf::from("/")));
    }
}
