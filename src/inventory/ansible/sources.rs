//! Reads inventories in whatever format they have: which reader a source is for is found as Ansible finds it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regex_lite::Regex;

use super::files::{ending, shown_path, sorted, source};
use super::groups::{Graph, UNGROUPED};
use super::vault::{self, Vault};
use super::{ini, program_output, range, yaml};
use crate::failure::Failure;
use crate::inventory::names::shown_long;
use crate::inventory::trust::require_own;
use crate::inventory::yaml::load::parse_inventory;
use crate::inventory::yaml::place::Source;
use crate::inventory::yaml::problem::Problem;
use crate::inventory::{Programs, Warning};

/// Endings of inventories in YAML.
const YAML: [&str; 4] = ["", "yml", "yaml", "json"];
/// Folders beside an inventory that are not part of it.
const ASIDE: [&str; 3] = ["group_vars", "host_vars", "vars_plugins"];
/// How names end that Ansible skips in an inventory folder without a word.
const SKIPPED: [&str; 12] =
    ["~", ".bak", ".cfg", ".md", ".orig", ".pyc", ".pyo", ".retry", ".rpm", ".rst", ".swp", ".txt"];
/// Folders inside each other.
const DEPTH: usize = 8;

/// Where hosts come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inventory) enum HostSource {
    /// A file, an executable or a folder of these.
    Path(PathBuf),
    /// Names of hosts with commas between them.
    Hosts(String),
}

impl HostSource {
    /// What a person wrote: a list of hosts has a comma in it and is no path.
    pub(in crate::inventory) fn of(text: &str) -> Self {
        let path = PathBuf::from(text);
        if text.contains(',') && !path.exists() {
            Self::Hosts(text.to_owned())
        } else {
            Self::Path(path)
        }
    }

    /// The folder whose `group_vars/` and `host_vars/` belong to the source.
    pub(in crate::inventory) fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Hosts(_) => None,
            Self::Path(path) if path.is_dir() => Some(path.clone()),
            Self::Path(path) => Some(path.parent().unwrap_or(Path::new("")).to_owned()),
        }
    }
}

/// How inventories are read.
pub(in crate::inventory) struct Rules {
    pub(in crate::inventory) vault: Vault,
    pub(in crate::inventory) skipped: Skipped,
    pub(in crate::inventory) programs: Programs,
}

/// Which files of an inventory folder are skipped.
pub(in crate::inventory) struct Skipped {
    /// How their names end.
    pub(in crate::inventory) endings: Vec<String>,
    /// What is found in their names.
    pub(in crate::inventory) patterns: Vec<Regex>,
}

impl Default for Skipped {
    fn default() -> Self {
        Self { endings: SKIPPED.map(str::to_owned).to_vec(), patterns: Vec::new() }
    }
}

impl Skipped {
    fn has(&self, name: &str) -> bool {
        name.starts_with('.')
            || ASIDE.contains(&name)
            || self.endings.iter().any(|ending| name.ends_with(ending))
            || self.patterns.iter().any(|pattern| pattern.is_match(name))
    }
}

