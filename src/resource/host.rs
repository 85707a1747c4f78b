//! The host as resources see it: its file system, its programs, and what is already known of it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, access};
use tokio::sync::OnceCell;

use super::batch::Batch;
use super::firewall::{Closing, Listed};
use super::known::Known;
use super::packages::{LastTable, Simulated};
use super::vouch::Vouchers;
use super::{Blob, Id, Stamp, docker, write_atomic};

/// Where the host's programs are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a plan leaves of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the plan changes it.
    pub changed: bool,
    /// See `Kind::digest`.
    pub digest: Option<String>,
    /// The digest of what the host has now, where the plan changes it.
    pub before: Option<String>,
    /// See `Kind::changed_at`.
    pub changed_at: Option<SystemTime>,
}

/// How far a long change is: a fraction from 0 to 1 where it is known, and what is going on.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: Option<f32>,
    /// In one line, such as `unpacking nginx`.
    pub message: String,
}

/// Opens a blob for reading.
pub type BlobSource = Box<dyn Fn(&Blob) -> Result<Box<dyn Read + Send>>>;

/// A host seen from the inside, as root.
pub struct Host {
    root: PathBuf,
    blobs: BlobSource,
    progress: Box<dyn Fn(Progress)>,
    outcomes: RefCell<HashMap<Id, Outcome>>,
    /// Stamps of units by name.
    starts: RefCell<HashMap<String, Vec<u8>>>,
    /// Ports that the firewall would close.
    pub(super) closing: RefCell<Vec<Closing>>,
    docker: OnceCell<bollard::Docker>,
    cache: RefCell<HashMap<String, Rc<OnceCell<Rc<str>>>>>,
    tables: RefCell<HashMap<String, Rc<str>>>,
    units: RefCell<Vec<String>>,
    leaving: RefCell<HashSet<PathBuf>>,
    renewed: RefCell<HashSet<String>>,
    hashes: RefCell<HashMap<String, Option<String>>>,
    come: RefCell<HashSet<String>>,
    held: RefCell<HashSet<String>>,
    owes_reload: Cell<bool>,
    /// Changes of files that are synced together.
    pub(super) batch: Batch,
    pub(super) vouchers: Vouchers,
    pub(super) known: Known,
    pub(super) listed: Listed,
    pub(super) last_table: LastTable,
    pub(super) simulated: Simulated,
    patience: Duration,
}

impl Host {
    /// The host whose root directory is `root`: `/`, or a folder in tests of the kinds that only
    /// touch files.
    pub fn new(
        root: impl Into<PathBuf>,
        blobs: BlobSource,
        progress: Box<dyn Fn(Progress)>,
    ) -> Self {
        Self {
            root: root.into(),
            blobs,
            progress,
            outcomes: RefCell::default(),
            starts: RefCell::default(),
            closing: RefCell::default(),
            docker: OnceCell::new(),
            cache: RefCell::default(),
            tables: RefCell::default(),
            units: RefCell::default(),
            leaving: RefCell::default(),
            renewed: RefCell::default(),
            hashes: RefCell::default(),
            come: RefCell::default(),
            held: RefCell::default(),
            owes_reload: Cell::default(),
            batch: Batch::default(),
            vouchers: Vouchers::default(),
            known: Known::default(),
            listed: Listed::default(),
            last_table: LastTable::default(),
            simulated: Simulated::default(),
            patience: Duration::from_mins(10),
        }
    }

    /// Notes that a package is installed and set up, while others may not be yet.
    pub(super) fn package_has_come(&self, name: &str) {
        self.come.borrow_mut().insert(name.to_owned());
    }

    /// Whether a package has been installed in this session.
    pub fn has_come(&self, package: &str) -> bool {
        self.come.borrow().contains(package)
    }

    /// Notes that a unit would run by now, had this session not held it back.
    pub(super) fn hold_unit(&self, name: &str) {
        self.held.borrow_mut().insert(name.to_owned());
    }

    /// Whether a unit was held back in this session.
    pub(super) fn is_held(&self, name: &str) -> bool {
        self.held.borrow().contains(name)
    }

    /// Notes whether units were enabled since systemd has last read all of them.
    pub(super) fn owe_reload(&self, owed: bool) {
        self.owes_reload.set(owed);
    }

    pub(super) fn owes_reload(&self) -> bool {
        self.owes_reload.get()
    }

    /// Sets how long something that is in the way for a while (a held lock, a first boot) is
    /// waited for; ten minutes when not set.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// The same host with another root directory: a stage to try changes on. It opens no blobs and
    /// tells no progress.
    #[must_use]
    pub fn staged(&self, root: &Path) -> Self {
        let no_blobs: BlobSource = Box::new(|_| bail!("a stage has no blobs"));
        Self::new(root, no_blobs, Box::new(|_| ()))
    }

