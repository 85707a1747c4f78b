//! What dpkg says of all packages, as its own table has it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use memchr::memmem;

use crate::resource::host::Host;

/// dpkg's table.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The version of each installed package.
    pub(super) installed: BTreeMap<String, String>,
    /// Packages that are half installed, half configured, or wait for others.
    pub(super) unfinished: BTreeSet<String>,
}

/// The table as it was read last, and which file that was: dpkg puts a new one in its place.
type LastTable = RefCell<Option<(TableVersion, Rc<Table>)>>;

/// The inode of dpkg's table, and when it was written.
pub(super) type TableVersion = (u64, SystemTime);

fn table_path(host: &Host) -> std::path::PathBuf {
    host.path(Path::new("/var/lib/dpkg/status"))
}

pub(super) fn table_version(host: &Host) -> Result<TableVersion> {
    let path = table_path(host);
    let version = std::fs::metadata(&path).and_then(|found| Ok((found.ino(), found.modified()?)));
    version.with_context(|| format!("look at `{}`", path.display()))
}

/// Reads dpkg's table, unless it is the one that was read last.
pub(super) fn table(host: &Host) -> Result<Rc<Table>> {
    let path = table_path(host);
    let read = || -> std::io::Result<_> {
        let mut file = std::fs::File::open(&path)?;
        let found = file.metadata()?;
        let version = (found.ino(), found.modified()?);
        if let Some((last, table)) = &*host.cached::<LastTable>().borrow()
            && *last == version
        {
            return Ok(Rc::clone(table));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let table = Rc::new(parse(&bytes));
        *host.cached::<LastTable>().borrow_mut() = Some((version, Rc::clone(&table)));
        Ok(table)
    };
    match read() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Rc::default()),
        read => read.with_context(|| format!("read `{}`", path.display())),
    }
}

/// Of a package's paragraph only its first lines are read: name, status and version stand there.
fn parse(bytes: &[u8]) -> Table {
    let mut table = Table::default();
    let mut from = 0;
    for to in memmem::find_iter(bytes, "\n\n").chain([bytes.len()]) {
        let paragraph = &bytes[from..to];
        from = to + 2;
        let field = |name: &str| {
            let mut lines = paragraph.split(|byte| *byte == b'\n');
            let value = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
            Some(String::from_utf8_lossy(value))
        };
        let Some(name) = field("Package: ") else { continue };
        let status = field("Status: ").unwrap_or_default();
        match status.rsplit(' ').next() {
            Some("installed") => {
                let version = field("Version: ").unwrap_or_default();
                table.installed.insert(name.into_owned(), version.into_owned());
            }
            Some("not-installed" | "config-files") | None => {}
            Some(_) => {
                table.unfinished.insert(name.into_owned());
            }
        }
    }
    table
}

/// Whether dpkg was cut off before it had put its notes into the table: apt then refuses to work.
pub(super) fn has_updates(host: &Host) -> Result<bool> {
    let path = host.path(Path::new("/var/lib/dpkg/updates"));
    let notes = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        notes => notes.with_context(|| format!("read `{}`", path.display()))?,
    };
    let is_note = |name: &[u8]| name.iter().all(u8::is_ascii_digit);
    Ok(notes.flatten().any(|note| is_note(note.file_name().as_encoded_bytes())))
}

/// The version of one package, when it is installed.
pub fn installed_version(host: &Host, name: &str) -> Result<Option<String>> {
    Ok(table(host)?.installed.get(name).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_what_is_installed() {
        let removed = "Package: old\nStatus: deinstall ok config-files\nVersion: 1\n";
        let nginx = "Package: nginx\nStatus: install ok installed\nVersion: 1.26.3-3\n \n";
        let mut text = format!("{removed}\n{nginx}Maintainer: J").into_bytes();
        // Not UTF-8, as in files of old.
        text.extend(b"\xf6rg\n");
        let installed = BTreeMap::from([("nginx".to_owned(), "1.26.3-3".to_owned())]);
        assert_eq!(parse(&text).installed, installed);
        assert!(parse(&text).unfinished.is_empty());

        text.extend(b"\nPackage: docker.io\nStatus: install ok half-configured\nVersion: 26\n\n");
        assert_eq!(parse(&text).installed, installed);
        assert_eq!(parse(&text).unfinished, BTreeSet::from(["docker.io".to_owned()]));
        assert!(parse(b"").installed.is_empty());
    }

    #[test]
    fn a_dpkg_that_was_cut_off_is_known_by_its_notes() {
        let root = tempfile::tempdir().unwrap();
        let host =
            Host::new(root.path(), Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()));
        assert!(!has_updates(&host).unwrap());
        let notes = root.path().join("var/lib/dpkg/updates");
        std::fs::create_dir_all(&notes).unwrap();
        std::fs::write(notes.join("tmp.i"), "").unwrap();
        assert!(!has_updates(&host).unwrap());
        std::fs::write(notes.join("0003"), "").unwrap();
        assert!(has_updates(&host).unwrap());
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_table_is_read(bytes in crate::damaged::bytes(&[
            b"Package: nginx\nStatus: install ok installed\nVersion: 1.26\n\nPackage: b\nStatus: install ok half-configured\n",
        ])) {
            let table = parse(&bytes);
            assert!(table.installed.len() + table.unfinished.len() <= bytes.len());
        }
    }
}
