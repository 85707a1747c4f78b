//! Finds and reads the files of an inventory: the file or folder itself, `group_vars/`, `host_vars/`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::groups::Graph;
use crate::failure::Failure;
use crate::inventory::Warning;
use crate::inventory::names::shown;
use crate::inventory::trust::require_own;
use crate::inventory::yaml::load::parse;
use crate::inventory::yaml::node::{Entry, Node, Value, put};
use crate::inventory::yaml::place::{Problem, Source};

/// A longer file is not an inventory.
const LONGEST: u64 = 16 << 20;
/// Endings of YAML files, in the order in which Ansible looks for them: those that `group_vars/web`
/// may have, and those of the files that are read in an inventory folder.
const ENDINGS: [&str; 4] = ["", "yml", "yaml", "json"];
/// Folders beside an inventory that are not part of it.
const ASIDE: [&str; 3] = ["group_vars", "host_vars", "vars_plugins"];
/// Endings that Ansible ignores in an inventory folder without a word.
const IGNORED: [&str; 11] =
    ["pyc", "pyo", "swp", "bak", "rpm", "md", "txt", "rst", "orig", "cfg", "retry"];
/// Folders inside each other.
const DEPTH: usize = 8;

/// The inventory that is taken when none is named.
pub(in crate::inventory) fn default_path() -> Option<PathBuf> {
    ["inventory.yaml", "inventory.yml", "inventory"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

/// Reads an inventory file, or all YAML files of an inventory folder, into the graph. Returns a
/// warning for each file of the folder that could be an inventory of another format.
pub(in crate::inventory) fn read_into(
    graph: &mut Graph,
    path: &Path,
) -> Result<Vec<Warning>, Failure> {
    let mut warnings = Vec::new();
    if path.is_dir() {
        require_own(path)?;
        let (files, others): (Vec<_>, Vec<_>) =
            inventory_files(path, 0)?.into_iter().partition(|file| ENDINGS.contains(&ending(file)));
        let not_read = |file: &PathBuf| Warning {
            place: shown_path(file),
            message: "this file is not read: in a folder hwctl reads `.yml`, `.yaml`, `.json` and \
                      files without an ending"
                .to_owned(),
        };
        warnings.extend(others.iter().map(not_read));
        if files.is_empty() {
            let message = format!("the folder `{}` holds no inventory", path.display());
            return Err(Problem::nowhere(message).hint("put an `inventory.yaml` into it").into());
        }
        for file in files {
            read_file(graph, &file)?;
        }
    } else {
        read_file(graph, path)?;
    }
    graph.complete()?;
    Ok(warnings)
}

fn read_file(graph: &mut Graph, path: &Path) -> Result<(), Failure> {
    match parse(&source(path)?)? {
        Some(root) if !root.is_null() => Ok(graph.read(&root)?),
        _ => {
            let problem = Problem::nowhere(format!("`{}` is empty", path.display()));
            Err(problem.hint("`hwctl init` writes an inventory to start from").into())
        }
    }
}

/// Reads `group_vars/` and `host_vars/` beside the inventory.
pub(in crate::inventory) fn read_folders(graph: &mut Graph, folder: &Path) -> Result<(), Failure> {
    let groups = folder.join("group_vars");
    if groups.is_dir() {
        for at in 0..graph.groups.len() {
            graph.groups[at].folder = vars_of(&groups, &graph.groups[at].name)?;
        }
    }
    let hosts = folder.join("host_vars");
    if hosts.is_dir() {
        for at in 0..graph.hosts.len() {
            graph.hosts[at].folder = vars_of(&hosts, &graph.hosts[at].name)?;
        }
    }
    Ok(())
}

/// The variables that a `group_vars/` or `host_vars/` has for a name.
fn vars_of(folder: &Path, name: &str) -> Result<Vec<Entry>, Failure> {
    let mut vars = Vec::new();
    if name.contains('/') || name.starts_with('.') {
        return Ok(vars);
    }
    let found = ENDINGS
        .iter()
        .map(|ending| match *ending {
            "" => folder.join(name),
            ending => folder.join(format!("{name}.{ending}")),
        })
        .find(|path| path.exists());
    let files = match found {
        Some(path) if path.is_dir() => vars_files(&path, 0)?,
        Some(path) => vec![path],
        None => return Ok(vars),
    };
    for file in files {
        match parse(&source(&file)?)? {
            Some(Node { value: Value::Map(entries), .. }) => {
                for entry in entries {
                    put(&mut vars, entry);
                }
            }
            Some(node) if !node.is_null() => {
                let message = format!("a file of variables is a map, not {}", node.kind());
                return Err(Problem::at(&node.place, message).into());
            }
            _ => {}
        }
    }
    Ok(vars)
}

fn inventory_files(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, Problem> {
    let mut files = Vec::new();
    for path in sorted(folder)? {
        let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
        if name.starts_with('.')
            || name.ends_with('~')
            || ASIDE.contains(&name)
            || IGNORED.contains(&ending(&path))
        {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH {
                files.extend(inventory_files(&path, depth + 1)?);
            }
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

fn vars_files(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, Problem> {
    let mut files = Vec::new();
    for path in sorted(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        if path.is_dir() {
            if ending(&path).is_empty() && depth < DEPTH {
                files.extend(vars_files(&path, depth + 1)?);
            }
        } else if ENDINGS.contains(&ending(&path)) {
            files.push(path);
        }
    }
    Ok(files)
}

/// What follows the last dot of a file's name. Empty when there is no dot.
fn ending(path: &Path) -> &str {
    path.extension().map(|ending| ending.to_str().unwrap_or("\u{fffd}")).unwrap_or_default()
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut paths = read().map_err(|error| unreadable(folder, &error))?;
    paths.sort();
    Ok(paths)
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
fn source(path: &Path) -> Result<Arc<Source>, Failure> {
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
fn shown_path(path: &Path) -> String {
    let text = path.strip_prefix("./").unwrap_or(path).display().to_string();
    if text.chars().any(char::is_control) { shown(&text) } else { text }
}
