//! Gives up the content of large files that no record needs any more.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};
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
    let mut paths = vec![host.state_dir().join("manifest")];
    for run in runs.iter().filter(|run| run.outcome != RunOutcome::Undone) {
        for found in fs::read_dir(journal::folder_of(host, &run.id))? {
            paths.push(found?.path());
        }
    }
    for path in paths {
        if unneeded.is_empty() {
            break;
        }
        let record = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            read => read.with_context(|| format!("read `{}`", path.display()))?,
        };
        unneeded.retain(|digest| memmem::find(&record, digest.as_bytes()).is_none());
    }
    give_up_large_files(&unneeded, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_record_names_is_given_up() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let state = host.state_dir();
        let kept = || {
            let mut kept = kept_large_files(&host);
            kept.sort();
            kept.concat()
        };
        fs::create_dir_all(state.join("large")).unwrap();
        for digest in ["aa", "bb", "cc", "dd"] {
            fs::write(state.join("large").join(digest), "x").unwrap();
        }
        fs::write(state.join("large/.hwctl-0"), "what a run that was killed has begun").unwrap();
        fs::write(state.join("manifest"), "…aa…").unwrap();
        for (run, outcome, digest) in [("r1", "kept", "bb"), ("r2", "undone", "cc")] {
            let folder = journal::folder_of(&host, run);
            fs::create_dir_all(&folder).unwrap();
            let head = format!(
                r#"{{"id":"{run}","operator":"me","verb":"provision","version":"1",
                    "began":"2026-01-01T00:00:00Z","outcome":"{outcome}","changes":[]}}"#
            );
            fs::write(folder.join("run.json"), head).unwrap();
            fs::write(folder.join("0000"), digest).unwrap();
        }

        give_up_unneeded(&host).unwrap();

        assert_eq!(kept(), "aabb");
        // A record that cannot be read may name all of them.
        fs::remove_file(state.join("manifest")).unwrap();
        fs::create_dir(state.join("manifest")).unwrap();
        give_up_unneeded(&host).unwrap_err();
        assert_eq!(kept(), "aabb");
    }
}
