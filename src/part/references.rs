//! Passwords and local files that the variables of a host refer to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::build::folder::{LocalFile, files_except};
use super::build::path_pattern::PathPattern;
use super::{HostView, Kinds, Roles, Site, Sites};
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

    /// The names of the variables that the parts of a host read, and the local files that these refer to, for a machine that
    /// provisions itself. Refuses secrets that such a machine cannot find out.
    pub fn portable(
        self,
        view: &HostView<'_>,
        folder: &Path,
    ) -> Result<(Vec<&'static str>, Vec<PortableFile>)> {
        let of_parts = self.parts_of(view).flat_map(|(kind, _)| kind.vars);
        let names: Vec<_> =
            of_parts.map(|declared| declared.key.name).chain([Roles::NAME]).collect();
        let mut files = Vec::new();
        for path in view.vars.portable(&names, folder)? {
            let of_path = |site: &&Site| site.source.as_ref() == Some(&path);
            let mut sites = view.vars.get::<Sites>().0.values().filter(of_path);
            // What two sites have in common, one of them may have.
            let ignored = match (sites.next(), sites.next()) {
                (Some(only), None) => only.ignore.as_slice(),
                _ => &[],
            };
            files.extend(portable_files(&folder.join(&path), &path, ignored)?);
        }
        Ok((names, files))
    }
}

/// A local file that a machine gets which provisions itself.
#[derive(Clone, Debug)]
pub struct PortableFile {
    /// Its path, from where relative paths of the inventory begin.
    pub path: PathBuf,
    /// Where it is.
    pub local: PathBuf,
    /// Whether the operator may run it.
    pub is_executable: bool,
}

/// A file, or all files of a folder that hwctl would bring to a host.
pub fn portable_files(
    local: &Path,
    path: &Path,
    ignored: &[PathPattern],
) -> Result<Vec<PortableFile>> {
    if !local.is_dir() {
        let found = fs::metadata(local).with_context(|| format!("read `{}`", local.display()))?;
        let is_executable = found.permissions().mode() & 0o100 != 0;
        let (path, local) = (path.to_owned(), local.to_owned());
        return Ok(vec![PortableFile { path, local, is_executable }]);
    }
    let file = |file: LocalFile| {
        let LocalFile { name, path: local, is_executable, .. } = file;
        PortableFile { path: path.join(name), local, is_executable }
    };
    Ok(files_except(local, ignored)?.into_iter().map(file).collect())
}
