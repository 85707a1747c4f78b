//! A local folder whose files go to a host: sorted, and nothing from outside of it.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};

use super::path_pattern::PathPattern;
use crate::failure::Failure;
use crate::resource::{Blob, Content, MAX_FILE, file_digest, identity, sha256};

/// Longer files are not shown as a diff and travel apart, so that they travel once.
const MAX_TEXT: u64 = 64 * 1024;

/// A file of the folder.
pub(crate) struct LocalFile {
    /// Its path below the folder, with `/` between.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whether the operator may run it.
    pub(crate) is_executable: bool,
    /// What the file system says of it.
    pub(crate) found: Metadata,
}

/// The files below `folder`, sorted by name. Hidden ones (`.git`, editors' leavings) are passed
/// over, save for `.well-known`.
pub(crate) fn files(folder: &Path) -> Result<Vec<LocalFile>> {
    files_except(folder, &[])
}

/// The same without what one of the patterns names.
pub(crate) fn files_except(folder: &Path, ignored: &[PathPattern]) -> Result<Vec<LocalFile>> {
    let root = fs::canonicalize(folder)
        .map_err(|error| wrong(folder, "cannot be read").why(error.to_string()))?;
    let mut files = Vec::new();
    walk(&root, &root, ("", ignored), &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn walk(
    root: &Path,
    folder: &Path,
    (prefix, ignored): (&str, &[PathPattern]),
    files: &mut Vec<LocalFile>,
) -> Result<()> {
    let unreadable = |error: std::io::Error| wrong(folder, "cannot be read").why(error.to_string());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str().filter(|name| !name.chars().any(char::is_control)) else {
            return Err(wrong(&path, "has a name that no URL can have").into());
        };
        if name.ends_with('~') || (name.starts_with('.') && name != ".well-known") {
            continue;
        }
        let name = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(unreadable)?;
        if ignored.iter().any(|pattern| pattern.has(&name, kind.is_dir())) {
            continue;
        }
        if kind.is_dir() {
            walk(root, &path, (&format!("{name}/"), ignored), files)?;
            continue;
        }
        let target = if kind.is_symlink() { target_of(&path, root)? } else { path.clone() };
        let found = fs::metadata(&target).map_err(unreadable)?;
        if found.is_dir() {
            return Err(wrong(&path, "is a link to a folder")
                .hint("put a copy in its place")
                .into());
        }
        if !found.is_file() {
            return Err(wrong(&path, "is not a regular file").hint("take it away").into());
        }
        let is_executable = found.permissions().mode() & 0o100 != 0;
        files.push(LocalFile { name, path: target, is_executable, found });
    }
    Ok(())
}

/// Where a link of the folder leads, if that is in the folder as well.
fn target_of(link: &Path, root: &Path) -> Result<PathBuf> {
    let target = fs::canonicalize(link)
        .map_err(|error| wrong(link, "cannot be followed").why(error.to_string()))?;
    if !target.starts_with(root) {
        let problem = format!("points to `{}`, outside of its folder", target.display());
        return Err(wrong(link, &problem).hint("put a copy in its place").into());
    }
    Ok(target)
}

/// The content of a local file: text that a plan can show, or a blob.
pub(crate) fn content(path: &Path) -> Result<Content> {
    let size = fs::metadata(path).with_context(|| format!("read `{}`", path.display()))?.len();
    if size > MAX_FILE {
        let problem = format!("is larger than {} MiB", MAX_FILE >> 20);
        return Err(wrong(path, &problem).hint("serve it from elsewhere").into());
    }
    if size > MAX_TEXT {
        return Ok(Content::Blob(Blob { key: digest(path)?, size }));
    }
    let bytes = fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Content::text(text),
        Err(error) => {
            let bytes = error.as_bytes();
            Content::Blob(Blob { key: sha256(bytes), size: bytes.len() as u64 })
        }
    })
}

/// A local program for hosts: a Linux executable.
pub(crate) fn program(path: &Path) -> Result<Blob> {
    let size = fs::metadata(path)
        .map_err(|error| wrong(path, "cannot be read").why(error.to_string()))?
        .len();
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    if read.is_err() || magic != *b"\x7fELF" {
        return Err(wrong(path, "is no Linux program (an ELF file)").into());
    }
    Ok(Blob { key: digest(path)?, size })
}

