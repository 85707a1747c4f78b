//! Hosts that start as a prepared host was left: what is slow to set up is set up once.
//!
//! A snapshot is what a host wrote over its base until it was shut down. It belongs to one address,
//! because certificates and keys bear it: each place in the lab's network has snapshots of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::command::run;
use super::host::{LabHost, TemporaryHost};
use super::place::Place;
use super::state::{HostDir, Record, make_dir, read_record, write, write_record};
use super::{Lab, boot, root, temporary};

/// The end of the name of a snapshot that is being made.
const UNFINISHED: &str = ".unfinished";
/// Folders of a host that are no part of its overlay, and the files that its keys are known by.
const BESIDE: [&str; 3] = [boot::PLAIN_DIRS[0], boot::PLAIN_DIRS[1], "known_hosts"];

impl Lab {
    /// A host of its own for one test that starts as `prepare` left a host before. `prepare` runs
    /// only if this place in the network has no snapshot of this `key` (letters and digits) yet, so
    /// the key has to change with everything that `prepare` depends on.
    pub fn temporary_from(
        &self,
        release: &str,
        key: &str,
        prepare: impl FnOnce(&LabHost) -> Result<()>,
    ) -> Result<TemporaryHost<'_>> {
        let base = self.prepare(release)?;
        let options = temporary(release);
        let dir = self.state.host_dir(&options.name);
        let lock = self.state.lock(&options.name)?;
        let made = self
            .claim(&dir, &options, base, Place::Lowest)
            .and_then(|record| self.start_from(&dir, record, key, prepare));
        drop(lock);
        let made = made.and_then(|host| host.wait_until_reachable().map(|()| host));
        let host = made.inspect_err(|_| {
            // The first error is the one to report; what cannot be removed now is on record.
            let _ = self.down(&options.name);
        })?;
        Ok(TemporaryHost { lab: self, host })
    }

    fn start_from(
        &self,
        dir: &HostDir,
        mut record: Record,
        key: &str,
        prepare: impl FnOnce(&LabHost) -> Result<()>,
    ) -> Result<LabHost> {
        let place = format!("{}-{}", record.release, record.network.address());
        let name = format!("{place}-{}-{key}", record.base);
        let folder = self.state.snapshots().join(&name);
        if !folder.is_dir() {
            self.notify(&format!("prepares a host to start others from, once ({place})"));
            let host = self.start(dir, record.clone())?;
            host.wait_until_reachable()?;
            prepare(&host)?;
            host.power_off()?;
            boot::unmount_root(dir)?;
            record.network.rewire()?;
            self.remove_unused_snapshots(&place)?;
            keep(dir, &folder)?;
        }
        record.snapshot = Some(name);
        write_record(dir, &record)?;
        let snapshot = HostDir(folder);
        for name in BESIDE {
            let copy = dir.0.join(name).display().to_string();
            let original = snapshot.0.join(name).display().to_string();
            run("cp", &["--archive", "--no-target-directory", "--reflink=auto", &original, &copy])?;
        }
        boot::mount_root(dir, &self.state.layers(&record))?;
        write(&dir.ssh_config(), &root::ssh_config(&self.state, dir, &record))?;
        boot::start(dir, &record.network)?;
        Ok(LabHost::new(&self.state, dir.clone(), record))
    }

    /// Removes the snapshots of a place that no host starts from: their key is an older one.
    fn remove_unused_snapshots(&self, place: &str) -> Result<()> {
        let hosts = self.state.host_dirs()?;
        let used: Vec<String> =
            hosts.iter().filter_map(read_record).filter_map(|record| record.snapshot).collect();
        let Ok(entries) = fs::read_dir(self.state.snapshots()) else { return Ok(()) };
        let is_unused = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(&format!("{place}-")) && !used.contains(&name)
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(is_unused) {
            fs::remove_dir_all(&path).with_context(|| format!("remove `{}`", path.display()))?;
        }
        Ok(())
    }
}

/// Moves what a host wrote into a snapshot. It is complete once it has its name.
fn keep(dir: &HostDir, snapshot: &Path) -> Result<()> {
    let unfinished = HostDir(PathBuf::from(format!("{}{UNFINISHED}", snapshot.display())));
    make_dir(&unfinished.overlay())?;
    let beside = BESIDE.map(|name| (dir.0.join(name), unfinished.0.clone()));
    for (from, to) in beside.into_iter().chain([(dir.upper(), unfinished.overlay())]) {
        // What was held in memory is copied.
        run("mv", &["--target-directory", &to.display().to_string(), &from.display().to_string()])?;
    }
    fs::remove_dir_all(dir.work()).context("remove the overlay's scratch space")?;
    fs::rename(&unfinished.0, snapshot)
        .with_context(|| format!("rename `{}` into place", unfinished.0.display()))
}
