//! Remembers folders of many files from run to run, so that a run in which such a folder is as it was need neither send
//! nor read its files. As in the digest cache, a file or folder whose inode, size and times are the same is the same:
//! the time of its last change (`ctime`) moves with its content, mode, owner and ACL, and nobody can set it back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::resource::cache::digest_cache::UNSETTLED;
use crate::resource::host::Host;
use crate::resource::model::saved::{decode, encode};

/// What the names of the notes begin with.
const PREFIX: &str = "folder-";

/// A folder of files that an operator's side declares as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderDigest {
    /// Where it is on the host.
    pub root: PathBuf,
    /// SHA-256 over the root and the path, kind, mode and content of all that is declared below it.
    pub digest: String,
    /// What is declared below it, as paths relative to it. None where its resources are not sent, since the host may have
    /// the folder as it is.
    pub declared: Option<Vec<PathBuf>>,
}

/// The device, inode, size, and times of modification and change of a file or folder.
type Identity = (u64, u64, u64, (i64, i64), (i64, i64));

/// A folder as it was when somebody looked at it.
#[derive(Debug, Serialize, Deserialize)]
pub struct FolderLook {
    root: PathBuf,
    digest: String,
    entries: Vec<(PathBuf, Identity)>,
}

impl FolderDigest {
    /// Looks at what is declared of a folder, before it is read. Returns None where the folder is left out or something is
    /// absent or was changed just now, so that it may change again without a trace.
    #[must_use]
    pub fn look(&self, host: &Host) -> Option<FolderLook> {
        let root = host.path(&self.root);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).ok()?;
        let entry = |path: &PathBuf| {
            let identity = identity(&root.join(path))?;
            (identity.4.0 + UNSETTLED < now).then(|| (path.clone(), identity))
        };
        let entries = self.declared.as_ref()?.iter().map(entry).collect::<Option<Vec<_>>>()?;
        Some(FolderLook { root: self.root.clone(), digest: self.digest.clone(), entries })
    }

    /// The paths of what is declared of the folder, where a run has found the folder to be as declared and nobody has
    /// changed anything of it since.
    #[must_use]
    pub fn settled(&self, host: &Host) -> Option<Vec<PathBuf>> {
        let bytes = fs::read(host.kept_path(&name(&self.digest))).ok()?;
        let known: FolderLook = decode(&bytes).ok()?;
        let is_it = known.root == self.root && known.digest == self.digest;
        (is_it && known.holds(host)).then(|| known.paths())
    }
}

impl FolderLook {
    /// Whether nobody has changed anything since.
    fn holds(&self, host: &Host) -> bool {
        let root = host.path(&self.root);
        self.entries.iter().all(|(path, known)| identity(&root.join(path)).as_ref() == Some(known))
    }

    fn paths(self) -> Vec<PathBuf> {
        let Self { root, entries, .. } = self;
        entries.into_iter().map(|(path, _)| root.join(path)).collect()
    }
}

impl Host {
    /// Notes the folders that a run has found to be as declared, unless somebody has changed them since `looks`. Notes of
    /// folders that are not `declared` any more are removed.
    pub fn keep_settled_folders(
        &self,
        declared: &[FolderDigest],
        looks: &[FolderLook],
    ) -> Result<()> {
        for look in looks.iter().filter(|look| look.holds(self)) {
            self.keep_between_runs(&name(&look.digest), &encode(look)?)?;
        }
        let wanted = |kept: &str| declared.iter().any(|folder| name(&folder.digest) == kept);
        let notes = fs::read_dir(self.kept_path("")).into_iter().flatten().flatten();
        for note in notes.filter_map(|note| note.file_name().into_string().ok()) {
            if note.starts_with(PREFIX) && !wanted(&note) {
                self.keep_no_longer(&note)?;
            }
        }
        Ok(())
    }
}

/// The name of a note. The digest comes from the operator's side and must not lead elsewhere.
fn name(digest: &str) -> String {
    let digits: String = digest.chars().filter(char::is_ascii_hexdigit).collect();
    format!("{PREFIX}{digits}")
}

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::symlink_metadata(path).ok()?;
    let times = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Some((found.dev(), found.ino(), found.len(), times.0, times.1))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
    use std::time::Duration;

    use super::*;

    const SETTLED: Duration = Duration::from_secs(3);

    #[test]
    fn a_folder_is_settled_until_anything_of_it_changes() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let at = |path: &str| root.path().join("srv").join(path);
        fs::create_dir_all(at("a")).unwrap();
        fs::write(at("a/x"), "first").unwrap();
        fs::write(at("y"), "second").unwrap();
        let declared = ["a", "a/x", "y"].map(PathBuf::from).to_vec();
        let folder =
            |declared| FolderDigest { root: "/srv".into(), digest: "ab12".into(), declared };
        let (sent, left_out) = (folder(Some(declared)), folder(None));
        let is_settled = || left_out.settled(&host).is_some();
        let note = || {
            std::thread::sleep(SETTLED);
            let look = sent.look(&host).expect("it has settled");
            host.keep_settled_folders(std::slice::from_ref(&sent), &[look]).unwrap();
            assert!(is_settled());
        };

        assert!(sent.look(&host).is_none(), "it may be written to again within the same tick");
        assert!(!is_settled(), "nobody has noted it");
        note();
        let paths = left_out.settled(&host).unwrap();
        assert_eq!(paths, ["/srv/a", "/srv/a/x", "/srv/y"].map(PathBuf::from));

        // With the size and the time of before.
        let modified = fs::metadata(at("y")).unwrap().modified().unwrap();
        let file = fs::File::options().write(true).open(at("y")).unwrap();
        file.write_all_at(b"SECOND", 0).unwrap();
        file.set_modified(modified).unwrap();
        assert!(!is_settled(), "the content is another");
        note();
        fs::set_permissions(at("a/x"), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!is_settled(), "the mode is another");
        note();
        fs::rename(at("a"), at("b")).unwrap();
        symlink("b", at("a")).unwrap();
        assert!(!is_settled(), "a link is in the place of a folder");
        fs::remove_file(at("a")).unwrap();
        fs::rename(at("b"), at("a")).unwrap();
        note();
        host.keep_settled_folders(&[], &[]).unwrap();
        assert!(!is_settled(), "it is not declared any more");
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_noted() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        fs::create_dir_all(root.path().join("srv")).unwrap();
        fs::write(root.path().join("srv/x"), "first").unwrap();
        std::thread::sleep(SETTLED);
        let declared = Some(vec!["x".into()]);
        let folder = FolderDigest { root: "/srv".into(), digest: "ab12".into(), declared };

        let look = folder.look(&host).unwrap();
        fs::write(root.path().join("srv/x"), "other").unwrap();
        host.keep_settled_folders(std::slice::from_ref(&folder), &[look]).unwrap();

        assert!(folder.settled(&host).is_none());
    }
}
