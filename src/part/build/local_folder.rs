//! A local folder that goes to a host as a whole: a digest stands for its files as long as the host has them like that.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::folder::{LocalFile, content};
use super::{Stack, Upload};
use crate::failure::Failure;
use crate::resource::{
    Content, Declared, Directory, File, FolderDigest, Owner, Part, file_digest, hex, identity,
    sha256,
};

/// The mode of the folders.
const FOLDER_MODE: u32 = 0o755;
/// The mode of the files.
const FILE_MODE: u32 = 0o644;

/// A folder of local files for a folder of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFolder {
    /// The part that declares it.
    tag: String,
    /// Where it goes on the host.
    root: PathBuf,
    /// The folders below it, as paths relative to it, from the top down.
    folders: BTreeSet<PathBuf>,
    files: Vec<HashedFile>,
    digest: String,
}

/// A file and the SHA-256 of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HashedFile {
    name: String,
    path: PathBuf,
    digest: String,
}

impl LocalFolder {
    /// Looks at local `files`, which are those below `source`. What is known of them from an earlier run is in `memory`.
    pub(super) fn of(
        tag: &str,
        files: Vec<LocalFile>,
        (source, root): (&Path, &Path),
        memory: Option<&Path>,
    ) -> Result<Self> {
        let mut known = Known::load(source, memory);
        let mut hashed = Vec::with_capacity(files.len());
        let mut folders = BTreeSet::new();
        let mut last = PathBuf::new();
        for LocalFile { name, path, found, .. } in files {
            let digest = known.digest_of(&path, &found)?;
            let parent = Path::new(&name).parent().unwrap_or(Path::new(""));
            // Files of one folder come one after the other.
            if parent != last {
                parent.clone_into(&mut last);
                let above = parent.ancestors().filter(|above| !above.as_os_str().is_empty());
                folders.extend(above.map(Path::to_owned));
            }
            hashed.push(HashedFile { name, path, digest });
        }
        known.keep();
        let mut sum = Sha256::new();
        sum.update(format!("{FOLDER_MODE:o} {FILE_MODE:o} {}\0", root.display()));
        for HashedFile { name, digest, .. } in &hashed {
            sum.update(digest);
            sum.update(name);
            sum.update([0]);
        }
        let digest = hex(&sum.finalize());
        Ok(Self { tag: tag.to_owned(), root: root.to_owned(), folders, files: hashed, digest })
    }

    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// The folder for a request in which its resources are left out.
    pub(crate) fn left_out(&self) -> FolderDigest {
        FolderDigest { root: self.root.clone(), digest: self.digest.clone(), declared: None }
    }

    /// The folder for a request that has its resources.
    pub(crate) fn sent(&self) -> FolderDigest {
        let files = self.files.iter().map(|file| PathBuf::from(&file.name));
        let declared = self.folders.iter().cloned().chain(files).collect();
        FolderDigest { declared: Some(declared), ..self.left_out() }
    }

    /// Whether a path of the host is one of the folder's.
    pub(super) fn has(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.root) else { return false };
        let name = |file: &HashedFile| Path::new(&file.name) == below;
        self.folders.contains(below) || self.files.iter().any(name)
    }

    /// Its resources, and the local files behind them.
    fn unfold(&self) -> Result<(Vec<Declared>, Vec<Upload>)> {
        let (mut resources, mut uploads) = (Vec::new(), Vec::new());
        let mut made = BTreeSet::new();
        for file in &self.files {
            let above: Vec<&Path> = Path::new(&file.name).ancestors().skip(1).collect();
            for folder in above.iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
                if made.insert(folder.to_path_buf()) {
                    let folder = Directory::new(self.root.join(folder), FOLDER_MODE, Owner::root());
                    resources.push(Declared::new(&self.tag, folder));
                }
            }
            let content = content(&file.path)?;
            file.require_same(&content)?;
            if let Content::Blob(blob) = &content {
                uploads.push(Upload { blob: blob.clone(), path: file.path.clone() });
            }
            let path = self.root.join(&file.name);
            let file = File::new(path, content, FILE_MODE, Owner::root());
            resources.push(Declared::new(&self.tag, file));
        }
        Ok((resources, uploads))
    }
}

impl HashedFile {
    /// The digest of the folder is sent with what was read: both have to be of the same content.
    fn require_same(&self, content: &Content) -> Result<(), Failure> {
        let digest = match content {
            Content::Blob(blob) => blob.key.clone(),
            Content::Parts(parts) => match parts.as_slice() {
                [Part::Text(text)] => sha256(text.as_bytes()),
                _ => sha256(b""),
            },
            Content::Block { .. } | Content::Json(_) => String::new(),
        };
        if digest == self.digest {
            return Ok(());
        }
        Err(Failure::usage(format!("`{}` changed while it was read", self.path.display()))
            .not_done("nothing was changed on the host")
            .hint("run again once nobody writes to it"))
    }
}

