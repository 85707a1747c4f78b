//! Remembers the digests of large files from run to run, so that a run in which all is right need not read them.
//! As in git, a file whose inode, size and times are the same has the same bytes: who replaces or writes
//! a file cannot keep all of these.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::resource::cache::kept_lines::KeptLines;
use crate::resource::host::Host;
use crate::resource::model::digest::file_digest;

/// How many files a host remembers: more than a stack has.
const MOST: usize = 256;
/// What was written within so many seconds may be written to again with the same times.
pub(in crate::resource) const UNSETTLED: i64 = 2;

/// What a file is known by as long as nobody writes to it or replaces it; none for one that was
/// written a moment ago.
#[must_use]
pub fn identity(found: &Metadata) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).ok()?;
    // One from the future has a clock that cannot be relied on.
    (found.ctime() + UNSETTLED < now).then(|| {
        format!(
            "{} {} {} {}.{} {}.{}",
            found.dev(),
            found.ino(),
            found.len(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        )
    })
}

/// The files of a host whose digests are known, as lines of identity and digest.
#[derive(Debug, Default)]
struct DigestCache(RefCell<Option<KeptLines>>);

impl Host {
    /// The SHA-256 of an opened file in hex, from an earlier run where nobody has written to it since.
    pub(in crate::resource) fn file_digest(
        &self,
        file: &File,
        found: &Metadata,
    ) -> io::Result<String> {
        let Some(identity) = identity(found) else { return file_digest(file) };
        let prefix = identity + " ";
        let cache = self.cached::<DigestCache>();
        let mut known = cache.0.borrow_mut();
        let lines = known.get_or_insert_with(|| KeptLines::load(self, "files"));
        if let Some(digest) = lines.lines().find_map(|line| line.strip_prefix(&prefix)) {
            return Ok(digest.to_owned());
        }
        let digest = file_digest(file)?;
        lines.add(prefix + &digest);
        Ok(digest)
    }

    /// Keeps what has become known of files, at the end of a run.
    pub(in crate::resource) fn keep_digests(&self) -> Result<()> {
        let cache = self.cached::<DigestCache>();
        cache.0.borrow_mut().as_mut().map_or(Ok(()), |lines| lines.keep(MOST, self))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::time::Duration;

    use super::*;
    use crate::resource::model::digest::sha256;

    #[test]
    fn a_file_is_known_until_it_is_written_to() {
        let root = tempfile::tempdir().unwrap();
        let host = || Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let path = root.path().join("file");
        let asked = |host: &Host| {
            let file = File::open(&path).unwrap();
            host.file_digest(&file, &file.metadata().unwrap()).unwrap()
        };
        let notes = root.path().join("var/lib/hwctl/stamps/files");
        std::fs::write(&path, "first").unwrap();

        let fresh = host();
        assert_eq!(asked(&fresh), sha256(b"first"));
        fresh.keep_digests().unwrap();
        assert!(!notes.exists(), "it may be written to again within the same tick");

        std::thread::sleep(Duration::from_secs(3));
        let settled = host();
        assert_eq!(asked(&settled), sha256(b"first"));
        settled.keep_digests().unwrap();
        let kept = std::fs::read_to_string(&notes).unwrap();
        assert!(kept.ends_with(&format!(" {}\n", sha256(b"first"))), "{kept}");
        // That it is taken from there shows where that is wrong.
        std::fs::write(&notes, kept.replace(&sha256(b"first"), "noted")).unwrap();
        assert_eq!(asked(&host()), "noted");

        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"other", 0).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(asked(&host()), sha256(b"other"), "with the size and the time of before");
    }
}
