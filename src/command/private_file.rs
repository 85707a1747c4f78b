//! Files on the operator's machine that are nobody else's business.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Result;

/// Writes a file whole or not at all. Only its owner may read it.
pub(super) fn write(path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".hwctl-").tempfile_in(folder)?;
    content(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}
