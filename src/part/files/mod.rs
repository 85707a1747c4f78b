//! The operator's own folders, files and links, and the units that read them.

mod vars;

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::build::{Builder, Contributions, HostView, UnitInput};
use super::{PartKind, Parts};
use crate::failure::Failure;
use crate::inventory::schema::Env;
use crate::resource::{Content, Directory, File, Id, Link, OnChange, Part, Secret};

pub use vars::{Files, Folders, Links};
use vars::{Folder, OwnFile, READ_BY_OTHERS};
pub(super) use vars::{TEMPLATE, TEXT, has_one_origin};

pub(super) const KIND: PartKind = PartKind {
    name: "files",
    roles: &[],
    parts: Parts::If(|view| {
        let (Folders(folders), Files(files)) = (view.vars.get(), view.vars.get());
        let Links(links) = view.vars.get();
        !(folders.is_empty() && files.is_empty() && links.is_empty())
    }),
    vars: vars::VARIABLES,
    takes: &[],
    driver: None,
    contribute,
    describe: |_, _, _| {},
    declare: |_, builder| declare(builder),
};

fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    let Files(files) = view.vars.get();
    for (path, file) in files {
        let sshd =
            if is_read_by_sshd(path, file) { vec!["ssh.service".to_owned()] } else { vec![] };
        for (units, key, on_change) in [
            (&sshd, "reloads", OnChange::Reload),
            (&file.reloads, "reloads", OnChange::Reload),
            (&file.restarts, "restarts", OnChange::Restart),
        ] {
            for unit in units {
                let input =
                    UnitInput { unit: unit.clone(), input: Id::new("file", path), on_change };
                offered.add_unit_input(input, view.place(&["files", path, key]));
            }
        }
    }
}

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let (Folders(folders), Links(links)) = (builder.vars.get(), builder.vars.get());
    // What is reached through a declared link comes after the link and the folder that it leads to.
    let is_behind_link = |path: &String| {
        Path::new(path)
            .ancestors()
            .skip(1)
            .any(|above| links.keys().any(|link| Path::new(link) == above))
    };
    for behind in [false, true] {
        for (path, Folder { mode, owner }) in
            folders.iter().filter(|(p, _)| is_behind_link(p) == behind)
        {
            builder.ensure(Directory::new(path, *mode, owner.clone()))?;
        }
        for (path, target) in links.iter().filter(|(path, _)| is_behind_link(path) == behind) {
            builder.add(Link { path: path.into(), target: target.clone() });
        }
    }
    let Files(files) = builder.vars.get();
    for (path, file) in files {
        let OwnFile { content, source, template, secrets, mode, owner, validate, .. } = file;
        let origin = Origin { content, source, template, secrets: Some(secrets) };
        let content = content_of(builder, &["files", path], &origin)?;
        let content = if mode & READ_BY_OTHERS == 0 { hidden(content, path) } else { content };
        builder.add(File {
            path: path.into(),
            content,
            mode: *mode,
            owner: owner.clone(),
            validate: validate.clone().unwrap_or_else(|| validation(path)),
        });
    }
    Ok(())
}

/// Whether sshd reads the file, and nothing is said of when. A file that would lock the operator out must show it in this
/// run, and not at the next boot.
fn is_read_by_sshd(path: &str, file: &OwnFile) -> bool {
    let is_sshds = path.starts_with("/etc/ssh/sshd_config");
    is_sshds && file.reloads.is_empty() && file.restarts.is_empty()
}

/// The command that checks a file which could lock everybody out.
fn validation(path: &str) -> Vec<String> {
    let words: &[&str] = match path {
        _ if path.starts_with("/etc/sudoers") => &["visudo", "-cf", "%s"],
        _ if path.starts_with("/etc/ssh/sshd_config") => &["sshd", "-t", "-f", "%s"],
        _ => &[],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A text that no plan shows.
fn hidden(content: Content, path: &str) -> Content {
    let Content::Parts(parts) = content else { return content };
    let hide = |part| match part {
        Part::Text(text) => Part::Secret { name: path.to_owned(), value: Secret::new(text) },
        other => other,
    };
    Content::Parts(parts.into_iter().map(hide).collect())
}

/// Where the text of a file comes from.
pub(super) struct Origin<'a> {
    pub(super) content: &'a Option<String>,
    pub(super) source: &'a Option<PathBuf>,
    pub(super) template: &'a Option<String>,
    /// What the template gets by `secret`.
    pub(super) secrets: Option<&'a Env>,
}

impl Origin<'_> {
    /// Whether there is a text.
    pub(super) fn is_given(&self) -> bool {
        self.content.is_some() || self.source.is_some() || self.template.is_some()
    }
}

/// The content that the map at a path of the inventory asks for.
pub(super) fn content_of(
    builder: &mut Builder<'_>,
    path: &[&str],
    origin: &Origin<'_>,
) -> Result<Content> {
    if let Some(text) = origin.content {
        return Ok(Content::text(text));
    }
    if let Some(template) = origin.template {
        let at = [path, &["template"]].concat();
        let place = builder.entry.and_then(|entry| entry.place(&at));
        let none = Env::default();
        return builder.own_template(template, origin.secrets.unwrap_or(&none)).map_err(|error| {
            let failure = Failure::from(error);
            match place {
                Some(place) => {
                    failure.why(format!("`{}` at {place} names it", at.join("."))).into()
                }
                None => failure.into(),
            }
        });
    }
    let source = builder.context.folder.join(origin.source.as_deref().unwrap_or(Path::new("")));
    builder.local_content(source)
}
