//! Ansible-style YAML in, typed vars out.

mod ansible;
pub(crate) mod check;
mod names;
mod own;
pub mod schema;
mod trust;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

pub use schema::Vars;
pub use trust::require_own;
pub use yaml::place::nearest;

use crate::failure::Failure;
use ansible::groups::Graph;
use ansible::{connection, files, groups, merge, pattern};
use schema::{Declared, Passwords, Variable};
use yaml::node::{self, Entry, Node, Value};
use yaml::place::{self, Problem, Source};

/// Where an inventory comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file or folder; `inventory.yaml`, `inventory.yml` or `inventory` here when absent, and
    /// an empty inventory when none of them exists.
    pub path: Option<PathBuf>,
    /// `KEY=VALUE` settings that beat everything the inventory says.
    pub sets: Vec<String>,
}

/// Hosts and their variables, as the inventory's files say.
pub struct Inventory {
    graph: Graph,
    sets: Arc<[Set]>,
    folder: PathBuf,
    path: Option<PathBuf>,
    passwords: Arc<Passwords>,
    warnings: Vec<Warning>,
}

/// One `--set`.
#[derive(Clone)]
struct Set {
    path: Vec<String>,
    node: Node,
}

/// A host, and how it is reached.
#[derive(Clone)]
pub struct InventoryHost {
    /// Its name in the inventory, or what `--host` said.
    pub name: String,
    /// Where ssh goes.
    pub address: String,
    /// Who logs in; ssh's own choice when absent.
    pub user: Option<String>,
    /// The port of ssh; ssh's own choice when absent.
    pub port: Option<u16>,
    /// The private key of ssh; ssh's own choice when absent.
    pub identity: Option<PathBuf>,
    /// Further arguments of ssh.
    pub ssh_arguments: Vec<String>,
    /// Why hwctl cannot reach it the way that its variables say.
    refusal: Option<Failure>,
    /// The groups it is in, without `all`, in alphabetical order.
    pub groups: Vec<String>,
    vars: Vec<Entry>,
    sets: Arc<[Set]>,
}

impl InventoryHost {
    /// Where the variable at a path of keys is written. None when only the defaults have it.
    #[must_use]
    pub fn place(&self, path: &[&str]) -> Option<String> {
        let (last, folders) = path.split_last()?;
        let mut entries = self.vars.as_slice();
        for key in folders {
            entries = node::get(entries, key)?.entries()?;
        }
        Some(node::get(entries, last)?.place.to_string())
    }

    /// Refuses a host whose variables have Ansible reach it in a way that hwctl has not.
    pub fn require_reachable(&self) -> Result<(), Failure> {
        let not_done = || format!("`{}` is not contacted", self.name);
        self.refusal.clone().map_or(Ok(()), |failure| Err(failure.not_done(not_done())))
    }

    /// The merged variables as the inventory says them, before hwctl's defaults: equal to what
    /// `ansible-inventory --list` prints. May hold passwords.
    #[must_use]
    pub fn raw(&self) -> Map<String, Json> {
        node::json(&self.vars)
    }
}

/// The variables are left out: they may hold passwords.
impl fmt::Debug for InventoryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .field("address", &self.address)
            .field("user", &self.user)
            .field("port", &self.port)
            .field("identity", &self.identity)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// Something in the inventory that works and should not stay so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where: `inventory.yaml:7:12`, or `--set KEY`.
    pub place: String,
    /// What, without any value that is secret.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Reads an inventory with what lies beside it.
pub fn load(sources: &Sources) -> Result<Inventory, Failure> {
    let path = sources.path.clone().or_else(files::default_path);
    let mut graph = Graph::new();
    let mut folder = PathBuf::new();
    let mut warnings = Vec::new();
    if let Some(path) = &path {
        warnings = files::read_into(&mut graph, path)?;
        folder = match path.parent() {
            _ if path.is_dir() => path.clone(),
            Some(parent) => parent.to_owned(),
            None => PathBuf::new(),
        };
        files::read_folders(&mut graph, &folder)?;
    }
    let sets = sources.sets.iter().map(|set| parse_set(set)).collect::<Result<_, _>>()?;
    let passwords = Arc::new(Passwords::new(folder.clone()));
    Ok(Inventory { graph, sets, folder, path, passwords, warnings })
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
    let start = place::Extent { line: 1, column: 1, end_line: 1, end_column: 2 };
    let node =
        yaml::load::parse(&source)?.unwrap_or_else(|| Node::new(Value::Null, source.at(start)));
    Ok(Set { path, node })
}

impl Inventory {
    /// The inventory's folder; relative paths in variables begin there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The inventory's file or folder, when there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What is wrong with the inventory as a whole but stops nothing.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Every host that the inventory names, whatever its variables are called.
    pub fn hosts(&self) -> Result<Vec<InventoryHost>, Failure> {
        (0..self.graph.hosts.len()).map(|at| self.listed(at)).collect()
    }

