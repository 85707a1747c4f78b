//! How the parts of a host are put together: what they offer each other, and the resources that each of
//! them declares.

mod claim;
pub(crate) mod conflicts;
mod contributions;
mod environment;
pub(crate) mod folder;
mod image_archive;
mod local_folder;
mod own_template;
pub(crate) mod path_pattern;
pub(crate) mod quote;
mod template;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::engine::protocol::BINARY_LINK;
use crate::failure::Failure;
use crate::inventory::schema::{Env, Password, Users};
use crate::inventory::{self, Vars};
use crate::part::roles::{Fleet, Role, Roles};
use crate::resource::{
    Blob, Content, Declared, Directory, Facts, File, HostSecret, Id, Image, Link, Owner, Part,
    Resource, Secret, Unit,
};
use crate::spec::{PartSpec, Scope};

use folder::LocalFile;

pub use claim::Claim;
pub use contributions::{
    Card, CertificateAt, Contributions, LetIn, Maintenance, Metrics, Names, Offer, OpenTo, Package,
    Refusals, Route, RouteTarget, Slot, StaticFiles, UnitInput, Upstream,
};
pub(crate) use image_archive::image_in;
pub use local_folder::LocalFolder;
pub(crate) use template::{Given, Passwords};
pub use template::{Templates, template_sources};

/// The part that installs packages.
pub(crate) const PACKAGES: &str = "packages";

/// The context of a template that needs none.
#[derive(Serialize)]
pub(crate) struct Nothing {}

/// What a host is made of besides vars and facts.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The host's address or name, as the operator reaches it.
    pub address: &'a str,
    /// The inventory's folder: what relative paths in the vars are relative to.
    pub folder: &'a Path,
    /// hwctl's own binary on the host.
    pub binary: &'a Path,
    /// The API's binary for the host's architecture.
    pub api: &'a Blob,
    /// The parts whose passwords are looked up. Those of others are empty, so what has them must not be used.
    pub passwords: &'a Scope,
    /// Where the digests of local files are kept from run to run, if they are.
    pub memory: Option<&'a Path>,
}

/// A local file that the host may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What the host asks by.
    pub blob: Blob,
    /// Where its bytes are.
    pub path: PathBuf,
}

/// What a host should have, in the order in which it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// The resources.
    pub resources: Vec<Declared>,
    /// What is said of its parts beyond their resources.
    pub parts: Vec<PartSpec>,
    /// The local files behind their blobs, save for the API's binary.
    pub uploads: Vec<Upload>,
    /// Folders of local files whose resources are not among the others yet.
    pub folders: Vec<LocalFolder>,
    /// The packages, each with the part that needs it.
    packages: Vec<(String, String)>,
}

/// One file as it would be, with secrets replaced by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RenderedFile {
    /// Its path on the host.
    pub path: PathBuf,
    /// What it holds; `None` for bytes that are not shown.
    pub text: Option<String>,
}

/// What a kind of part sees of the host that it is on.
#[derive(Clone, Copy, Debug)]
pub struct HostView<'a> {
    /// Its variables.
    pub vars: &'a Vars,
    /// What it is. Unknown before it is contacted.
    pub facts: &'a Facts,
    /// It and its peers: all hosts of the inventory.
    pub fleet: &'a Fleet,
    /// Its entry in the inventory, where it has one.
    pub entry: Option<&'a inventory::InventoryHost>,
    /// The inventory's folder: what relative paths in the vars are relative to.
    pub folder: &'a Path,
}

impl HostView<'_> {
    /// What the host is for.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.vars.get::<Roles>().0
    }

    /// Where the variable at a path of keys is written. None where only the defaults have it.
    #[must_use]
    pub fn place(&self, path: &[&str]) -> Option<String> {
        self.entry?.place(path)
    }
}

impl Stack {
    pub(crate) fn of(parts: Vec<PartSpec>, offered: &Contributions) -> Self {
        let packages =
            offered.packages.iter().map(|offer| (offer.part.clone(), offer.value.name.clone()));
        let packages = packages.collect();
        let (resources, uploads, folders) = (Vec::new(), Vec::new(), Vec::new());
        Self { resources, parts, uploads, folders, packages }
    }