/// The inventory that is taken when none is named.
pub(in crate::inventory) fn default_path() -> Option<PathBuf> {
    ["inventory.yaml", "inventory.yml", "inventory"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

/// Reads a source into the graph.
pub(in crate::inventory) fn read_into(
    graph: &mut Graph,
    from: &HostSource,
    rules: &Rules,
) -> Result<(), Failure> {
    let read = match from {
        HostSource::Hosts(list) => read_list(graph, list).map_err(Failure::from),
        HostSource::Path(path) if path.is_dir() => read_folder(graph, path, rules),
        HostSource::Path(path) => read_file(graph, path, rules),
    };
    graph.file = None;
    read
}

fn read_list(graph: &mut Graph, list: &str) -> Result<(), Problem> {
    let place = Source::argument("--inventory", list).start();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let (names, port) = range::expand(name).map_err(|message| {
            Problem::nowhere(format!("`--inventory`: {}", shown_long(&message)))
        })?;
        for name in names {
            graph.add_host(&name, UNGROUPED, port, &place)?;
        }
    }
    Ok(())
}

/// Reads all inventories of a folder. As in Ansible, a file that is none is passed over with a
/// warning if another one is.
fn read_folder(graph: &mut Graph, folder: &Path, rules: &Rules) -> Result<(), Failure> {
    require_own(folder)?;
    let (mut failures, mut is_read) = (Vec::new(), false);
    for path in files_below(folder, &rules.skipped, 0)? {
        require_own(&path)?;
        match read_file(graph, &path, rules) {
            Ok(()) => is_read = true,
            Err(failure) => failures.push((path, failure)),
        }
    }
    if is_read {
        graph.warnings.extend(failures.into_iter().map(|(path, failure)| Warning {
            place: shown_path(&path),
            message: format!("this file is not read: {}", failure.what),
        }));
        return Ok(());
    }
    if let Some((_, failure)) = failures.into_iter().next() {
        return Err(failure);
    }
    let message = format!("the folder `{}` holds no inventory", folder.display());
    Err(Problem::nowhere(message).hint("put an `inventory.yaml` into it").into())
}

fn files_below(folder: &Path, skipped: &Skipped, depth: usize) -> Result<Vec<PathBuf>, Problem> {
    let mut files = Vec::new();
    for path in sorted(folder)? {
        let name = path.file_name().and_then(OsStr::to_str);
        if name.is_none_or(|name| skipped.has(name)) {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH {
                files.extend(files_below(&path, skipped, depth + 1)?);
            }
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

fn read_file(graph: &mut Graph, path: &Path, rules: &Rules) -> Result<(), Failure> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    graph.file = Some(Arc::from(absolute.as_path()));
    if program_output::is_program(path)? {
        if rules.programs == Programs::Skip {
            return Ok(());
        }
        return Ok(program_output::read_into(graph, path)?);
    }
    let mut text = source(path)?;
    if vault::is_sealed(text.text()) {
        text = rules.vault.open_source(&text)?;
    }
    Ok(read_text(graph, path, &text, rules)?)
}

/// Reads YAML where the ending allows it, else INI.
fn read_text(
    graph: &mut Graph,
    path: &Path,
    text: &Arc<Source>,
    rules: &Rules,
) -> Result<(), Problem> {
    if ending(path) == "toml" {
        if rules.programs == Programs::Skip {
            return Ok(());
        }
        return program_output::read_plugin(graph, path, &text.start(), &rules.vault);
    }
    if !YAML.contains(&ending(path)) {
        return ini::read_into(graph, text);
    }
    let in_yaml = match read_yaml(graph, path, text, rules) {
        Ok(()) => return Ok(()),
        Err(problem) => problem,
    };
    // A source remembers where its secrets are only once, so the second reader has one of its own.
    let again = text.again();
    match ini::read_into(graph, &again) {
        Ok(()) if is_blank(text.text()) && !ending(path).is_empty() => Err(in_yaml),
        Ok(()) => Ok(()),
        Err(in_ini) if ending(path).is_empty() && !looks_like_yaml(text.text()) => Err(in_ini),
        Err(_) => Err(in_yaml),
    }
}

fn read_yaml(
    graph: &mut Graph,
    path: &Path,
    text: &Arc<Source>,
    rules: &Rules,
) -> Result<(), Problem> {
    let root = parse_inventory(text)?;
    graph.warnings.extend_from_slice(text.warnings());
    match root {
        Some(root) if !root.is_null() => {
            let plugin = root.entries().and_then(|all| all.iter().find(|e| e.key == "plugin"));
            match plugin {
                Some(_) if rules.programs == Programs::Skip => Ok(()),
                Some(plugin) => {
                    program_output::read_plugin(graph, path, &plugin.place, &rules.vault)
                }
                None => yaml::read_into(graph, &root),
            }
        }
        _ => {
            let problem = Problem::nowhere(format!("`{}` is empty", path.display()));
            Err(problem.hint("`hwctl init` writes an inventory to start from"))
        }
    }
}

/// Whether a text has nothing but comments.
fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

/// Whether a text that is neither YAML nor INI was likely meant to be YAML.
fn looks_like_yaml(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| {
        line == "---" || line.starts_with(['{', '-']) || line.ends_with(':') || line.contains(": ")
    })
}
