//! Parts that are out of service for a while: a file for each of them, which the web server looks for with each request.
//! No run puts a part into service again.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use super::specs;
use crate::engine::protocol::MAINTENANCE_FOLDER;
use crate::resource::{Advise as _, Host, remove_file, write_atomic};

/// Takes parts out of service, or back. Returns those that were not so before.
pub(in crate::engine) fn switch(host: &Host, parts: &[String], is_on: bool) -> Result<Vec<String>> {
    let folder = host.path(Path::new(MAINTENANCE_FOLDER));
    if !folder.is_dir() {
        return Err(anyhow!("the host has no `{MAINTENANCE_FOLDER}`"))
            .hint("`hwctl provision` makes it, and has the web server look for it");
    }
    let before = under_way(host);
    let mut switched = Vec::new();
    for part in parts.iter().filter(|part| before.contains(part) != is_on) {
        if part.contains('/') || part.starts_with('.') {
            bail!("`{part}` is no name of a part");
        }
        let path = folder.join(part);
        let done = match is_on {
            true => write_atomic(&path, b"", 0o644, None),
            false => remove_file(&path),
        };
        done.with_context(|| format!("switch the maintenance of `{part}`"))?;
        switched.push(part.clone());
    }
    Ok(switched)
}

/// Forgets parts that have left the host: one that comes back is in service.
pub(in crate::engine) fn forget_gone(host: &Host) -> Result<()> {
    let parts = specs::names(host)?;
    let mut gone = under_way(host).into_iter().filter(|part| !parts.contains(part));
    gone.try_for_each(|part| remove_file(&host.path(Path::new(MAINTENANCE_FOLDER)).join(part)))
}

/// The parts that are out of service, sorted by name.
pub(in crate::engine) fn under_way(host: &Host) -> Vec<String> {
    let found = fs::read_dir(host.path(Path::new(MAINTENANCE_FOLDER))).into_iter().flatten();
    let names = found.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}
