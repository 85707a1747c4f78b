//! Passwords and local files that the variables of a host refer to.

use std::path::{Path, PathBuf};

use super::{HostView, Kinds, Roles};
use crate::failure::Failure;
use crate::inventory::Warning;
use crate::inventory::schema::Variable as _;
use crate::spec::Scope;

impl Kinds {
    /// Looks up the passwords and the local files that the parts of `scope` need. Returns what in the passwords should
    /// not stay so.
    pub fn look_up(
        self,
        view: &HostView<'_>,
        scope: &Scope,
        folder: &Path,
    ) -> Result<Vec<Warning>, Failure> {
        let meant = self.parts_of(view).filter(|(_, name)| scope.has(name));
        let variables: Vec<_> =
            meant.flat_map(|(kind, _)| kind.vars).map(|var| var.key.name).collect();
        view.vars.look_up(&variables, folder)
    }

    /// The names of the variables that the parts of a host read, and the local files and folders that these refer to, for a
    /// machine that provisions itself. Refuses secrets that such a machine cannot find out.
    pub fn portable(
        self,
        view: &HostView<'_>,
        folder: &Path,
    ) -> Result<(Vec<&'static str>, Vec<PathBuf>), Failure> {
        let of_parts = self.parts_of(view).flat_map(|(kind, _)| kind.vars);
        let names: Vec<_> =
            of_parts.map(|declared| declared.key.name).chain([Roles::NAME]).collect();
        let files = view.vars.portable(&names, folder)?;
        Ok((names, files))
    }
}