    /// From now on changes of files wait for [`Host::commit_batch`], and are synced together.
    pub fn begin_batch(&self) {
        self.batch.begin();
    }

    /// Makes the changes of files that wait, for good.
    pub fn commit_batch(&self) -> Result<()> {
        self.batch.commit()
    }

    /// Drops the changes of files that wait.
    pub fn abandon_batch(&self) {
        self.batch.abandon();
    }

    /// Adds a unit to those that are read together.
    pub(super) fn expect_unit(&self, name: &str) {
        let mut units = self.units.borrow_mut();
        if !units.iter().any(|known| known == name) {
            units.push(name.to_owned());
        }
    }

    /// The units that are read together.
    pub(super) fn expected_units(&self) -> Vec<String> {
        self.units.borrow().clone()
    }

    /// Begins a plan: forgets what was read and what another plan would have left.
    pub fn begin_plan(&self) {
        self.forget();
        self.leaving.borrow_mut().clear();
        self.outcomes.borrow_mut().clear();
    }

    /// Notes that the plan removes a path.
    pub fn note_leaving(&self, path: &Path) {
        self.leaving.borrow_mut().insert(path.to_owned());
    }

    /// Whether the plan removes a path.
    pub(super) fn is_leaving(&self, path: &Path) -> bool {
        self.leaving.borrow().contains(path)
    }

    /// Notes that a secret of the host has got another value in this session.
    pub(super) fn note_renewed(&self, name: &str) {
        self.renewed.borrow_mut().insert(name.to_owned());
    }

    /// Whether a secret of the host has got another value in this session.
    pub(super) fn is_renewed(&self, name: &str) -> bool {
        self.renewed.borrow().contains(name)
    }

    /// Whether the plan changes a resource into something that is not known yet.
    pub(super) fn will_be_unknown(&self, id: &Id) -> bool {
        let outcomes = self.outcomes.borrow();
        outcomes.get(id).is_some_and(|outcome| outcome.changed && outcome.digest.is_none())
    }

    /// Notes what a search for the hash of a password has found.
    pub(super) fn note_hash(&self, search: String, found: Option<String>) {
        self.hashes.borrow_mut().insert(search, found);
    }

    /// Whether such a search was made.
    pub(super) fn has_noted(&self, search: &str) -> bool {
        self.hashes.borrow().contains_key(search)
    }

    /// What a search for the hash of a password has found, or finds now.
    pub(super) fn noted_hash(
        &self,
        search: &str,
        find: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        self.hashes.borrow().get(search).cloned().unwrap_or_else(find)
    }

    /// When the newest of `inputs` changed on disk.
    pub(super) fn last_change_of(&self, inputs: &[Id]) -> Option<SystemTime> {
        let outcomes = self.outcomes.borrow();
        inputs.iter().filter_map(|id| outcomes.get(id)?.changed_at).max()
    }

    /// The first of `inputs` that the plan changes.
    pub(super) fn first_changed(&self, inputs: &[Id]) -> Option<Id> {
        let outcomes = self.outcomes.borrow();
        inputs.iter().find(|id| outcomes.get(id).is_some_and(|found| found.changed)).cloned()
    }

