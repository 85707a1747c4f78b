//! Disposable real hosts on this machine: systemd, sshd and apt in a network of their own.

mod base;
mod boot;
mod command;
mod host;
mod images;
mod network;
mod place;
mod root;
mod snapshot;
mod stand_in;
mod state;
mod tools;

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

pub use host::{LabHost, TemporaryHost};
use place::Place;
use state::{HostDir, Owner, Record, State, make_dir, read_record, write_record};

use crate::failure::{Exit, Failure};

/// Where the lab keeps its bases and hosts; the variable names another folder.
const DIR: &str = "/var/lib/hwctl/lab";
const DIR_VARIABLE: &str = "HWCTL_LAB_DIR";
/// The release of a host when none is asked for.
pub const DEFAULT_RELEASE: &str = "trixie";

/// Whether this process has begun to take its own hosts down, and makes no more of them.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// What host to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpOptions {
    /// Its name: lowercase letters, digits and dashes.
    pub name: String,
    /// The Debian or Ubuntu release that it runs.
    pub release: String,
    /// How long it lives.
    pub lifetime: Lifetime,
}

/// How long a host lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is taken down.
    Kept,
    /// At most as long as this process: the next `up` of anybody takes it down then.
    ThisProcess,
}

/// The lab of this machine.
pub struct Lab {
    state: State,
    notify: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Lab {
    /// The lab in its usual folder; a [`Failure`] that says why where none can run.
    pub fn open() -> Result<Self> {
        let dir = std::env::var_os(DIR_VARIABLE).map_or_else(|| PathBuf::from(DIR), PathBuf::from);
        tools::check(std::env::consts::OS, rustix::process::geteuid().is_root())?;
        make_dir(&dir)?;
        let dir = dir.canonicalize().with_context(|| format!("find `{}`", dir.display()))?;
        Ok(Self { state: State { dir }, notify: Box::new(|_| ()) })
    }

    /// The same lab, telling this function what it does, one line at a time.
    #[must_use]
    pub fn with_progress(mut self, notify: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.notify = Box::new(notify);
        self
    }

    fn notify(&self, line: &str) {
        (self.notify)(line);
    }

    /// Makes a host and waits until it can be logged in to. A host of this name that runs already is
    /// returned as it is; what a crash left of one is removed first.
    pub fn up(&self, options: &UpOptions) -> Result<LabHost> {
        // Snapshots are of one place each. The fewer places their hosts are at, the fewer are made.
        let place = match options.lifetime {
            Lifetime::Kept => Place::Lowest,
            Lifetime::ThisProcess => Place::Highest,
        };
        self.up_at(options, place)
    }

    fn up_at(&self, options: &UpOptions, place: Place) -> Result<LabHost> {
        check_name(&options.name)?;
        let base = self.prepare(&options.release)?;
        let lock = self.state.lock(&options.name)?;
        let dir = self.state.host_dir(&options.name);
        if let Some(host) = self.host(&options.name).filter(LabHost::is_running) {
            // Whoever started it may have been stopped before the host was up.
            drop(lock);
            let host = same_release(host, &options.release)?;
            return host.wait_until_reachable().map(|()| host);
        }
        if dir.0.exists() {
            self.notify(&format!("removes what is left of an earlier `{}`", options.name));
            self.remove(&dir)?;
        }
        self.notify(&format!("boots `{}` ({})", options.name, options.release));
        let made =
            self.claim(&dir, options, base, place).and_then(|record| self.start(&dir, record));
        drop(lock);
        made.and_then(|host| host.wait_until_reachable().map(|()| host)).inspect_err(|_| {
            // The first error is the one to tell; what cannot be removed now is on record.
            let _ = self.down(&options.name);
        })
    }

    /// Installs and makes what every host of a release needs; the name of its base.
    fn prepare(&self, release: &str) -> Result<String> {
        tools::ensure(&self.notify)?;
        self.reap()?;
        tools::ensure_keyring(base::distribution(release)?.keyring, &self.notify)?;
        root::ensure_key(&self.state)?;
        base::ensure(&self.state, release, &self.notify)
    }

    /// A host of its own for one test, with a name that no other has.
    pub fn temporary(&self, release: &str) -> Result<TemporaryHost<'_>> {
        let host = self.up(&temporary(release))?;
        Ok(TemporaryHost { lab: self, host })
    }