impl Stack {
    /// Adds the resources of the folders that are meant, each right after that of the folder itself.
    pub(crate) fn unfold(&mut self, is_meant: impl Fn(&LocalFolder) -> bool) -> Result<()> {
        let (meant, others) = std::mem::take(&mut self.folders).into_iter().partition(is_meant);
        self.folders = others;
        let meant: Vec<LocalFolder> = meant;
        for folder in meant {
            let (resources, uploads) = folder.unfold()?;
            let is_root = |declared: &Declared| declared.resource.path() == Some(&*folder.root);
            let root = self.resources.iter().position(is_root);
            let after = root.map_or(self.resources.len(), |root| root + 1);
            self.resources.splice(after..after, resources);
            self.uploads.extend(uploads);
        }
        Ok(())
    }
}

/// The digests of local files from earlier runs, by what the files are known by.
struct Known {
    /// Where they are kept.
    path: Option<PathBuf>,
    before: HashMap<String, String>,
    now: Vec<(String, String)>,
    is_new: bool,
}

impl Known {
    fn load(source: &Path, memory: Option<&Path>) -> Self {
        let key = sha256(source.as_os_str().as_encoded_bytes());
        let path = memory.map(|memory| memory.join(&key[..16]));
        let text = path.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let entry = |line: &str| {
            let (identity, digest) = line.rsplit_once(' ')?;
            Some((identity.to_owned(), digest.to_owned()))
        };
        Self { path, before: text.lines().filter_map(entry).collect(), now: vec![], is_new: false }
    }

    /// The digest of a file. One that nobody has written to since is not read again.
    fn digest_of(&mut self, path: &Path, found: &fs::Metadata) -> Result<String> {
        let read = || {
            let read = fs::File::open(path).and_then(|file| file_digest(&file));
            read.with_context(|| format!("read `{}`", path.display()))
        };
        let Some(identity) = identity(found) else { return read() };
        let digest = if let Some(digest) = self.before.remove(&identity) {
            digest
        } else {
            self.is_new = true;
            read()?
        };
        self.now.push((identity, digest.clone()));
        Ok(digest)
    }

    /// Keeps the digests for the next run. Without them it is slower, and no less right.
    fn keep(&self) {
        let Some(path) = self.path.as_ref().filter(|_| self.is_new) else { return };
        let write = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            let lines = self.now.iter().map(|(identity, digest)| format!("{identity} {digest}\n"));
            file.write_all(lines.collect::<String>().as_bytes())?;
            file.persist(path).map(drop).map_err(|error| error.error)
        };
        let _ = write();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::time::Duration;

    use super::*;
    use crate::part::build::folder;

    fn digest(source: &Path, memory: &Path) -> String {
        let files = folder::files(source).unwrap();
        LocalFolder::of("sites", files, (source, Path::new("/srv/x")), Some(memory)).unwrap().digest
    }

    #[test]
    fn a_folder_is_known_until_a_file_is_written_to() {
        let (source, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| source.path().join(name);
        fs::create_dir(at("a")).unwrap();
        fs::write(at("a/x"), "first").unwrap();
        fs::write(at("y"), "second").unwrap();
        std::thread::sleep(Duration::from_secs(3));
        let first = digest(source.path(), memory.path());
        let kept = fs::read_dir(memory.path()).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(&kept).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        // That it is taken from there shows where that is wrong.
        fs::write(&kept, text.replace(&sha256(b"first"), &sha256(b"noted"))).unwrap();
        assert_ne!(digest(source.path(), memory.path()), first);
        fs::write(&kept, text).unwrap();
        assert_eq!(digest(source.path(), memory.path()), first);

        // With the size and the time of before.
        let modified = fs::metadata(at("y")).unwrap().modified().unwrap();
        let file = fs::File::options().write(true).open(at("y")).unwrap();
        file.write_all_at(b"SECOND", 0).unwrap();
        file.set_modified(modified).unwrap();
        assert_ne!(digest(source.path(), memory.path()), first);
    }

    #[test]
    fn a_folder_unfolds_into_what_its_digest_is_of() {
        let (source, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| source.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/x"), "first").unwrap();
        fs::write(at("empty"), "").unwrap();
        fs::write(at("y.bin"), [0xff, 0xfe]).unwrap();
        let files = folder::files(source.path()).unwrap();
        let paths = (source.path(), Path::new("/srv/x"));
        let made = LocalFolder::of("sites", files, paths, Some(memory.path())).unwrap();

        let (resources, uploads) = made.unfold().unwrap();

        let ids: Vec<_> = resources.iter().map(|it| it.resource.id().to_string()).collect();
        assert_eq!(
            ids,
            [
                "directory /srv/x/a",
                "directory /srv/x/a/b",
                "file /srv/x/a/b/x",
                "file /srv/x/empty",
                "file /srv/x/y.bin"
            ]
        );
        assert_eq!(uploads.len(), 1);
        assert_eq!(made.sent().declared.unwrap().len(), ids.len());
        assert!(made.has(Path::new("/srv/x/a/b")) && !made.has(Path::new("/srv/x/z")));
        fs::write(at("empty"), "changed").unwrap();
        let error = made.unfold().unwrap_err();
        assert!(error.to_string().contains("changed while it was read"), "{error}");
    }
}
