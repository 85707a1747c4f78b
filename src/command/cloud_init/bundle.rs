//! The archive that a machine provisions itself with: hwctl, an inventory, and the local files that it names.

use std::fs::{self, File};
use std::io::{Read as _, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::part::local_files;
use crate::resource::sha256;

/// Its name beside the user-data.
pub(super) const NAME: &str = "bundle.tar.gz";
/// The name of the inventory in it.
pub(super) const INVENTORY: &str = "inventory.yaml";
/// A folder between the top of the archive and the inventory, for each that paths in the inventory go up.
const BETWEEN: &str = "inventory";

/// What goes into it.
pub(super) struct Bundle {
    /// The machine that its hwctl runs on, as `uname -m` names it.
    pub(super) machine: &'static str,
    /// Where the inventory is in it.
    pub(super) inventory: PathBuf,
    entries: Vec<Entry>,
}

/// A file in it.
struct Entry {
    path: PathBuf,
    mode: u32,
    content: Content,
}

enum Content {
    Text(String),
    File(PathBuf),
}

/// The finished archive.
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: String,
}

impl Bundle {
    /// Puts it together. Relative paths begin at `folder`.
    pub(super) fn of(
        program: &Path,
        machine: &'static str,
        inventory: &str,
        folder: &Path,
        paths: &[PathBuf],
        templates: &Path,
    ) -> Result<Self> {
        let ups = paths.iter().map(|path| steps_up(path)).max().unwrap_or(0);
        let base: PathBuf = std::iter::repeat_n(BETWEEN, ups).collect();
        let program = Content::File(program.to_owned());
        let at = base.join(INVENTORY);
        let mut entries = vec![
            Entry { path: "hwctl".into(), mode: 0o755, content: program },
            Entry { path: at.clone(), mode: 0o600, content: Content::Text(inventory.to_owned()) },
        ];
        for path in paths {
            add(&mut entries, &folder.join(path), &lexical(&base.join(path)))?;
        }
        if templates.is_dir() {
            add(&mut entries, templates, &base.join("templates"))?;
        }
        // A file that two variables name is there once. The order is the same each time, and so is the archive.
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        entries.dedup_by(|one, other| one.path == other.path);
        Ok(Self { machine, inventory: at, entries })
    }

    /// The archive: the same bytes each time.
    pub(super) fn packed(&self) -> Result<Packed> {
        let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for entry in &self.entries {
            let shown = || format!("cannot put `{}` into the bundle", entry.path.display());
            match &entry.content {
                Content::Text(text) => {
                    append(&mut archive, entry, text.len() as u64, text.as_bytes())
                }
                Content::File(path) => File::open(path).and_then(|file| {
                    let size = file.metadata()?.len();
                    // A file that grows meanwhile does not break the archive.
                    append(&mut archive, entry, size, file.take(size))
                }),
            }
            .with_context(shown)?;
        }
        let bytes = archive.into_inner().and_then(GzEncoder::finish).context("pack the bundle")?;
        Ok(Packed { sha256: sha256(&bytes), bytes })
    }
}

/// Adds a file, or all files of a folder that hwctl would bring to a host.
fn add(entries: &mut Vec<Entry>, from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for (name, path, mode) in local_files(from)? {
            entries.push(Entry { path: to.join(name), mode, content: Content::File(path) });
        }
        return Ok(());
    }
    let mode = {
        use std::os::unix::fs::PermissionsExt as _;
        let found = fs::metadata(from).with_context(|| format!("read `{}`", from.display()))?;
        if found.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 }
    };
    entries.push(Entry { path: to.to_owned(), mode, content: Content::File(from.to_owned()) });
    Ok(())
}

fn append(
    archive: &mut Builder<impl Write>,
    entry: &Entry,
    size: u64,
    content: impl std::io::Read,
) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(entry.mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, &entry.path, content)
}

/// How many folders a relative path goes up at most, from where it begins.
fn steps_up(path: &Path) -> usize {
    let (mut depth, mut most) = (0_isize, 0_isize);
    for part in path.components() {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
        most = most.max(-depth);
    }
    most.unsigned_abs()
}

/// The path without `.` and `..`.
fn lexical(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.push(part),
            _ => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(folder: &Path, paths: &[&str]) -> Bundle {
        let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
        let program = folder.join("program");
        fs::write(&program, "a program").unwrap();
        let templates = folder.join("site/templates");
        Bundle::of(&program, "x86_64", "all: {}", &folder.join("site"), &paths, &templates).unwrap()
    }

    fn names(bundle: &Bundle) -> Vec<String> {
        bundle.entries.iter().map(|entry| entry.path.display().to_string()).collect()
    }

    #[test]
    fn paths_lead_to_the_same_files_as_beside_the_inventory() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (path, text) in [
            ("site/pages/a/index.html", "a page"),
            ("site/templates/motd", "a template"),
            ("app/run.sh", "a script"),
            ("site/pages/.git/config", "hidden"),
        ] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }

        let flat = bundle(root, &["pages"]);
        let up = bundle(root, &["./pages", "../app", "pages/../../app/run.sh"]);

        assert_eq!(flat.inventory, Path::new("inventory.yaml"));
        let expected = ["hwctl", "inventory.yaml", "pages/a/index.html", "templates/motd"];
        assert_eq!(names(&flat), expected);
        assert_eq!(up.inventory, Path::new("inventory/inventory.yaml"));
        let expected = [
            "app/run.sh",
            "hwctl",
            "inventory/inventory.yaml",
            "inventory/pages/a/index.html",
            "inventory/templates/motd",
        ];
        assert_eq!(names(&up), expected);
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("site/pages")).unwrap();
        fs::write(folder.path().join("site/pages/index.html"), "a page").unwrap();

        let (one, other) = (bundle(folder.path(), &["pages"]), bundle(folder.path(), &["pages"]));

        assert_eq!(one.packed().unwrap().bytes, other.packed().unwrap().bytes);
    }
}