    /// The same at one switch: each of these hosts sees the others in its own network, and can take over their addresses.
    pub fn temporary_neighbors(
        &self,
        release: &str,
        count: usize,
    ) -> Result<Vec<TemporaryHost<'_>>> {
        let mut hosts: Vec<TemporaryHost<'_>> = Vec::new();
        for _ in 0..count {
            let beside = hosts.first().and_then(|first| first.host.beside());
            let place = beside.unwrap_or(Place::NewSegment);
            let host = self.up_at(&temporary(release), place)?;
            hosts.push(TemporaryHost { lab: self, host });
        }
        Ok(hosts)
    }

    /// Gives the host a folder, a place in the network and a record.
    fn claim(
        &self,
        dir: &HostDir,
        options: &UpOptions,
        base: String,
        place: Place,
    ) -> Result<Record> {
        let owner = match options.lifetime {
            Lifetime::Kept => None,
            Lifetime::ThisProcess => Some(Owner::this_process()?),
        };
        let record = |network: &network::Network| Record {
            name: options.name.clone(),
            release: options.release.clone(),
            base,
            snapshot: None,
            network: network.clone(),
            owner: owner.clone(),
        };
        let mut made = None;
        network::claim(&self.state, dir, place, |network| {
            if owner.is_some() {
                refuse_when_ending()?;
            }
            make_dir(&dir.0)?;
            let record = record(network);
            write_record(dir, &record)?;
            if owner.is_some() {
                boot::hold_in_memory(dir)?;
            }
            made = Some(record);
            Ok(())
        })?;
        made.context("the network has a place")
    }

    /// Boots a claimed host on its base.
    fn start(&self, dir: &HostDir, record: Record) -> Result<LabHost> {
        boot::mount_root(dir, &self.state.layers(&record))?;
        root::personalise(&self.state, dir, &record)?;
        boot::start(dir, &record.network)?;
        Ok(LabHost::new(&self.state, dir.clone(), record))
    }

    /// The hosts of this lab by name, also those that do not run.
    pub fn list(&self) -> Result<Vec<LabHost>> {
        let dirs = self.state.host_dirs()?;
        Ok(dirs.into_iter().filter_map(|dir| self.recorded(dir)).collect())
    }

    /// The host of this name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<LabHost> {
        self.recorded(self.state.host_dir(name))
    }

    fn recorded(&self, dir: HostDir) -> Option<LabHost> {
        let record = read_record(&dir)?;
        Some(LabHost::new(&self.state, dir, record))
    }

    /// Takes a host down and removes all that belongs to it; false if there is none.
    pub fn down(&self, name: &str) -> Result<bool> {
        check_name(name)?;
        let _lock = self.state.lock(name)?;
        let dir = self.state.host_dir(name);
        let is_there = dir.0.exists();
        if is_there {
            self.remove(&dir).with_context(|| format!("take down `{name}`"))?;
        }
        self.state.forget_lock(name)?;
        Ok(is_there)
    }

    /// Takes down the hosts that live only as long as this process, which can make no more of them.
    pub fn down_own(&self) -> Result<()> {
        let own = Owner::this_process()?;
        IS_ENDING.store(true, Ordering::SeqCst);
        // A host that another thread is about to make has its record after this, or never.
        network::wait_for_claims()?;
        let is_own = |record: &Record| record.owner.as_ref() == Some(&own);
        for dir in self.state.host_dirs()? {
            if let Some(record) = read_record(&dir).filter(is_own) {
                // Whoever prepares it holds its lock until that ends, which is now.
                let _ = boot::kill(&dir, Some(&record.network));
                self.down(dir.name())?;
            }
        }
        Ok(())
    }

    /// Takes all hosts of this lab down; their names.
    pub fn down_all(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for dir in self.state.host_dirs()? {
            if self.down(dir.name())? {
                names.push(dir.name().to_owned());
            }
        }
        Ok(names)
    }

    /// An archive, as `docker save` writes it, of a stand-in for `redis:7-alpine` made of Debian's
    /// redis 7.0: for `redis.image_archive` where no registry is reached. Made once and kept.
    pub fn redis_archive(&self) -> Result<PathBuf> {
        stand_in::archive(&images::REDIS, &self.state, &self.notify)
    }

    /// The same for `prom/prometheus`, made of Debian's Prometheus, for `monitoring.image_archive`.
    pub fn prometheus_archive(&self) -> Result<PathBuf> {
        stand_in::archive(&images::PROMETHEUS, &self.state, &self.notify)
    }

    /// Takes down the temporary hosts whose process is gone, and what a crash left half made.
    fn reap(&self) -> Result<()> {
        for dir in self.state.host_dirs()? {
            let is_orphan = |dir: &HostDir| {
                let has_none = !dir.record().exists();
                let owner = read_record(dir).and_then(|record| record.owner);
                has_none || owner.is_some_and(|owner| !owner.is_alive())
            };
            if !is_orphan(&dir) {
                continue;
            }
            // Somebody else who takes it down holds its lock.
            let Some(_lock) = self.state.try_lock(dir.name())? else { continue };
            if dir.0.exists() && is_orphan(&dir) {
                self.notify(&format!("removes `{}`, which nobody needs any more", dir.name()));
                self.remove(&dir)?;
            }
            if !dir.0.exists() {
                self.state.forget_lock(dir.name())?;
            }
        }
        Ok(())
    }

    /// Removes a host; each step also does its work when an earlier `remove` was interrupted.
    #[allow(clippy::unused_self)] // Belongs to the lab, whose lock of this name the caller holds.
    fn remove(&self, dir: &HostDir) -> Result<()> {
        let record = read_record(dir);
        boot::kill(dir, record.as_ref().map(|record| &record.network))?;
        boot::unmount_root(dir)?;
        if let Some(record) = &record {
            record.network.release()?;
        }
        boot::unmount(&dir.overlay())?;
        if fs::remove_dir_all(&dir.0).is_err() {
            // A file that the host made immutable cannot be removed even by root.
            let flags = ["-R", "-f", "-i", "-a"].map(OsStr::new);
            let _ = command::run("chattr", &[&flags[..], &[dir.0.as_os_str()]].concat());
            fs::remove_dir_all(&dir.0).with_context(|| format!("remove `{}`", dir.0.display()))?;
        }
        Ok(())
    }
}