    /// The hosts that are meant: those of `--host`, else all of the inventory, and of these only
    /// those that the pattern `limit` matches.
    pub fn select(
        &self,
        hosts: &[String],
        limit: Option<&str>,
    ) -> Result<Vec<InventoryHost>, Failure> {
        let limited = limit.map(|limit| pattern::select(&self.graph, limit)).transpose()?;
        let within = |at: &usize| limited.as_ref().is_none_or(|limited| limited.contains(at));
        if hosts.is_empty() {
            let chosen = limited.clone().unwrap_or_else(|| self.graph.hosts_of(groups::ALL));
            if chosen.is_empty() {
                return Err(Failure::usage("the inventory names no host").hint(
                    "name one with `--host ADDRESS`, or write an inventory with `hwctl init`",
                ));
            }
            return chosen.into_iter().map(|at| self.listed(at)).collect();
        }
        let mut chosen = Vec::new();
        for name in hosts {
            match self.find(name)? {
                Some(at) if within(&at) => chosen.push(self.listed(at)?),
                None if limited.is_none() => chosen.push(self.unlisted(name)?),
                _ => {}
            }
        }
        let mut seen = std::collections::HashSet::new();
        chosen.retain(|host| seen.insert(host.name.clone()));
        if chosen.is_empty() {
            return Err(Failure::usage("`--limit` leaves no host of those that `--host` names"));
        }
        Ok(chosen)
    }

    /// The variables of a host that are declared, over their defaults, and what in them should not stay so.
    /// What they refer to is not looked up.
    pub fn vars(
        &self,
        host: &InventoryHost,
        declared: &[Declared],
    ) -> Result<(Vars, Vec<Warning>), Failure> {
        let not_done =
            |failure: Failure| failure.not_done(format!("`{}` is not contacted", host.name));
        let found = own::read(host, declared, &self.passwords);
        let (vars, mut warnings) = found.map_err(|problems| not_done(place::failure(problems)))?;
        warnings.extend(connection::warnings(&host.vars));
        Ok((vars, warnings))
    }

    /// The value of one variable of a host.
    pub fn value<T: Variable>(&self, host: &InventoryHost) -> Result<T, Failure> {
        let vars = own::read_one(host, &Declared::of::<T>(), &self.passwords);
        vars.map(|vars| vars.get::<T>().clone())
            .map_err(|problems| place::failure(problems).not_done("no host was contacted"))
    }

    /// The entry that `--host` means: by name, else by address.
    fn find(&self, name: &str) -> Result<Option<usize>, Failure> {
        if let Some(at) = self.graph.find_host(name) {
            return Ok(Some(at));
        }
        for at in 0..self.graph.hosts.len() {
            if self.listed(at).is_ok_and(|host| host.address == name) {
                return Ok(Some(at));
            }
        }
        if self.graph.find_group(name).is_some() || name.contains(['*', '?', ',']) {
            return Err(Failure::usage(format!("`--host {}` is not one host", names::shown(name)))
                .hint(format!("use `--limit '{}'`", names::shown(name))));
        }
        Ok(None)
    }

    fn listed(&self, at: usize) -> Result<InventoryHost, Failure> {
        let listed = &self.graph.hosts[at];
        let groups = self.graph.groups_of(listed);
        let names = groups.iter().filter(|group| **group != groups::ALL);
        let mut names: Vec<_> = names.map(|at| self.graph.groups[*at].name.clone()).collect();
        names.sort();
        self.host(&listed.name, names, merge::merge(&self.graph, listed))
    }

    fn unlisted(&self, name: &str) -> Result<InventoryHost, Failure> {
        names::usable(name).map_err(|message| Failure::usage(format!("--host: {message}")))?;
        if let Some((user, address)) = name.split_once('@') {
            return Err(Failure::usage(format!("`--host {name}` names a user"))
                .hint(format!("use `--host {address} --user {user}`")));
        }
        self.host(name, Vec::new(), merge::merge_unlisted(&self.graph))
    }

    fn host(
        &self,
        name: &str,
        groups: Vec<String>,
        mut vars: Vec<Entry>,
    ) -> Result<InventoryHost, Failure> {
        for set in &*self.sets {
            node::put_at(&mut vars, &set.path, set.node.clone())?;
        }
        let reached = connection::read(name, &vars, &self.folder)?;
        Ok(InventoryHost {
            name: name.to_owned(),
            address: reached.address,
            user: reached.user,
            port: reached.port,
            identity: reached.identity,
            ssh_arguments: reached.arguments,
            refusal: connection::refusal(name, &vars).map(Failure::from),
            groups,
            vars,
            sets: Arc::clone(&self.sets),
        })
    }
}
