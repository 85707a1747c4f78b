//! What the lab remembers on disk: its folders, its locks and one record for each host.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::network::Network;

/// The folder of the lab, and where things are in it.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) dir: PathBuf,
}

/// One host, as it is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) release: String,
    /// The folder name of the base that lies below the host's root.
    pub(super) base: String,
    /// The folder name of the snapshot that lies between the base and the host's root, if any.
    #[serde(default)]
    pub(super) snapshot: Option<String>,
    pub(super) network: Network,
    /// The process that the host lives for; without one it lives until it is taken down.
    pub(super) owner: Option<Owner>,
}

/// A process, told from a later one that got the same number by the time it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pid: u32,
    started: u64,
}

impl Owner {
    /// This process.
    pub(super) fn this_process() -> Result<Self> {
        let pid = std::process::id();
        let started = started(pid).context("read this process's start time from `/proc`")?;
        Ok(Self { pid, started })
    }

    /// Whether the process still runs.
    pub(super) fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

/// When a process started, in clock ticks since boot: the 22nd field of its `stat`.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// The folder of one host.
#[derive(Clone, Debug)]
pub(super) struct HostDir(pub(super) PathBuf);

impl HostDir {
    pub(super) fn record(&self) -> PathBuf {
        self.0.join("host.json")
    }
    /// The host's root file system, as it sees it.
    pub(super) fn root(&self) -> PathBuf {
        self.0.join("root")
    }
    /// What the host writes over its base, which may be held in memory.
    pub(super) fn overlay(&self) -> PathBuf {
        self.0.join("overlay")
    }
    /// What the host wrote over its base.
    pub(super) fn upper(&self) -> PathBuf {
        self.overlay().join("upper")
    }
    /// Scratch space of the overlay.
    pub(super) fn work(&self) -> PathBuf {
        self.overlay().join("work")
    }
    pub(super) fn ssh_config(&self) -> PathBuf {
        self.0.join("ssh_config")
    }
    pub(super) fn known_hosts(&self) -> PathBuf {
        self.0.join("known_hosts")
    }
    pub(super) fn boot_script(&self) -> PathBuf {
        self.0.join("boot.sh")
    }
    pub(super) fn console(&self) -> PathBuf {
        self.0.join("console.log")
    }
    /// A word for this host that no other on this machine has, also not one of the same name in
    /// another lab folder: the name, with a number made of the path.
    pub(super) fn mark(&self) -> String {
        let bytes = self.0.as_os_str().as_encoded_bytes();
        let number = bytes.iter().fold(0x811c_9dc5_u32, |number, byte| {
            (number ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
        format!("{number:08x}-{}", self.name())
    }
    pub(super) fn name(&self) -> &str {
        self.0.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

impl State {
    pub(super) fn key(&self) -> PathBuf {
        self.dir.join("key/id_ed25519")
    }

    pub(super) fn bases(&self) -> PathBuf {
        self.dir.join("base")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    /// The read-only layers below a host's root, the topmost first.
    pub(super) fn layers(&self, record: &Record) -> Vec<PathBuf> {
        let snapshot = record.snapshot.as_ref().map(|name| self.snapshots().join(name));
        let upper = snapshot.map(|folder| HostDir(folder).upper());
        upper.into_iter().chain([self.bases().join(&record.base)]).collect()
    }

    pub(super) fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    pub(super) fn host_dir(&self, name: &str) -> HostDir {
        HostDir(self.dir.join("hosts").join(name))
    }

    /// Every host that has a folder, by name.
    pub(super) fn host_dirs(&self) -> Result<Vec<HostDir>> {
        let hosts = self.dir.join("hosts");
        if !hosts.exists() {
            return Ok(Vec::new());
        }
        let mut dirs = fs::read_dir(&hosts)
            .and_then(|entries| entries.map(|entry| Ok(HostDir(entry?.path()))).collect())
            .with_context(|| format!("list `{}`", hosts.display()))
            .map(|dirs: Vec<HostDir>| dirs)?;
        dirs.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(dirs)
    }

    /// Waits for the lock of this name; it is held until the file is dropped, or the process ends.
    pub(super) fn lock(&self, name: &str) -> Result<File> {
        loop {
            let file = self.lock_file(name)?;
            file.lock().with_context(|| format!("lock `{name}` of the lab"))?;
            if self.is_current(name, &file) {
                return Ok(file);
            }
        }
    }

    /// The lock of this name, if nobody holds it.
    pub(super) fn try_lock(&self, name: &str) -> Result<Option<File>> {
        let file = self.lock_file(name)?;
        Ok((file.try_lock().is_ok() && self.is_current(name, &file)).then_some(file))
    }

    /// Removes the file of a lock that the caller holds, when what it guards is gone.
    pub(super) fn forget_lock(&self, name: &str) -> Result<()> {
        let path = self.dir.join("locks").join(name);
        fs::remove_file(&path).with_context(|| format!("remove `{}`", path.display()))
    }

    /// Whether the locked file is still the one of that name: its last holder may have removed it.
    fn is_current(&self, name: &str, file: &File) -> bool {
        let inode = |metadata: std::io::Result<fs::Metadata>| metadata.ok().map(|file| file.ino());
        inode(fs::metadata(self.dir.join("locks").join(name))) == inode(file.metadata())
    }

    /// The file of a lock, for a program that holds it itself.
    pub(super) fn lock_path(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join("locks");
        make_dir(&dir)?;
        Ok(dir.join(name))
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.lock_path(name)?;
        File::create(&path).with_context(|| format!("open `{}`", path.display()))
    }
}

/// The record of a host; none if it has none that can be read, as after a crash.
pub(super) fn read_record(dir: &HostDir) -> Option<Record> {
    serde_json::from_slice(&fs::read(dir.record()).ok()?).ok()
}

/// Writes a record beside its place and renames it there, so that it is never half there.
pub(super) fn write_record(dir: &HostDir, record: &Record) -> Result<()> {
    let new = dir.record().with_extension("new");
    write(&new, &serde_json::to_string_pretty(record)?)?;
    fs::rename(&new, dir.record()).with_context(|| format!("rename `{}` into place", new.display()))
}

/// Makes a folder and those above it.
pub(super) fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("make the folder `{}`", path.display()))
}

/// Writes a file.
pub(super) fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn an_owner_lives_as_long_as_its_process() {
        let owner = Owner::this_process().unwrap();
        assert!(owner.is_alive());
        let earlier = Owner { started: owner.started - 1, ..owner };
        assert!(!earlier.is_alive(), "another process of the same number");
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let state = State { dir: dir.path().to_owned() };
        let held = state.lock("lab1").unwrap();
        assert!(state.try_lock("lab1").unwrap().is_none());
        assert!(state.try_lock("lab2").unwrap().is_some());
        state.forget_lock("lab1").unwrap();
        let again = state.try_lock("lab1").unwrap();
        assert!(again.is_some(), "a forgotten lock is free, though its file is still open");
        drop(held);
        assert!(state.try_lock("lab1").unwrap().is_none());
    }

    #[test]
    fn a_broken_record_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostDir(dir.path().to_owned());
        assert!(read_record(&host).is_none());
        fs::write(host.record(), "{").unwrap();
        assert!(read_record(&host).is_none());
    }
}
