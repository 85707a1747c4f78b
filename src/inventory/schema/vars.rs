//! The variables of one host, each under its type.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::origin::Passwords;
use super::password::Reference;
use super::{Declared, Field, Reader, Variable, default_of};
use crate::failure::Failure;
use crate::inventory::Warning;
use crate::inventory::yaml::node::Entry;
use crate::inventory::yaml::problem::{self, Problem};

/// The variables of one host. What they refer to outside of the inventory is not looked up yet.
#[derive(Clone, Default)]
pub struct Vars {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    /// The variables that are `null` in the inventory, of those where that takes something away.
    taken_away: HashSet<TypeId>,
    /// Passwords and local files, each with the name of the variable that needs it.
    references: Arc<Vec<(&'static str, Reference)>>,
}

impl Vars {
    /// The value of a variable.
    ///
    /// # Panics
    ///
    /// Where no kind of the table lists the variable, which is a fault of the program.
    #[must_use]
    pub fn get<T: Variable>(&self) -> &T {
        self.find().unwrap_or_else(|| panic!("no part kind lists the variable `{}`", T::NAME))
    }

    /// The value of a variable. None where it could not be read.
    #[must_use]
    pub fn find<T: Variable>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Whether the inventory takes away what the variable declares. It has its default all the same.
    #[must_use]
    pub fn is_taken_away<T: Variable>(&self) -> bool {
        self.taken_away.contains(&TypeId::of::<T>())
    }

    /// Notes that the inventory takes away what the variable declares.
    pub fn take_away<T: Variable>(&mut self) {
        self.taken_away.insert(TypeId::of::<T>());
    }

    /// Changes the value of a variable.
    pub fn set<T: Variable>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// Reads the variables that are declared, from what the inventory gives a host.
    pub(in crate::inventory) fn read<'a>(
        declared: impl Iterator<Item = &'a Declared> + Clone,
        given: &[Entry],
        passwords: &Arc<Passwords>,
        ssh_port: Option<u16>,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(passwords, ssh_port);
        let mut vars = Self::default();
        for Declared { key, read, over, take_away, .. } in declared.clone() {
            let default = default_of(key.default);
            let given = given.iter().find(|entry| entry.key == key.name);
            let entry = given.filter(|entry| !entry.node.is_null());
            if let (Some(take_away), Some(_), None) = (take_away, given, entry) {
                take_away(&mut vars);
            }
            let node = entry.map_or_else(|| default.clone(), |entry| over(&default, &entry.node));
            reader.begin(key, &node);
            read(&mut reader, &Field { node: &node, path: key.name.to_owned() }, &mut vars);
        }
        for Declared { key, check, .. } in declared {
            reader.resume(key);
            check(&mut reader, &vars);
        }
        vars.references = Arc::new(reader.references);
        if reader.problems.is_empty() { Ok(vars) } else { Err(reader.problems) }
    }

    /// Looks up the passwords and local files that these variables refer to. Returns what in the passwords should
    /// not stay so.
    pub fn look_up(&self, variables: &[&str], folder: &Path) -> Result<Vec<Warning>, Failure> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        for (variable, reference) in self.references.iter() {
            if variables.contains(variable) {
                match reference.look_up(folder) {
                    Ok(warning) => warnings.extend(warning),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        if problems.is_empty() { Ok(warnings) } else { Err(problem::failure(problems)) }
    }
}

impl Vars {
    /// The local files and folders that these variables refer to, for a machine that provisions itself. Refuses secrets
    /// that such a machine cannot find out.
    pub fn portable(&self, variables: &[&str], folder: &Path) -> Result<Vec<PathBuf>, Failure> {
        let meant = self.references.iter().filter(|(variable, _)| variables.contains(variable));
        let (found, problems): (Vec<_>, Vec<_>) =
            meant.map(|(_, reference)| reference.portable(folder)).partition(Result::is_ok);
        let problems: Vec<_> = problems.into_iter().filter_map(Result::err).collect();
        if !problems.is_empty() {
            return Err(problem::failure(problems));
        }
        Ok(found.into_iter().flatten().flatten().collect())
    }
}

/// The values are left out: they may hold passwords.
impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vars").finish_non_exhaustive()
    }
}