/// Fails once this process takes its own hosts down.
fn refuse_when_ending() -> Result<()> {
    match IS_ENDING.load(Ordering::SeqCst) {
        true => bail!("this process is ending, and makes no more hosts"),
        false => Ok(()),
    }
}

/// A host for one test, with a name that no other has.
fn temporary(release: &str) -> UpOptions {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("test-{}-{count}", std::process::id());
    UpOptions { name, release: release.to_owned(), lifetime: Lifetime::ThisProcess }
}

fn same_release(host: LabHost, release: &str) -> Result<LabHost> {
    if host.release == release {
        return Ok(host);
    }
    Err(Failure::new(Exit::Failed, format!("`{}` is up already", host.name))
        .why(format!("it runs `{}`, and `{release}` is asked for", host.release))
        .not_done("nothing is changed")
        .hint(format!("take it down with `hwctl lab down {}`, or name another", host.name))
        .into())
}

/// Names go into host names, file names and command lines.
fn check_name(name: &str) -> Result<(), Failure> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && !name.ends_with('-') && name.len() <= 40 && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Failure::usage(format!("`{name}` cannot be the name of a lab host"))
        .hint("use lowercase letters, digits and dashes, a letter first, at most 40 of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["lab1", "a", "web-01"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "1lab", "-a", "a-", "Lab", "a b", "../x", "a.b", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
