//! The host as resources see it: its folders, its blobs and its progress. What a plan leaves, what a session has
//! done and what was read are apart from it.

pub(in crate::resource) mod accounts;
pub(in crate::resource) mod attributes;
pub(in crate::resource) mod batch;
mod cache;
pub(in crate::resource) mod docker;
pub(in crate::resource) mod entry;
pub(in crate::resource) mod fs;
pub(in crate::resource) mod interfaces;
pub(in crate::resource) mod large_files;
pub(in crate::resource) mod listeners;
mod memo;
pub(in crate::resource) mod netlink;
pub(in crate::resource) mod path_state;
mod programs;
pub(in crate::resource) mod restarts;
mod session;
pub(in crate::resource) mod systemd;
pub(in crate::resource) mod units;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::OnceCell;

use crate::resource::host::batch::Batch;
use crate::resource::host::fs::{remove_file, write_atomic};
use crate::resource::model::blob::Blob;
use cache::Cache;
use memo::PlanMemo;
use session::SessionNotes;

pub use memo::MemoEntry;
pub use programs::last_lines;
pub use session::StartRecord;

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
    docker: OnceCell<bollard::Docker>,
    memo: PlanMemo,
    session: SessionNotes,
    cache: Cache,
    /// Changes of files that are synced together.
    pub(in crate::resource) batch: Batch,
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
            docker: OnceCell::new(),
            memo: PlanMemo::default(),
            session: SessionNotes::default(),
            cache: Cache::default(),
            batch: Batch::default(),
            patience: Duration::from_mins(10),
        }
    }

    /// Sets how long something that is in the way for a while (a held lock, a first boot) is
    /// waited for; ten minutes when not set.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(in crate::resource) fn patience(&self) -> Duration {
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
    pub(in crate::resource) fn kept_path(&self, name: &str) -> PathBuf {
        self.state_dir().join("stamps").join(name)
    }

    /// Keeps that.
    pub(in crate::resource) fn keep_between_runs(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.kept_path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make `{}`", folder.display()))?;
        }
        write_atomic(&path, bytes, 0o600, None)
    }

    /// Keeps that no longer.
    pub(in crate::resource) fn keep_no_longer(&self, name: &str) -> Result<()> {
        remove_file(&self.kept_path(name))
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

    /// Reports how far a long change is.
    pub fn progress(&self, fraction: Option<f32>, message: impl Into<String>) {
        (self.progress)(Progress { fraction, message: message.into() });
    }

    /// The Docker API on the host's own socket. The connection is made once.
    pub async fn docker(&self) -> Result<&bollard::Docker> {
        let connect = async || docker::connect().await.context("reach docker on its socket");
        self.docker.get_or_try_init(connect).await
    }
}
