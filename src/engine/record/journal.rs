//! What is needed to undo a run: written and synced before each change; and the runs of before.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::engine::protocol::RunInfo;
use crate::engine::record::format::{self, Format};
use crate::engine::record::specs;
use crate::engine::record::step::Step;
use crate::event::{Changed, Run, RunOutcome};
use crate::resource::{
    Advise, Change, Host, Resource, Saved, decode, encode, remove_file, write_atomic,
};

/// How many runs are kept.
const KEPT_RUNS: usize = 50;
/// How long a run is kept.
const KEPT_FOR: Duration = Duration::from_hours(24 * 180);
/// How many of the newest are kept however old they are.
const ALWAYS_KEPT: usize = 5;

/// Room that a run keeps for its way back, should somebody else fill the disk meanwhile.
const RESERVE: usize = 256 << 10;
const RESERVE_NAME: &str = "reserve.bin";

/// A run's folder on the host, `/var/lib/hwctl/runs/<id>`.
#[derive(Debug)]
pub(in crate::engine) struct Journal {
    folder: PathBuf,
    head: Run,
    entries: Vec<Entry>,
}

/// One resource's state before a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::engine) struct Entry {
    pub(in crate::engine) tag: String,
    pub(in crate::engine) resource: Resource,
    pub(in crate::engine) before: Saved,
    /// The earlier state that it was brought back to; none when it was brought to what is declared.
    pub(in crate::engine) to: Option<Saved>,
    pub(in crate::engine) change: Change,
}

impl Entry {
    /// The entry of a step, made while the resource is in the state `before`.
    pub(in crate::engine) fn new(step: &Step, before: Saved, change: Change) -> Self {
        // A program's older version is not brought back, and its bytes are not kept.
        let before = if step.is_surplus { step.to.clone().unwrap_or(before) } else { before };
        Self {
            tag: step.tag.clone(),
            resource: step.resource.for_journal(),
            before,
            to: step.to.clone(),
            change,
        }
    }
}

impl Journal {
    /// Begins a run.
    pub(in crate::engine) fn begin(
        host: &Host,
        run: &RunInfo,
        from: Option<String>,
    ) -> Result<Self> {
        let runs = folder(host);
        make_private(&runs)?;
        prune(&runs, Timestamp::now())?;
        let now = Timestamp::now();
        let folder = new_folder(&runs, now)?;
        let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let RunInfo { operator, verb, version } = run.clone();
        let head = Run {
            id,
            operator,
            from,
            verb,
            version,
            began: text(now),
            ended: None,
            outcome: RunOutcome::Running,
            why: None,
            changes: Vec::new(),
        };
        write_head(&folder, &head)?;
        specs::save_before(host, &folder)?;
        write_atomic(&folder.join(RESERVE_NAME), &vec![0; RESERVE], 0o600, None)?;
        write_atomic(&open_path(host), head.id.as_bytes(), 0o600, None)?;
        Ok(Self { folder, head, entries: Vec::new() })
    }

    /// What `hwctl rollback` knows the run by.
    pub(in crate::engine) fn id(&self) -> &str {
        &self.head.id
    }

    /// Notes the state before a change; once this returns, the change can be undone.
    pub(in crate::engine) fn note(
        &mut self,
        step: &Step,
        before: Saved,
        change: Change,
    ) -> Result<()> {
        self.note_all(vec![Entry::new(step, before, change)]).map(|_| ())
    }

    /// Notes the states before changes that are made together, in one file. Returns the entries.
    pub(in crate::engine) fn note_all(&mut self, entries: Vec<Entry>) -> Result<&[Entry]> {
        let first = self.entries.len();
        if entries.is_empty() {
            return Ok(&[]);
        }
        let encoded = entries.iter().map(|entry| encode(entry).map(ByteBuf::from));
        let encoded: Vec<ByteBuf> = encoded.collect::<Result<_>>()?;
        let path = self.folder.join(format!("{:04}", self.entries.len()));
        write_atomic(&path, &encode(&encoded)?, 0o600, None)
            .context("note the state before the change")?;
        self.entries.extend(entries);
        Ok(&self.entries[first..])
    }

