//! Whether a local file is one that only the operator writes.
//!
//! An inventory may name commands that run on this machine, and templates become what root reads
//! on hosts. So a file that somebody else could have written is refused, as ssh refuses its
//! configuration.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::failure::Failure;

/// Anybody may write.
const OTHERS_WRITE: u32 = 0o002;
/// In such a folder nobody removes or renames the files of others.
const STICKY: u32 = 0o1000;

/// Refuses a file or folder that another user owns or could replace. A path that cannot be looked
/// at is left to whoever reads it.
pub fn require_own(path: &Path) -> Result<(), Failure> {
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    // A pipe such as `<(…)` has no folder.
    if !found.is_file() && !found.is_dir() {
        return Ok(());
    }
    judge(path, &found)?;
    // What a link names counts as well as the link.
    let real = fs::canonicalize(path);
    for path in [Some(path), real.as_deref().ok()].into_iter().flatten() {
        let folder = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => continue,
        };
        let Ok(found) = fs::metadata(folder) else { continue };
        if is_open(found.mode()) && found.mode() & STICKY == 0 {
            return Err(refused(folder, "anybody may write to this folder"));
        }
    }
    Ok(())
}

fn judge(path: &Path, found: &Metadata) -> Result<(), Failure> {
    let us = rustix::process::geteuid().as_raw();
    let behind_sudo = std::env::var("SUDO_UID").ok().and_then(|id| id.parse().ok());
    if !is_ours(found.uid(), us, behind_sudo) {
        return Err(refused(path, "it belongs to another user"));
    }
    if is_open(found.mode()) && (found.is_file() || found.mode() & STICKY == 0) {
        return Err(refused(path, "anybody may write to it"));
    }
    Ok(())
}

fn is_open(mode: u32) -> bool {
    mode & OTHERS_WRITE != 0
}

/// Whether the owner of a file is root or the operator, who may be behind sudo.
fn is_ours(owner: u32, us: u32, behind_sudo: Option<u32>) -> bool {
    owner == 0 || owner == us || us == 0 && behind_sudo == Some(owner)
}

fn refused(path: &Path, why: &str) -> Failure {
    let shown = path.display();
    Failure::usage(format!("`{shown}` is not read: {why}"))
        .why("it could make this machine run commands, and hosts serve what somebody else wants")
        .hint(format!(
            "look at what it contains, then `chown` it to yourself and `chmod o-w {shown}`"
        ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_of_root_and_of_the_operator_are_ours() {
        assert!(is_ours(0, 1000, None));
        assert!(is_ours(1000, 1000, None));
        assert!(is_ours(1000, 0, Some(1000)), "behind sudo");
        assert!(!is_ours(1000, 0, None));
        assert!(!is_ours(1001, 0, Some(1000)));
        assert!(!is_ours(1001, 1000, Some(1001)), "only root may have come from another user");
    }

    #[test]
    fn what_anybody_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inventory.yaml");
        fs::write(&file, "all:").unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let why = |path: &Path| require_own(path).err().map(|failure| failure.what);

        assert_eq!(why(&file), None);
        mode(&file, 0o666);
        assert!(why(&file).unwrap().contains("anybody may write to it"));
        mode(&file, 0o664);
        mode(folder.path(), 0o777);
        assert!(why(&file).unwrap().contains("anybody may write to this folder"));
        let link = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&file, link.path().join("link")).unwrap();
        assert!(why(&link.path().join("link")).is_some(), "a link to it");
        mode(folder.path(), 0o1777);
        assert_eq!(why(&file), None, "in a sticky folder nobody replaces the file");
        mode(folder.path(), 0o700);
    }
}
