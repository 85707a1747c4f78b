//! Gives up the content of large files that no record needs any more.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use memchr::memmem;

use crate::engine::record::journal;
use crate::event::RunOutcome;
use crate::resource::{Host, give_up_large_files, kept_large_files};

/// Keeps what the manifest knows and what the runs know that can be taken back. A record names content by its digest,
/// so that none of them has to be decoded.
pub(in crate::engine) fn give_up_unneeded(host: &Host) -> Result<()> {
    let mut unneeded = kept_large_files(host);
    let runs = match unneeded.is_empty() {
        true => Vec::new(),
        false => journal::runs(host, true)?,
    };
    let runs = runs.iter().filter(|run| run.outcome != RunOutcome::Undone);
    let files = runs.flat_map(|run| files_in(journal::folder_of(host, &run.id)));
    for path in files.chain([host.state_dir().join("manifest")]) {
        if unneeded.is_empty() {
            break;
        }
        let record = fs::read(&path).unwrap_or_default();
        unneeded.retain(|digest| memmem::find(&record, digest.as_bytes()).is_none());
    }
    give_up_large_files(&unneeded, host)
}

fn files_in(folder: PathBuf) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|found| found.path())
}
