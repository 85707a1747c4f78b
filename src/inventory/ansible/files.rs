//! Reads the text of a file, and lists a folder, with messages that name the path.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::failure::Failure;
use crate::inventory::names::shown;
use crate::inventory::trust::require_own;
use crate::inventory::yaml::place::{Problem, Source};

/// A longer file is not an inventory.
const LONGEST: u64 = 16 << 20;

/// What follows the last dot of a file's name. Empty when there is no dot.
pub(super) fn ending(path: &Path) -> &str {
    path.extension().map(|ending| ending.to_str().unwrap_or("\u{fffd}")).unwrap_or_default()
}

/// The paths in a folder, in the order of their names.
pub(super) fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut paths = read().map_err(|error| unreadable(folder, &error))?;
    paths.sort();
    Ok(paths)
}

/// Whether a name is hidden or that of an editor's backup.
pub(super) fn is_passed_over(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    name.is_none_or(|name| name.starts_with('.') || name.ends_with('~'))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "it is not there".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    let problem = Problem::nowhere(format!("cannot read `{}`: {reason}", path.display()));
    match error.kind() {
        std::io::ErrorKind::NotFound => problem
            .hint("name the inventory with `--inventory PATH`, or write one with `hwctl init`"),
        _ => problem,
    }
}

/// A file's text. Only regular files are read, and pipes such as `<(…)`, both up to a bound.
pub(super) fn source(path: &Path) -> Result<Arc<Source>, Failure> {
    use std::io::Read;
    require_own(path)?;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| unreadable(path, &error))?;
    let name = shown_path(path);
    if bytes.len() as u64 > LONGEST {
        let message = format!("`{name}` is larger than {} MiB", LONGEST >> 20);
        return Err(Problem::nowhere(message).into());
    }
    match String::from_utf8(bytes) {
        // A byte order mark is no part of the text: columns count without it.
        Ok(text) => Ok(Source::file(name, text.trim_start_matches('\u{feff}').to_owned())),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
            let message = format!("`{name}` is not text: line {line} is not UTF-8");
            Err(Problem::nowhere(message).into())
        }
    }
}

/// The path as messages show it.
pub(super) fn shown_path(path: &Path) -> String {
    let text = path.strip_prefix("./").unwrap_or(path).display().to_string();
    if text.chars().any(char::is_control) { shown(&text) } else { text }
}
