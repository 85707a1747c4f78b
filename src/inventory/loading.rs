//! From what the command line and `ansible.cfg` name to an inventory that is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ansible::config::Config;
use super::ansible::groups::Graph;
use super::ansible::sources::{self, HostSource, Rules};
use super::ansible::vars_files;
use super::ansible::vault::{PasswordFile, Vault};
use super::ansible::world::World;
use super::schema::Passwords;
use super::yaml::node::{Node, Value};
use super::yaml::place::Source;
use super::yaml::problem::Problem;
use super::{Inventory, Set, names, yaml};
use crate::failure::Failure;

/// Where an inventory comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, folders, executables, and lists of hosts such as `vm1,vm2`. When there is none:
    /// what Ansible's settings name, else `inventory.yaml`, `inventory.yml` or `inventory` here,
    /// else an empty inventory.
    pub inventories: Vec<String>,
    /// `KEY=VALUE` settings that beat everything the inventory says.
    pub sets: Vec<String>,
    /// Files with passwords of vaults, or programs that print them: `PATH` or `LABEL@PATH`.
    pub vault_passwords: Vec<String>,
    /// Whether programs are run that inventories or passwords of vaults come from.
    pub programs: Programs,
    /// One more host and the group that it is in, which has to be in the inventory.
    pub member: Option<Member>,
}

/// A host of a group that the inventory does not name.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The name of its group.
    pub group: String,
}

/// What becomes of programs that inventories or passwords of vaults come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Programs {
    /// They are run.
    #[default]
    Run,
    /// They are left out, and so is all that is encrypted: a press of the Tab key starts nothing.
    Skip,
}

impl Sources {
    /// One file or folder, and settings.
    #[must_use]
    pub fn at(path: &Path, sets: Vec<String>) -> Self {
        let inventories = vec![path.to_string_lossy().into_owned()];
        Self { inventories, sets, ..Self::default() }
    }
}

/// Reads an inventory with what lies beside it.
pub fn load(sources: &Sources) -> Result<Inventory, Failure> {
    let config = Config::load()?;
    let mut graph = Graph::new(config.merging()?);
    let passwords = sources.vault_passwords.iter().map(|text| PasswordFile::parse(text));
    let passwords = passwords.chain(config.vault_files());
    let vault = Vault::new(match sources.programs {
        Programs::Run => passwords.collect(),
        Programs::Skip => Vec::new(),
    });
    let from = host_sources(sources, &config);
    let rules = Rules { vault, skipped: config.skipped()?, programs: sources.programs };
    for source in &from {
        sources::read_into(&mut graph, source, &rules)?;
    }
    if let Some(Member { name, group }) = &sources.member {
        let at = graph.find_group(group).ok_or_else(|| unknown_group(group))?;
        graph.add_host(name, at, None, &Source::argument("GROUP", group).start())?;
    }
    graph.complete();
    let folders: Vec<_> = from.iter().filter_map(HostSource::folder).collect();
    let folder = folders.first().cloned().unwrap_or_default();
    if !from.is_empty() {
        vars_files::read_into(&mut graph, &layers(&folders))?;
    }
    let warnings = config.warnings.iter().cloned().chain(std::mem::take(&mut graph.warnings));
    let path = from.iter().find_map(|source| match source {
        HostSource::Path(path) => Some(path.clone()),
        HostSource::Hosts(_) => None,
    });
    let sets = sources.sets.iter().map(|set| parse_set(set)).collect::<Result<_, _>>()?;
    Ok(Inventory {
        warnings: warnings.collect(),
        notes: config
            .path()
            .map(|path| format!("Ansible's settings are read from `{path}`"))
            .into_iter()
            .collect(),
        world: Arc::new(World { graph, vault: rules.vault, sets }),
        settings: config.variables(),
        passwords: Arc::new(Passwords::new(folder.clone())),
        folder,
        path,
    })
}

pub(super) fn unknown_group(name: &str) -> Failure {
    Failure::usage(format!("the inventory has no group `{}`", names::shown(name)))
}

fn host_sources(sources: &Sources, config: &Config) -> Vec<HostSource> {
    if !sources.inventories.is_empty() {
        return sources.inventories.iter().map(|text| HostSource::of(text)).collect();
    }
    let paths = config.inventories();
    let paths =
        if paths.is_empty() { sources::default_path().into_iter().collect() } else { paths };
    let paths = if paths.is_empty() { config.any_inventories() } else { paths };
    paths.into_iter().map(HostSource::Path).collect()
}

/// The folders whose `group_vars/` and `host_vars/` count, each once, the strongest last: those of
/// the inventories, then the working folder, which is where a playbook would be.
fn layers(folders: &[PathBuf]) -> Vec<PathBuf> {
    let here = PathBuf::from("");
    let all: Vec<_> = folders.iter().chain([&here]).collect();
    let real = |folder: &Path| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
    };
    let comes_again = |at: usize| all[at + 1..].iter().any(|later| real(later) == real(all[at]));
    (0..all.len()).filter(|at| !comes_again(*at)).map(|at| all[at].clone()).collect()
}

/// `redis.port=6380`: a path of keys, and a value in YAML.
fn parse_set(set: &str) -> Result<Set, Problem> {
    let Some((key, value)) = set.split_once('=') else {
        let message = "`--set` takes KEY=VALUE";
        return Err(Problem::nowhere(message).hint("such as `--set redis.port=6380`"));
    };
    let path: Vec<_> = key.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        let message = format!("`--set` takes keys with dots between, not `{}`", names::shown(key));
        return Err(Problem::nowhere(message).hint("such as `--set redis.port=6380`"));
    }
    let source = Source::argument(&names::shown(key), value);
    let node =
        yaml::load::parse(&source)?.unwrap_or_else(|| Node::new(Value::Null, source.start()));
    Ok(Set { path, node })
}
