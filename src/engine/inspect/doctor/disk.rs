//! A file system that is full, out of inodes, or mounted read-only stops whoever writes to it.

use std::fs;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::event::Finding;
use crate::resource::{Declared, Host};
use crate::spec::{LogSource, PartSpec};

/// Folders that are written to whatever parts the host has.
const WRITTEN: [&str; 6] = ["/var/lib/docker", "/var/lib/hwctl", "/var/log", "/var", "/etc", "/"];
/// Free space below which writes are expected to fail, save on a file system of less than 80 MiB.
const MIN_FREE_BYTES: u64 = 4 << 20;
/// The share of free inodes, or of free bytes, below which writes are expected to fail.
const MIN_FREE_PER_MILLE: u64 = 5;

pub(super) fn examine(resources: &[Declared], parts: &[PartSpec], host: &Host) -> Vec<Finding> {
    let mounts = mounts(resources, parts, host);
    mounts.iter().filter_map(|(mount, path)| wrong_with(mount, path)).collect()
}

/// The mount points of all that has to be written to, each with a path that lies on it.
pub(in crate::engine) fn mounts(
    resources: &[Declared],
    parts: &[PartSpec],
    host: &Host,
) -> Vec<(String, String)> {
    let folders = resources.iter().map(|declared| declared.resource.profile().place);
    let folders = folders.filter(|place| place.is_folder());
    let folders = folders.filter_map(|place| place.path()?.to_str());
    let logs = parts.iter().flat_map(|part| &part.logs);
    let log_folders = logs.filter_map(|log| match &log.source {
        LogSource::File(path) => path.parent()?.to_str(),
        _ => None,
    });
    let mut found: Vec<(String, String)> = Vec::new();
    for path in WRITTEN.into_iter().chain(log_folders).chain(folders) {
        let place = host.path(Path::new(path));
        let Some(mount) = mount_of(&fs::canonicalize(&place).unwrap_or(place)) else { continue };
        if !found.iter().any(|(known, _)| *known == mount) {
            found.push((mount, path.to_owned()));
        }
    }
    found
}

fn wrong_with(mount: &str, path: &str) -> Option<Finding> {
    let found = statvfs(mount).ok()?;
    if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some(
            Finding::new("disk-read-only", format!("`{mount}` is mounted read-only"))
                .evidence([format!("`{path}` lies on it, and has to be written to")])
                .next("`sudo dmesg` on the host shows why: the kernel remounts a file system read-only after disk errors"),
        );
    }
    let (free, all) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    let (free_inodes, inodes) = (found.f_favail, found.f_files);
    let full =
        all > 0 && free < MIN_FREE_BYTES.min(all / 20) || free < all / 1000 * MIN_FREE_PER_MILLE;
    let no_inodes = inodes > 0 && free_inodes < inodes / 1000 * MIN_FREE_PER_MILLE;
    if !full && !no_inodes {
        return None;
    }
    let mib = |bytes: u64| bytes >> 20;
    let what = match full {
        true => {
            format!("the disk is full: `{mount}` has {} MiB free of {} MiB", mib(free), mib(all))
        }
        false => format!("the disk is full: `{mount}` has {free_inodes} inodes free of {inodes}"),
    };
    Some(
        Finding::new("disk-full", what)
            .evidence([format!("`{path}` lies on it, and has to be written to")])
            .next(format!(
                "on the host: `sudo du -xh --max-depth=2 {mount} | sort -h | tail` says what fills \
                 it; `sudo apt-get clean` frees space, and so does `sudo journalctl --vacuum-size=100M`, which deletes older log entries"
            )),
    )
}

/// The mount point that a path lies on.
fn mount_of(path: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    points
        .filter(|point| path.starts_with(point))
        .max_by_key(|point| point.len())
        .map(str::to_owned)
}