    /// Installs the packages of the parts in the scope, and no others: one that only a skipped part needs may not go
    /// together with what does that work on the host.
    pub fn narrow(&mut self, scope: &Scope) {
        let needs_all =
            matches!(scope, Scope::Only(parts) if parts.iter().any(|part| part == PACKAGES));
        let is_needed =
            |name: &str| self.packages.iter().any(|(part, other)| other == name && scope.has(part));
        let offered = self.packages.iter();
        let spared = offered.filter(|(_, name)| !needs_all && !is_needed(name));
        let spared: Vec<String> = spared.map(|(_, name)| name.clone()).collect();
        for declared in &mut self.resources {
            if let Resource::Packages(packages) = &mut declared.resource {
                packages.spared.clone_from(&spared);
                for (part, _) in self.packages.iter().filter(|(part, _)| scope.has(part)) {
                    if matches!(scope, Scope::Only(_)) {
                        declared.share_with(part);
                    }
                }
            }
        }
    }

    /// The files of the stack as they would be, sorted by path.
    #[must_use]
    pub fn render(&self) -> Vec<RenderedFile> {
        let mut files = Vec::new();
        for declared in &self.resources {
            if let Resource::File(File { path, content, .. }) = &declared.resource {
                files.push(RenderedFile { path: path.clone(), text: shown(content) });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// Hands the units what they read besides the resources of their own parts. A unit that no part declares is
    /// only watched: it is reloaded or restarted, and runs.
    pub(crate) fn attach(&mut self, inputs: &[Offer<UnitInput>]) {
        for Offer { part, value: UnitInput { unit, input, on_change }, .. } in inputs {
            let is_meant = |declared: &&mut Declared| matches!(&declared.resource, Resource::Unit(found) if found.name == *unit);
            let found = self.resources.iter_mut().find(is_meant);
            if let Some(Declared { resource: Resource::Unit(unit), .. }) = found {
                unit.inputs.push(input.clone());
                continue;
            }
            let watched = Unit::new(unit.clone(), vec![input.clone()], *on_change);
            let last = self.resources.iter().rposition(|declared| declared.tag == *part);
            let at = last.map_or(self.resources.len(), |last| last + 1);
            self.resources.insert(at, Declared::new(part, watched));
        }
    }

    /// Two resources of one name would undo each other in every run.
    pub(crate) fn refuse_twins(&self) -> Result<()> {
        let mut seen = HashMap::new();
        for Declared { tag, resource, .. } in &self.resources {
            let has = |folder: &&LocalFolder| resource.path().is_some_and(|path| folder.has(path));
            let in_folder = self.folders.iter().find(has).map(LocalFolder::tag);
            let other = seen.insert(resource.id(), tag).map(String::as_str).or(in_folder);
            let Some(other) = other else { continue };
            let failure = Failure::usage(format!("`{}` would be made twice", resource.id()));
            return Err(failure
                .why(format!("the parts `{other}` and `{tag}` both declare it"))
                .hint("give each its own path; a path that hwctl makes itself cannot be in `files`")
                .into());
        }
        Ok(())
    }
}

fn shown(content: &Content) -> Option<String> {
    match content {
        Content::Blob(_) => None,
        Content::Block { text, .. } => Some(text.clone()),
        Content::Json(json) => Some(json.settings.clone()),
        Content::Parts(parts) => Some(
            parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::HostSecret(name) | Part::Secret { name, .. } => {
                        format!("<secret {name}>")
                    }
                    Part::Hash { user, .. } => format!("<hash of {user}'s password>"),
                })
                .collect(),
        ),
    }
}

/// What a host should have, while it is put together.
pub struct Builder<'a> {
    /// The host's variables.
    pub vars: &'a Vars,
    /// What the host is.
    pub facts: &'a Facts,
    /// The host and its peers.
    pub fleet: &'a Fleet,
    /// The host's entry in the inventory, where it has one.
    pub entry: Option<&'a inventory::InventoryHost>,
    /// What the host is made of besides.
    pub context: Context<'a>,
    pub(crate) templates: &'a Templates,
    pub(crate) made: Stack,
    /// What is made after the resources of all parts.
    pub(crate) last: Vec<Declared>,
    /// The part that is being declared.
    pub(crate) part: String,
}