    /// Whether something was removed that cannot be brought back.
    pub(in crate::engine) fn is_final(&self) -> bool {
        self.entries.iter().any(|entry| {
            entry.change.not_undone.is_some()
                && entry.to.as_ref().is_some_and(|to| *to != entry.before)
        })
    }

    /// The changes so far, oldest first.
    pub(in crate::engine) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Gives up the room that was kept for the way back.
    pub(in crate::engine) fn free_reserve(&self) -> Result<()> {
        remove_reserve(&self.folder)
    }

    /// Ends the run.
    pub(in crate::engine) fn end(
        self,
        host: &Host,
        outcome: RunOutcome,
        why: Option<String>,
    ) -> Result<()> {
        let changes = self.entries.iter().map(changed).collect();
        let ended = Some(text(Timestamp::now()));
        self.free_reserve()?;
        write_head(&self.folder, &Run { ended, outcome, why, changes, ..self.head })?;
        close(host)
    }
}

/// The run that has begun and not ended, if there is one.
pub(in crate::engine) fn open_run(host: &Host) -> Option<String> {
    fs::read_to_string(open_path(host)).ok()
}

/// Ends a run that went away in the middle; nothing of it is under way any more.
pub(in crate::engine) fn end_interrupted(host: &Host, id: &str) -> Result<()> {
    let run = folder_of(host, id);
    require_known_format(&run)?;
    remove_reserve(&run)?;
    if let Ok(head) = read_head(&run) {
        let changes = known_entries(host, id)?.iter().map(changed).collect();
        write_head(&run, &Run { outcome: RunOutcome::Interrupted, changes, ..head })?;
    }
    close(host)
}

/// All runs, oldest first. One that has not ended is interrupted, unless the host `is_locked`.
pub(in crate::engine) fn runs(host: &Host, is_locked: bool) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for path in folders(&folder(host))? {
        require_known_format(&path)?;
        // A folder without a head is a run that died before it began.
        let Ok(mut run) = read_head(&path) else { continue };
        if run.outcome == RunOutcome::Running {
            run.changes = known_entries(host, &run.id)?.iter().map(changed).collect();
            if !is_locked {
                run.outcome = RunOutcome::Interrupted;
            }
        }
        runs.push(run);
    }
    Ok(runs)
}

/// The newest run that was kept.
pub(in crate::engine) fn last_kept(host: &Host) -> Option<Run> {
    let heads = folders(&folder(host)).unwrap_or_default().into_iter().rev();
    heads.filter_map(|run| read_head(&run).ok()).find(|run| run.outcome == RunOutcome::Kept)
}

/// Whether a run of this verb was kept after a point in time.
pub(in crate::engine) fn was_kept_after(host: &Host, verb: &str, time: SystemTime) -> bool {
    let is_later = |run: &PathBuf| {
        let ended = fs::metadata(head_path(run)).and_then(|metadata| metadata.modified());
        ended.is_ok_and(|ended| ended > time)
    };
    let later = folders(&folder(host)).unwrap_or_default().into_iter().filter(is_later);
    let mut heads = later.filter_map(|run| read_head(&run).ok());
    heads.any(|run| run.outcome == RunOutcome::Kept && run.verb == verb)
}

/// What a run changed, oldest first.
pub(in crate::engine) fn entries(host: &Host, id: &str) -> Result<Vec<Entry>> {
    read_entries(host, id)?.collect()
}

/// Of what a run changed that which this version of hwctl understands.
pub(in crate::engine) fn known_entries(host: &Host, id: &str) -> Result<Vec<Entry>> {
    Ok(read_entries(host, id)?.flatten().collect())
}

fn read_entries(host: &Host, id: &str) -> Result<impl Iterator<Item = Result<Entry>>> {
    let run = folder_of(host, id);
    require_known_format(&run)?;
    let paths = folders(&run)?;
    let mut files: Vec<_> =
        paths.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    files.sort();
    Ok(files.into_iter().flat_map(|(_, path)| {
        let read = read_file(&path);
        let (entries, error) = read.map_or_else(|e| (Vec::new(), Some(Err(e))), |all| (all, None));
        entries.into_iter().map(move |bytes| understood(&path, decode(&bytes))).chain(error)
    }))
}

