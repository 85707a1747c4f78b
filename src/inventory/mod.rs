//! Ansible-style YAML in, typed vars out.

mod ansible;
mod check;
mod fields;
mod fleet;
mod folders;
mod host;
mod loading;
mod names;
mod output;
mod password;
mod schema;
mod sites;
mod trust;
mod vars;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use fleet::{Fleet, Peer};
pub use host::InventoryHost;
pub use loading::{Sources, load};

pub use trust::require_own;
pub use vars::{
    Api, Auto, Firewall, Interval, Logrotate, Network, OpenPort, Port, Protocol, Redis, Role, Site,
    Tls, TlsMode, Vars, Workers,
};
pub use yaml::place::nearest;

use crate::failure::Failure;
use crate::resource::Secret;
use ansible::world::World;
use ansible::{connection, groups, known_names, pattern};
use password::Passwords;
use schema::Schema;
use yaml::node::{self, Entry, Node, Value};
use yaml::place;

/// Hosts and their variables, as the inventory's files say.
pub struct Inventory {
    world: Arc<World>,
    /// Settings of `ansible.cfg` that stand below the variables of every host.
    settings: Vec<Entry>,
    folder: PathBuf,
    path: Option<PathBuf>,
    passwords: Passwords,
    warnings: Vec<Warning>,
    notes: Vec<String>,
}

/// Whether what the variables refer to is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    /// Passwords are resolved, and local files have to be there.
    Now,
    /// Only the form of a reference is checked.
    Never,
}

/// One `--set`.
struct Set {
    path: Vec<String>,
    node: Node,
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

    /// What was read besides the inventory, such as an `ansible.cfg`.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Every host that the inventory names, whatever its variables are called. What is wrong with
    /// a host is told when it is worked on.
    pub fn hosts(&self) -> Result<Vec<InventoryHost>, Failure> {
        (0..self.world.graph.hosts.len()).map(|at| self.listed(at)).collect()
    }

    /// The hosts that are meant: those of `--host`, else all of the inventory, and of these only
    /// those that the pattern `limit` matches.
    ///
    /// Names of variables are checked here, in the whole inventory.
    pub fn select(
        &self,
        hosts: &[String],
        limit: Option<&str>,
    ) -> Result<Vec<InventoryHost>, Failure> {
        self.check_names()?;
        let limited = limit.map(|limit| pattern::select(&self.world.graph, limit)).transpose()?;
        let within = |at: &usize| limited.as_ref().is_none_or(|limited| limited.contains(at));
        if hosts.is_empty() {
            let chosen = limited.clone().unwrap_or_else(|| self.world.graph.hosts_of(groups::ALL));
            if chosen.is_empty() {
                let failure = Failure::usage("the inventory names no host").hint(
                    "name one with `--host ADDRESS`, or write an inventory with `hwctl init`",
                );
                return Err(self
                    .warnings
                    .iter()
                    .map(ToString::to_string)
                    .fold(failure, Failure::why));
            }
            return chosen.into_iter().map(|at| Ok(self.listed(at)?.checked()?)).collect();
        }
        let mut chosen = Vec::new();
        for name in hosts {
            match self.find(name)? {
                Some(at) if within(&at) => chosen.push(self.listed(at)?.checked()?),
                None if limited.is_none() => chosen.push(self.unlisted(name)?.checked()?),
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

    /// The typed variables of a host, over hwctl's defaults, and what in them should not stay so.
    /// References to passwords are resolved here, so only for hosts that are worked on.
    pub fn vars(&self, host: &InventoryHost) -> Result<(Vars, Vec<Warning>), Failure> {
        self.read_vars(host, Lookup::Now)
    }

    /// The typed variables of a host for work that needs nothing from outside of the inventory.
    /// Every password is empty, and local files may be missing.
    pub fn vars_without_lookup(&self, host: &InventoryHost) -> Result<Vars, Failure> {
        self.read_vars(host, Lookup::Never).map(|(vars, _)| vars)
    }

    fn read_vars(
        &self,
        host: &InventoryHost,
        lookup: Lookup,
    ) -> Result<(Vars, Vec<Warning>), Failure> {
        if lookup == Lookup::Now {
            host.require_open_vaults()?;
        }
        let defaults = schema::defaults()?;
        let said = host.variables(schema::is_variable).map_err(|problems| {
            place::failure(problems).not_done(format!("`{}` is not contacted", host.name))
        })?;
        let value = Value::Map(node::lay(defaults.entries().unwrap_or_default(), &said));
        let root = Node { value, ..defaults };
        let mut schema = Schema::new(&self.passwords, &self.folder, lookup);
        let vars = schema.vars(&root);
        if let (Some(vars), Some(port)) = (&vars, host.port) {
            schema.require_not_ssh(&root, vars, port);
        }
        match vars {
            Some(vars) if schema.reader.problems.is_empty() => {
                let mut warnings = schema.warnings;
                warnings.extend(connection::warnings(host.written()));
                Ok((vars, warnings))
            }
            _ => Err(place::failure(schema.reader.problems)
                .not_done(format!("`{}` is not contacted", host.name))),
        }
    }

    /// Finds every variable whose name neither hwctl nor Ansible knows.
    fn check_names(&self) -> Result<(), Failure> {
        let set = |set: &Set| {
            let key = set.path.first().cloned().unwrap_or_default();
            Entry { key, place: set.node.place.clone(), node: set.node.clone() }
        };
        let sets: Vec<_> = self.world.sets.iter().map(set).collect();
        let all = self.world.graph.all_entries();
        let problems: Vec<_> = all
            .chain(&sets)
            .filter_map(|entry| {
                let ansibles = entry.key.starts_with("ansible_");
                let check = if ansibles { known_names::check_name } else { schema::check_name };
                check(entry).err()
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(place::failure(problems)) }
    }

    /// The entry that `--host` means: by name, else by address.
    fn find(&self, name: &str) -> Result<Option<usize>, Failure> {
        let graph = &self.world.graph;
        if let Some(at) = graph.find_host(name) {
            return Ok(Some(at));
        }
        for at in 0..graph.hosts.len() {
            if self.listed(at).is_ok_and(|host| host.address == name) {
                return Ok(Some(at));
            }
        }
        if graph.find_group(name).is_some() || name.contains(['*', '?', ',']) {
            return Err(Failure::usage(format!("`--host {}` is not one host", names::shown(name)))
                .hint(format!("use `--limit '{}'`", names::shown(name))));
        }
        Ok(None)
    }

    fn listed(&self, at: usize) -> Result<InventoryHost, Failure> {
        let name = &self.world.graph.hosts[at].name;
        Ok(InventoryHost::of(&self.world, Some(at), name, &self.settings)?)
    }

    fn unlisted(&self, name: &str) -> Result<InventoryHost, Failure> {
        names::usable(name).map_err(|message| Failure::usage(format!("--host: {message}")))?;
        if let Some((user, address)) = name.split_once('@') {
            return Err(Failure::usage(format!("`--host {name}` names a user"))
                .hint(format!("use `--host {address} --user {user}`")));
        }
        Ok(InventoryHost::of(&self.world, None, name, &self.settings)?)
    }

    /// The password of sudo that the variables of a host name, if they do. It is looked up here.
    pub fn become_password(&self, host: &InventoryHost) -> Result<Option<Secret>, Failure> {
        let Some(entry) = host.become_password_entry()? else { return Ok(None) };
        Ok(Some(self.passwords.read(&entry.node, &entry.key, Lookup::Now)?))
    }
}