impl<'a> Builder<'a> {
    /// The host as its kinds look at it. Local files are not looked for through it.
    pub(crate) fn view(&self) -> HostView<'a> {
        let (vars, facts, fleet, entry) = (self.vars, self.facts, self.fleet, self.entry);
        HostView { vars, facts, fleet, entry, folder: Path::new("/") }
    }
}

impl Builder<'_> {
    /// The name of the part that is being declared.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// A resource that other parts may want as well: an equal one is shared, and another one is an error.
    pub fn ensure(&mut self, resource: impl Into<Resource>) -> Result<Id> {
        let resource = resource.into();
        let id = resource.id();
        let mut declared = self.made.resources.iter_mut();
        let Some(first) = declared.find(|declared| declared.resource.id() == id) else {
            return Ok(self.add(resource));
        };
        if first.resource != resource {
            return Err(Failure::usage(format!("`{id}` would be made in two ways"))
                .why(format!(
                    "the parts `{}` and `{}` declare it differently",
                    first.tag, self.part
                ))
                .not_done("nothing was changed")
                .into());
        }
        first.share_with(&self.part);
        Ok(id)
    }

    /// A resource of this part alone.
    pub fn add(&mut self, resource: impl Into<Resource>) -> Id {
        let resource = resource.into();
        let id = resource.id();
        self.made.resources.push(Declared::new(&self.part, resource));
        id
    }

    /// A resource of this part alone that is made after those of all parts.
    pub(crate) fn add_last(&mut self, resource: impl Into<Resource>) {
        self.last.push(Declared::new(&self.part, resource));
    }

    /// A directory of root's.
    pub fn directory(&mut self, path: impl Into<PathBuf>, mode: u32) -> Id {
        self.add(Directory::new(path, mode, Owner::root()))
    }

    /// Local files, below a folder of the host that is there. Each has the mode that `mode` gives it.
    pub(crate) fn upload_files(
        &mut self,
        files: Vec<LocalFile>,
        root: &Path,
        mode: impl Fn(&LocalFile) -> u32,
    ) -> Result<Vec<Id>> {
        let (mut ids, mut made) = (Vec::new(), BTreeSet::new());
        for file in files {
            let below: Vec<&Path> = Path::new(&file.name).ancestors().skip(1).collect();
            for parent in below.iter().rev().filter(|parent| !parent.as_os_str().is_empty()) {
                if made.insert(parent.to_path_buf()) {
                    self.directory(root.join(parent), 0o755);
                }
            }
            let (path, mode) = (root.join(&file.name), mode(&file));
            let content = self.local_content(file.path)?;
            ids.push(self.add(File::new(path, content, mode, Owner::root())));
        }
        Ok(ids)
    }

    /// Local files, those of `source`, for a folder of the host that is there. All may read them.
    pub(crate) fn local_folder(
        &mut self,
        files: Vec<LocalFile>,
        source: &Path,
        root: &Path,
    ) -> Result<()> {
        let memory = self.context.memory;
        let folder = LocalFolder::of(&self.part, files, (source, root), memory)?;
        self.made.folders.push(folder);
        Ok(())
    }

    /// A file that all may read, from a template.
    pub fn file(
        &mut self,
        path: impl Into<PathBuf>,
        template: &str,
        context: &impl Serialize,
    ) -> Result<Id> {
        let text = self.templates.render_text(template, context)?;
        Ok(self.add(File::text(path, text)))
    }

    /// A file with secrets in it, from a template.
    pub(crate) fn secret_file(
        &mut self,
        path: impl Into<PathBuf>,
        (mode, owner): (u32, Owner),
        template: &str,
        values: &impl Serialize,
        users: Option<&Users>,
    ) -> Result<Id> {
        self.given_secret_file(path, (mode, owner), template, values, (users, Given::new()))
    }

    /// The same with secrets of the operator's, by the names that the template asks for them.
    pub(crate) fn given_secret_file(
        &mut self,
        path: impl Into<PathBuf>,
        (mode, owner): (u32, Owner),
        template: &str,
        values: &impl Serialize,
        (users, given): (Option<&Users>, Given),
    ) -> Result<Id> {
        let passwords = match users {
            None => Passwords::new(),
            Some(users) if self.context.passwords.has(&self.part) => users.reveal()?,
            Some(users) => {
                let empty = |name: &str| (name.to_owned(), Secret::new(String::new()));
                users.names().map(empty).collect()
            }
        };
        let content =
            Content::Parts(self.templates.render_with(template, values, (&passwords, &given))?);
        Ok(self.add(File::new(path, content, mode, owner)))
    }

    /// An image that other parts may want as well. Whichever of them says where it comes from says it for all.
    pub(crate) fn image(&mut self, image: Image) -> Result<Id> {
        let known =
            self.made.resources.iter_mut().find_map(|declared| match &mut declared.resource {
                Resource::Image(known) if known.reference == image.reference => Some(known),
                _ => None,
            });
        let Some(known) = known else { return Ok(self.add(image)) };
        known.archive = known.archive.take().or(image.archive.clone());
        known.login = known.login.take().or(image.login.clone());
        known.series = known.series.take().or(image.series);
        known.archived = known.archived.take().or(image.archived);
        let image = known.clone();
        self.ensure(image)
    }

    /// A file with an environment in it, in the form of systemd's `EnvironmentFile=`, which `hwctl launch` reads,
    /// too. The host makes the secrets that it shall make for itself.
    pub fn environment_file(
        &mut self,
        path: impl Into<PathBuf>,
        (mode, owner): (u32, Owner),
        env: &Env,
    ) -> Result<Id> {
        let are_known = self.prepare_secrets(env)?;
        let content = Content::Parts(environment::parts(env, are_known)?);
        Ok(self.add(File::new(path, content, mode, owner)))
    }

    /// Has the host make the secrets of an environment that it shall make. Returns whether the operator's are looked up.
    fn prepare_secrets(&mut self, env: &Env) -> Result<bool> {
        for name in env.made_secrets() {
            self.host_secret(name, 32)?;
        }
        Ok(self.context.passwords.has(&self.part))
    }

    /// A secret of the operator, which is empty where this part's are not looked up.
    pub(crate) fn reveal(&self, password: &Password) -> Result<Secret, Failure> {
        match self.context.passwords.has(&self.part) {
            true => password.reveal(),
            false => Ok(Secret::new(String::new())),
        }
    }

    /// The content of a local file, which is uploaded unless it is short.
    pub(crate) fn local_content(&mut self, path: PathBuf) -> Result<Content> {
        let content = folder::content(&path)?;
        if let Content::Blob(blob) = &content {
            self.made.uploads.push(Upload { blob: blob.clone(), path });
        }
        Ok(content)
    }

    /// The path of hwctl for the host's own commands and timers. A link leads from there to the version that
    /// provisioned the host last, so another version is one change and restarts nothing.
    pub(crate) fn own_hwctl(&mut self) -> Result<PathBuf> {
        let path = PathBuf::from(BINARY_LINK);
        self.ensure(Link { path: path.clone(), target: self.context.binary.to_owned() })?;
        Ok(path)
    }

    /// A secret that the host makes for itself, of so many random bytes. Other parts may want it as well.
    pub fn host_secret(&mut self, name: &str, bytes: usize) -> Result<Id> {
        self.ensure(HostSecret { name: name.to_owned(), bytes, renew: false })
    }

    /// A directory of root's that other parts may want as well.
    pub fn shared_directory(&mut self, path: &str, mode: u32) -> Result<Id> {
        self.ensure(Directory::new(path, mode, Owner::root()))
    }
}