/// The entries in a file of the journal, each encoded by itself. Before changes were made together,
/// a file was one entry.
fn read_file(path: &Path) -> Result<Vec<ByteBuf>> {
    let bytes = fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
    match decode::<Vec<ByteBuf>>(&bytes) {
        Ok(entries) => Ok(entries),
        Err(_) => Ok(vec![ByteBuf::from(bytes)]),
    }
}

fn understood(path: &Path, entry: Result<Entry>) -> Result<Entry> {
    entry
        .with_context(|| format!("make sense of `{}`", path.display()))
        .hint("another version of hwctl wrote it: use that version")
}

/// The number of a file of entries: of its first one. A run that was cut off may leave a file that is
/// not finished.
fn number(path: &Path) -> Option<usize> {
    path.file_name()?.to_str()?.parse().ok()
}

fn changed(entry: &Entry) -> Changed {
    Changed { id: entry.change.id.clone(), action: entry.change.action }
}

/// The folder of a run.
pub(in crate::engine) fn folder_of(host: &Host, id: &str) -> PathBuf {
    folder(host).join(id)
}

fn folder(host: &Host) -> PathBuf {
    host.state_dir().join("runs")
}

/// Names the run that is under way.
fn open_path(host: &Host) -> PathBuf {
    host.state_dir().join("open")
}

fn close(host: &Host) -> Result<()> {
    remove_file(&open_path(host))
}

fn remove_reserve(run: &Path) -> Result<()> {
    remove_file(&run.join(RESERVE_NAME))
}

fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What `run.json` holds. Versions of hwctl that do not know about the number pass over it.
#[derive(Serialize, Deserialize)]
struct Head<R> {
    #[serde(default = "format::unnumbered")]
    format: u32,
    #[serde(flatten)]
    run: R,
}

fn head_path(run: &Path) -> PathBuf {
    run.join("run.json")
}

fn read_head(run: &Path) -> Result<Run> {
    let head: Head<Run> = serde_json::from_slice(&fs::read(head_path(run))?)?;
    Ok(head.run)
}

fn write_head(run: &Path, head: &Run) -> Result<()> {
    let head = Head { format: format::JOURNAL, run: head };
    write_atomic(&head_path(run), &serde_json::to_vec_pretty(&head)?, 0o600, None)
}

/// Refuses a run that a newer version of hwctl has made. Of a head that cannot be read, such as that of a
/// run that died before it began, nothing is known.
fn require_known_format(run: &Path) -> Result<()> {
    let path = head_path(run);
    let Ok(head) = fs::read(&path) else { return Ok(()) };
    match serde_json::from_slice::<Format>(&head) {
        Ok(format) => Ok(format.require_known(format::JOURNAL, &path)?),
        Err(_) => Ok(()),
    }
}

/// Makes a folder for root alone, unless it is there.
pub(in crate::engine) fn make_private(folder: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).with_context(|| format!("make `{}`", folder.display()))
}

/// A run's own folder, named by time; a second one in the same second gets a number.
fn new_folder(runs: &Path, now: Timestamp) -> Result<PathBuf> {
    let time = now.strftime("%Y%m%d-%H%M%S").to_string();
    let names = std::iter::once(time.clone()).chain((2..10).map(|n| format!("{time}-{n}")));
    for path in names.map(|name| runs.join(name)) {
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => {
                return made
                    .map(|()| path.clone())
                    .with_context(|| format!("make `{}`", path.display()));
            }
        }
    }
    bail!("too many runs begin within a second");
}

/// What is in a folder, by name; nothing where there is no folder.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("read `{}`", folder.display()))?,
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Removes runs that are too many or too old, before a new one begins.
fn prune(runs: &Path, now: Timestamp) -> Result<()> {
    let paths = folders(runs)?;
    let surplus = paths.len().saturating_sub(KEPT_RUNS - 1);
    let removable = paths.len().saturating_sub(ALWAYS_KEPT - 1);
    for (index, path) in paths[..removable].iter().enumerate() {
        let began = read_head(path).ok().and_then(|head| head.began.parse::<Timestamp>().ok());
        let is_old = began.is_some_and(|began| now.duration_since(began).unsigned_abs() > KEPT_FOR);
        if index < surplus || is_old {
            fs::remove_dir_all(path).with_context(|| format!("remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
