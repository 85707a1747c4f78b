//! The archive that a machine provisions itself with: hwctl, an inventory, and the local files that it names.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::part::PortableFile;
use crate::resource::sha256;

/// Its name beside the user-data.
pub(super) const NAME: &str = "bundle.tar.gz";
/// The name of the inventory in it.
const INVENTORY: &str = "inventory.yaml";
/// The folder in it with the inventory and the files.
const FILES: &str = "files";
/// A folder above the inventory, for each that paths in the inventory go up.
const BETWEEN: &str = "inventory/";

/// The files of the archive before they are packed.
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
    /// Puts it together. Paths of the files begin where the inventory is.
    pub(super) fn of(
        program: &Path,
        machine: &'static str,
        inventory: &str,
        files: Vec<PortableFile>,
    ) -> Self {
        let ups = files.iter().map(|file| steps_up(&file.path)).max().unwrap_or(0);
        let base: PathBuf = Path::new(FILES).join(BETWEEN.repeat(ups));
        let entry = |PortableFile { path, local, is_executable }| {
            let mode = if is_executable { 0o755 } else { 0o644 };
            Entry { path: lexical(&base.join(path)), mode, content: Content::File(local) }
        };
        let mut entries: Vec<_> = files.into_iter().map(entry).collect();
        // A file that two variables name is there once. The order is the same each time, and so is the archive.
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        entries.dedup_by(|one, other| one.path == other.path);
        let mut at = base.join(INVENTORY);
        while entries.iter().any(|entry| entry.path == at) {
            at.set_file_name(format!("hwctl-{}", at.file_name().unwrap_or_default().display()));
        }
        let program = Content::File(program.to_owned());
        let inventory = Content::Text(inventory.to_owned());
        entries.push(Entry { path: at.clone(), mode: 0o600, content: inventory });
        entries.push(Entry { path: "hwctl".into(), mode: 0o755, content: program });
        Self { machine, inventory: at, entries }
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
    use std::fs;

    use super::*;
    use crate::part::portable_files;

    fn bundle(folder: &Path, paths: &[&str]) -> Bundle {
        let program = folder.join("program");
        fs::write(&program, "a program").unwrap();
        let files = |path: &&str| {
            portable_files(&folder.join("site").join(path), Path::new(path), &[]).unwrap()
        };
        Bundle::of(&program, "x86_64", "all: {}", paths.iter().flat_map(files).collect())
    }

    fn names(bundle: &Bundle) -> Vec<String> {
        bundle.entries.iter().map(|entry| entry.path.display().to_string()).collect()
    }

    fn write(root: &Path, path: &str) {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), path).unwrap();
    }

    #[test]
    fn paths_lead_to_the_same_files_as_beside_the_inventory() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["site/pages/a/index.html", "app/run.sh", "site/pages/.git/config"] {
            write(root, path);
        }

        let flat = bundle(root, &["pages"]);
        let up = bundle(root, &["./pages", "../app", "pages/../../app/run.sh"]);

        let expected = ["files/pages/a/index.html", "files/inventory.yaml", "hwctl"];
        assert_eq!(names(&flat), expected);
        let expected = [
            "files/app/run.sh",
            "files/inventory/pages/a/index.html",
            "files/inventory/inventory.yaml",
            "hwctl",
        ];
        assert_eq!(names(&up), expected);
        assert_eq!(up.inventory, Path::new("files/inventory/inventory.yaml"));
    }

    #[test]
    fn no_file_takes_the_place_of_hwctl_or_of_the_inventory() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "site/hwctl");
        write(folder.path(), "site/inventory.yaml");

        let made = bundle(folder.path(), &["hwctl", "inventory.yaml"]);

        let expected =
            ["files/hwctl", "files/inventory.yaml", "files/hwctl-inventory.yaml", "hwctl"];
        assert_eq!(names(&made), expected);
        assert_eq!(made.inventory, Path::new("files/hwctl-inventory.yaml"));
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "site/pages/index.html");

        let (one, other) = (bundle(folder.path(), &["pages"]), bundle(folder.path(), &["pages"]));

        assert_eq!(one.packed().unwrap().bytes, other.packed().unwrap().bytes);
    }
}