/// Refuses a program for another architecture than the host's, as Rust names it. `setting` is what names the program in
/// the inventory.
pub(crate) fn require_for(arch: &str, path: &Path, setting: &str) -> Result<()> {
    let mut head = [0; 20];
    let opened = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    opened.with_context(|| format!("read `{}`", path.display()))?;
    // `e_machine` of the ELF header; both have their lower byte first.
    let machine = match head[18] {
        62 => "x86_64",
        183 => "aarch64",
        _ => "another architecture",
    };
    if arch.is_empty() || machine == arch {
        return Ok(());
    }
    Err(wrong(path, &format!("is a program for {machine}, and the host is {arch}"))
        .why(format!("{setting} names it"))
        .not_done("nothing was changed on the host")
        .hint(format!(
            "build it for {arch}, for example with `cargo build --target {arch}-unknown-linux-musl`"
        ))
        .into())
}

/// A large local file that only has to travel: known by name, size and time, not read.
pub(crate) fn archive(path: &Path) -> Result<Blob> {
    let found =
        fs::metadata(path).map_err(|error| wrong(path, "cannot be read").why(error.to_string()))?;
    if !found.is_file() {
        return Err(wrong(path, "is not a regular file").into());
    }
    let modified = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let known_by = format!("{}\0{}\0{}", path.display(), found.len(), modified.as_nanos());
    Ok(Blob { key: format!("file-{}", sha256(known_by.as_bytes())), size: found.len() })
}

/// The digest of a local file's content. A run asks for it several times: before it contacts the host, and after. A file
/// that nobody has written to since is read once.
pub(crate) fn digest(path: &Path) -> Result<String> {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let read = || -> std::io::Result<String> {
        let file = File::open(path)?;
        let Some(identity) = identity(&file.metadata()?) else { return file_digest(&file) };
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known().get(&identity) {
            return Ok(digest.clone());
        }
        let digest = file_digest(&file)?;
        known().insert(identity, digest.clone());
        Ok(digest)
    };
    read().with_context(|| format!("read `{}`", path.display()))
}

fn wrong(path: &Path, problem: &str) -> Failure {
    Failure::usage(format!("`{}` {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_come_sorted_and_hidden_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/.git")).unwrap();
        for name in ["z.html", "a b'ü.html", "b/x", "b/.git/config", ".env", "old~"] {
            fs::write(at(name), name).unwrap();
        }
        symlink("z.html", at("c")).unwrap();
        let names: Vec<_> = files(folder.path()).unwrap().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["a b'ü.html", "b/x", "c", "z.html"]);
    }

    #[test]
    fn what_leads_outside_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", folder.path().join("page.html")).unwrap();
        let error = files(folder.path()).err().unwrap().to_string();
        assert!(error.contains("points to `/etc/passwd`, outside of its folder"), "{error}");
        fs::remove_file(folder.path().join("page.html")).unwrap();
        symlink("nowhere", folder.path().join("page.html")).unwrap();
        let error = files(folder.path()).err().unwrap().to_string();
        assert!(error.contains("cannot be followed"), "{error}");
        assert!(files(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn ignored_files_and_folders_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["app.js", "app.js.map", "drafts/a.html", "docs/drafts/b.html", "docs/c.psd"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let left = |patterns: &[&str]| {
            let patterns: Vec<_> =
                patterns.iter().map(|p| PathPattern::parse(p).unwrap()).collect();
            let files = files_except(folder.path(), &patterns).unwrap();
            files.into_iter().map(|file| file.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(left(&["*.map", "*.psd"]), "app.js docs/drafts/b.html drafts/a.html");
        assert_eq!(left(&["drafts/", "*.psd"]), "app.js app.js.map");
        assert_eq!(left(&["/drafts", "docs/**"]), "app.js app.js.map");
    }

    #[test]
    fn text_is_shown_and_the_rest_travels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "grüße").unwrap();
        assert_eq!(content(&path).unwrap(), Content::text("grüße"));
        for bytes in [vec![0xff, 0xfe], vec![b'a'; 70_000]] {
            fs::write(&path, &bytes).unwrap();
            let blob = Blob { key: sha256(&bytes), size: bytes.len() as u64 };
            assert_eq!(content(&path).unwrap(), Content::Blob(blob));
        }
        assert!(archive(&path).unwrap().key.starts_with("file-"));
        assert!(archive(folder.path()).is_err());
    }
}
