//! `hwctl backup` and `hwctl restore`: Redis's data to a file and back, counted both times.

mod file;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};

use crate::cli::{BackupArgs, RestoreArgs};
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::run::run_info;
use crate::engine::protocol::Restore;
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine};
use crate::spec::PartSpec;
use file::Head;

/// Runs `hwctl backup`.
pub fn backup(kinds: Kinds, args: BackupArgs) -> Result<Exit> {
    let hosts = args.hosts.clone();
    let show = Show { json: args.json, diff: false, check: false };
    fleet::run(kinds, &hosts, show, Backup { args, several: AtomicBool::new(false) })
}

/// Runs `hwctl restore`.
pub fn restore(kinds: Kinds, args: RestoreArgs) -> Result<Exit> {
    let hosts = args.hosts.clone();
    let show = Show { json: args.json, diff: false, check: false };
    fleet::run(kinds, &hosts, show, RestoreJob { args, several: AtomicBool::new(false) })
}

/// The part whose data is copied.
fn part(work: &Work) -> Result<PartSpec, Failure> {
    let part = work.parts().into_iter().find(|part| part.has_dump);
    part.ok_or_else(|| {
        Failure::usage(format!("`{}` has no data that hwctl copies", work.target.name))
            .not_done("no host was contacted")
            .hint("`roles` in the inventory says what the host is for")
    })
}

/// Refuses hosts of which none has such data. Those that have none are passed over.
fn require_data(works: &[Work]) -> Result<(), Failure> {
    match works.first() {
        Some(first) if works.iter().all(|work| part(work).is_err()) => part(first).map(drop),
        _ => Ok(()),
    }
}

struct Backup {
    args: BackupArgs,
    several: AtomicBool,
}

impl Job for Backup {
    const CHANGES: bool = false;

    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        require_data(works)?;
        if works.len() < 2 {
            return Ok(());
        }
        self.several.store(true, Ordering::Relaxed);
        let made = std::fs::create_dir_all(&self.args.file);
        let made = made.with_context(|| format!("make the folder `{}`", self.args.file.display()));
        made.map_err(|error| Failure::from_error(Exit::Usage, &error))
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let Ok(part) = part(work) else { return Ok(Outcome::Unchanged.into()) };
        let name = &work.target.name;
        let path = file::path_of(&self.args.file, name, self.several.load(Ordering::Relaxed));
        let mut engine = Engine::start(&work.target, emit).await?;
        emit(EventKind::Step { message: "copying Redis's data".to_owned(), fraction: None });
        let (run, wait) = (run_info("backup"), self.args.wait.into());
        let (copied, bytes) = engine.backup(part, run, wait, emit).await?;
        engine.hang_up().await;
        let data = copied.data.clone();
        let head = Head {
            host: name.clone(),
            made: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            hwctl: env!("CARGO_PKG_VERSION").to_owned(),
            copied,
        };
        file::write(&path, &head, &bytes)?;
        // What is told to be there is there.
        file::read(&path)?;
        emit(EventKind::BackedUp { file: path.display().to_string(), data });
        Ok(Outcome::Answered.into())
    }
}

struct RestoreJob {
    args: RestoreArgs,
    several: AtomicBool,
}

impl RestoreJob {
    fn path(&self, host: &str) -> PathBuf {
        file::path_of(&self.args.file, host, self.several.load(Ordering::Relaxed))
    }
}

impl Job for RestoreJob {
    /// A file that is missing or damaged is known before any host is contacted.
    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        self.several.store(works.len() > 1, Ordering::Relaxed);
        if works.len() > 1 && self.args.file.is_file() {
            return Err(Failure::usage("one file is not restored on several hosts")
                .not_done("no host was contacted")
                .hint("name one with `--host`, or give the folder with a file for each host"));
        }
        require_data(works)?;
        let with_data = works.iter().filter(|work| part(work).is_ok());
        with_data
            .map(|work| read(&self.path(&work.target.name)))
            .try_for_each(|read| read.map(drop))
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let Ok(part) = part(work) else { return Ok(Outcome::Unchanged.into()) };
        let path = self.path(&work.target.name);
        let (head, bytes) = read(&path)?;
        let mut engine = Engine::start(&work.target, emit).await?;
        let data = head.copied.data.clone();
        let request = Restore {
            part,
            copied: head.copied,
            run: run_info("restore"),
            patience_s: self.args.wait.into(),
        };
        engine.restore(request, &bytes, emit).await?;
        engine.hang_up().await;
        emit(EventKind::Restored { file: path.display().to_string(), data });
        Ok(Outcome::Changed.into())
    }
}

fn read(path: &Path) -> Result<(Head, Vec<u8>), Failure> {
    file::read(path)
}
