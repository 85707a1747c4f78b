//! Ansible-style YAML in, typed vars out.

mod ansible;
pub(crate) mod check;
mod excerpt;
mod host;
mod loading;
mod names;
mod output;
mod own;
pub(crate) mod patterns;
mod program;
mod question;
pub mod schema;
mod trust;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use excerpt::Excerpted;
pub use host::InventoryHost;
pub use loading::{Member, Programs, Sources, load};
pub use output::json_text;
pub use question::ask_secret;
pub use schema::Vars;
pub use trust::require_own;
pub use yaml::problem::nearest;

use crate::failure::Failure;
use crate::resource::Secret;
use ansible::world::World;
use ansible::{connection, groups, pattern};
use schema::{Declared, Passwords, Variable};
use yaml::node::{Entry, Node};
use yaml::problem;

/// Hosts and their variables, as the inventory's files say.
pub struct Inventory {
    world: Arc<World>,
    /// Settings of `ansible.cfg` that stand below the variables of every host.
    settings: Vec<Entry>,
    folder: PathBuf,
    path: Option<PathBuf>,
    passwords: Arc<Passwords>,
    warnings: Vec<Warning>,
    notes: Vec<String>,
}

/// One `--set`.
struct Set {
    path: Vec<String>,
    node: Node,
}

/// Something in the inventory that works and should not stay so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where: `inventory.yaml:7:12`, or `--set KEY=…`.
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
    /// how a host is reached is reported when it is worked on.
    pub fn hosts(&self) -> Result<Vec<InventoryHost>, Failure> {
        (0..self.world.graph.hosts.len()).map(|at| self.listed(at)).collect()
    }

    /// The hosts that are meant: those of `--host`, else all of the inventory, and of these only
    /// those that the pattern `limit` matches.
    pub fn select(
        &self,
        hosts: &[String],
        limit: Option<&str>,
    ) -> Result<Vec<InventoryHost>, Failure> {
        let limited = limit.map(|limit| pattern::select(&self.world.graph, limit)).transpose()?;
        let within = |at: &usize| limited.as_ref().is_none_or(|limited| limited.contains(at));
        if hosts.is_empty() {
            let chosen = limited.clone().unwrap_or_else(|| self.world.graph.hosts_of(groups::ALL));
            if chosen.is_empty() {
                let failure = Failure::usage("the inventory names no host").hint(
                    "name one with `--host ADDRESS`, or write an inventory with `hwctl init`",
                );
                let warnings = self.warnings.iter().map(ToString::to_string);
                return Err(warnings.fold(failure, Failure::why));
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
        let (vars, mut warnings) =
            found.map_err(|problems| not_done(problem::failure(problems)))?;
        warnings.extend(connection::warnings(host.written()));
        Ok((vars, warnings))
    }

    /// Whether a host of the inventory has this name.
    #[must_use]
    pub fn has_host(&self, name: &str) -> bool {
        self.world.graph.find_host(name).is_some()
    }

    /// Whether a group of the inventory has this name.
    #[must_use]
    pub fn has_group(&self, name: &str) -> bool {
        self.world.graph.find_group(name).is_some()
    }

    /// The value of one variable of a host.
    pub fn value<T: Variable>(&self, host: &InventoryHost) -> Result<T, Failure> {
        let vars = own::read_one(host, &Declared::of::<T>(), &self.passwords);
        vars.map(|vars| vars.get::<T>().clone())
            .map_err(|problems| problem::failure(problems).not_done("no host was contacted"))
    }

    /// The entry that `--host` means: by name, else by address.
    fn find(&self, name: &str) -> Result<Option<usize>, Failure> {
        if let Some(at) = self.world.graph.find_host(name) {
            return Ok(Some(at));
        }
        for at in 0..self.world.graph.hosts.len() {
            if self.listed(at).is_ok_and(|host| host.address == name) {
                return Ok(Some(at));
            }
        }
        if self.world.graph.find_group(name).is_some() || name.contains(['*', '?', ',']) {
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
        Ok(Some(Passwords::find(&self.passwords, &entry)?))
    }
}