    /// Where `path` of the host is.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// hwctl's own folder on the host: secrets, stamps, journal. Mode 0700.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path(Path::new("/var/lib/hwctl"))
    }

    /// Where hwctl keeps between runs what it knows of something.
    pub(super) fn stamp_path(&self, name: &str) -> PathBuf {
        self.state_dir().join("stamps").join(name)
    }

    /// Remembers the stamp of a service that somebody else started with what is on disk now.
    pub fn note_start(&self, Stamp { name, bytes }: Stamp) {
        self.starts.borrow_mut().insert(name, bytes);
    }

    /// Keeps the stamps of [`Host::note_start`] before anything on disk changes: if the run is
    /// undone, what is on disk has new times of change, and they would say nothing any more.
    pub fn keep_starts(&self) -> Result<()> {
        let starts = self.starts.take();
        starts.iter().try_for_each(|(name, stamp)| self.write_stamp(name, stamp))
    }

    /// Keeps that.
    pub(super) fn write_stamp(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.stamp_path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make `{}`", folder.display()))?;
        }
        write_atomic(&path, bytes, 0o600, None)
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, blob: &Blob) -> Result<Box<dyn Read + Send>> {
        (self.blobs)(blob)
    }

    /// The bytes of a blob.
    pub fn blob(&self, blob: &Blob) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_blob(blob)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Tells how far a long change is.
    pub fn progress(&self, fraction: Option<f32>, message: impl Into<String>) {
        (self.progress)(Progress { fraction, message: message.into() });
    }

    /// Remembers what the plan leaves of a resource, for those that depend on it.
    pub fn record(&self, id: Id, outcome: Outcome) {
        self.outcomes.borrow_mut().insert(id, outcome);
    }

    /// Notes the content of a resource that the plan changed, once it is applied.
    pub fn record_applied(&self, id: Id, digest: Option<String>, changed_at: Option<SystemTime>) {
        self.record(id, Outcome { changed: true, digest, before: None, changed_at });
    }

    /// One digest over the content of `inputs` once the plan is applied; `None` when one of them
    /// is not known yet.
    #[must_use]
    pub fn digest_of(&self, inputs: &[Id]) -> Option<String> {
        self.digest_over(inputs, |outcome| outcome.digest.as_deref())
    }

    /// The same over the content that `inputs` have before the plan is applied.
    pub(super) fn digest_before(&self, inputs: &[Id]) -> Option<String> {
        self.digest_over(inputs, |outcome| match outcome.changed {
            true => outcome.before.as_deref(),
            false => outcome.digest.as_deref(),
        })
    }

    fn digest_over(
        &self,
        inputs: &[Id],
        digest: impl Fn(&Outcome) -> Option<&str>,
    ) -> Option<String> {
        let outcomes = self.outcomes.borrow();
        let mut text = String::new();
        for id in inputs {
            let digest = digest(outcomes.get(id)?)?;
            text.push_str(id.as_str());
            text.push('\0');
            text.push_str(digest);
            text.push('\n');
        }
        Some(super::content::sha256(text.as_bytes()))
    }

    /// The Docker API on the host's own socket. The connection is made once.
    pub async fn docker(&self) -> Result<&bollard::Docker> {
        let connect = async || docker::connect().await.context("reach docker on its socket");
        self.docker.get_or_try_init(connect).await
    }

    /// Runs a program without a shell and waits for it. `LC_ALL=C`, no standard input.
    pub async fn output<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<Output> {
        self.command(program).args(args).output().await.with_context(|| format!("run `{program}`"))
    }

    /// The program to run with the host's environment: clean, in C locale.
    #[must_use]
    pub fn command(&self, program: &str) -> tokio::process::Command {
        // By its path: a name would be looked for by a copy of this process, which costs more than
        // what many of them do.
        let mut places = PATH.split(':').map(|folder| Path::new(folder).join(program));
        let runs = |path: &PathBuf| access(path, Access::EXEC_OK).is_ok() && path.is_file();
        let found = places.find(runs);
        let mut command =
            tokio::process::Command::new(found.unwrap_or_else(|| PathBuf::from(program)));
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/root")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a program that has to succeed and gives what it printed.
    pub async fn run<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<String> {
        let output = self.output(program, args).await?;
        if !output.status.success() {
            let shown: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
            bail!(
                "`{program} {}` fails with {}: {}",
                shown.join(" "),
                output.status,
                last_lines(&output, 5)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Text that is read once and kept until [`Host::forget`].
    pub async fn once<F>(&self, key: &str, read: F) -> Result<Rc<str>>
    where
        F: AsyncFnOnce() -> Result<String>,
    {
        // Several may want it at once: one of them reads.
        let cell = Rc::clone(self.cache.borrow_mut().entry(key.to_owned()).or_default());
        let text = cell.get_or_try_init(async || read().await.map(Rc::from)).await?;
        Ok(Rc::clone(text))
    }

    /// A file that is read at once, and kept like that.
    pub(super) fn table(
        &self,
        path: &str,
        read: impl FnOnce() -> Result<String>,
    ) -> Result<Rc<str>> {
        if let Some(known) = self.tables.borrow().get(path) {
            return Ok(Rc::clone(known));
        }
        let text = Rc::from(read()?);
        self.tables.borrow_mut().insert(path.to_owned(), Rc::clone(&text));
        Ok(text)
    }

    /// Keeps what was found out and may hold for the next run: hashes of passwords, digests of large
    /// files, the rules in the kernel.
    pub fn keep_notes(&self) {
        // Without them a next run is slower, and no less right.
        for kept in [self.keep_vouchers(), self.keep_known(), self.keep_listing()] {
            drop(kept);
        }
    }

    /// Forgets what was read, after a change.
    pub fn forget(&self) {
        self.cache.borrow_mut().clear();
        self.tables.borrow_mut().clear();
    }
}

/// The last lines that a program printed, its errors before its output, joined by ` | `.
#[must_use]
pub fn last_lines(output: &Output, count: usize) -> String {
    let text = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}
