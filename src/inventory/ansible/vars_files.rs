//! The variables that lie in `group_vars/` and `host_vars/`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::files::{ending, is_passed_over, sorted, source};
use super::groups::Graph;
use super::vault::{self, Vault};
use crate::failure::Failure;
use crate::inventory::Warning;
use crate::inventory::yaml::load::parse;
use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::place::{Problem, Source};

/// Endings of files of variables, in the order in which Ansible looks for them.
const ENDINGS: [&str; 4] = ["", "yml", "yaml", "json"];
/// Folders inside each other.
const DEPTH: usize = 8;

/// What one folder has for a group or a host.
pub(in crate::inventory) struct FolderVars {
    /// The place of the folder in the order of precedence.
    pub(super) layer: usize,
    pub(super) files: Vec<VarsFile>,
}

/// A file of variables.
pub(in crate::inventory) enum VarsFile {
    /// What is wrong with a file counts only for the hosts that it is for.
    Open(Result<Vec<Entry>, Problem>),
    /// The file is encrypted. It is opened for the first host that needs it.
    Sealed { source: Arc<Source>, opened: OnceLock<Result<Vec<Entry>, Problem>> },
}

impl VarsFile {
    /// The variables. None if the file is encrypted and no password of a vault is given.
    pub(super) fn entries(&self, vault: &Vault) -> Result<Option<&[Entry]>, Problem> {
        match self {
            Self::Open(entries) => entries.as_deref().map(Some).map_err(Clone::clone),
            Self::Sealed { .. } if vault.has_no_password() => Ok(None),
            Self::Sealed { source, opened } => {
                let entries = opened.get_or_init(|| parse_entries(&vault.open_source(source)?));
                entries.as_deref().map(Some).map_err(Clone::clone)
            }
        }
    }

    /// The path of an encrypted file, for messages.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Open(_) => "",
            Self::Sealed { source, .. } => source.name(),
        }
    }
}

/// Reads the `group_vars/` and `host_vars/` of these folders. Later folders win.
pub(in crate::inventory) fn read_into(
    graph: &mut Graph,
    folders: &[PathBuf],
) -> Result<(), Failure> {
    for (layer, folder) in folders.iter().enumerate() {
        let groups = VarsFolder::read(&folder.join("group_vars"))?;
        for group in &mut graph.groups {
            let files = groups.files_of(&group.name, &mut graph.warnings)?;
            group.folders.extend(files.map(|files| FolderVars { layer, files }));
        }
        let hosts = VarsFolder::read(&folder.join("host_vars"))?;
        for host in &mut graph.hosts {
            let files = hosts.files_of(&host.name, &mut graph.warnings)?;
            host.folders.extend(files.map(|files| FolderVars { layer, files }));
        }
    }
    Ok(())
}

/// A folder whose names were read once. Asking the disk for each of thousands of hosts would take
/// longer than all the rest.
struct VarsFolder {
    path: PathBuf,
    names: HashSet<String>,
}

impl VarsFolder {
    fn read(path: &Path) -> Result<Self, Problem> {
        let paths = if path.is_dir() { sorted(path)? } else { Vec::new() };
        let names = paths.iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(Self { path: path.to_owned(), names: names.collect() })
    }

    /// The files for a name, or None.
    fn files_of(
        &self,
        name: &str,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Vec<VarsFile>>, Failure> {
        let mut names = ENDINGS.iter().map(|ending| match *ending {
            "" => name.to_owned(),
            ending => format!("{name}.{ending}"),
        });
        let Some(name) = names.find(|name| self.names.contains(name)) else { return Ok(None) };
        let path = self.path.join(name);
        let paths = if path.is_dir() { files_below(&path, 0)? } else { vec![path] };
        paths.iter().map(|path| read(path, warnings)).collect::<Result<_, _>>().map(Some)
    }
}

fn read(path: &Path, warnings: &mut Vec<Warning>) -> Result<VarsFile, Failure> {
    let source = source(path)?;
    if vault::is_sealed(source.text()) {
        return Ok(VarsFile::Sealed { source, opened: OnceLock::new() });
    }
    let entries = parse_entries(&source);
    warnings.extend_from_slice(source.warnings());
    Ok(VarsFile::Open(entries))
}

fn parse_entries(source: &Arc<Source>) -> Result<Vec<Entry>, Problem> {
    match parse(source)? {
        Some(Node { value: Value::Map(entries), .. }) => Ok(entries),
        Some(node) if !node.is_null() => {
            let message = format!("a file of variables is a map, not {}", node.kind());
            Err(Problem::at(&node.place, message))
        }
        _ => Ok(Vec::new()),
    }
}

fn files_below(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, Problem> {
    let mut files = Vec::new();
    for path in sorted(folder)? {
        if is_passed_over(&path) {
            continue;
        }
        if path.is_dir() {
            if ending(&path).is_empty() && depth < DEPTH {
                files.extend(files_below(&path, depth + 1)?);
            }
        } else if ENDINGS.contains(&ending(&path)) {
            files.push(path);
        }
    }
    Ok(files)
}
