//! What a provisioned host is: the function from vars and facts to resources, in order.

mod api;
mod docker;
mod firewall;
mod folder;
mod host;
mod nginx;
mod packages;
mod quote;
mod redis;
mod sites;
mod template;
mod tls;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::failure::Failure;
use crate::inventory::Vars;
use crate::resource::{
    Blob, Content, Declared, Directory, Facts, File, HostSecret, Id, Owner, Part, Resource,
};

use crate::spec::PartSpec;

pub use api::API_LINK;
pub use nginx::{HTTP, HTTPS, endpoints, http, https};
use template::Passwords;
pub use template::{Templates, template_sources};
pub use tls::CERTIFICATE;

/// The parts of the stack by the names that `--only` and `--skip` take, in order.
pub const TAGS: [&str; 8] =
    ["packages", "tls", "sites", "nginx", "redis", "api", "host", "firewall"];

/// The key that signs the API's tokens.
pub const JWT_KEY: &str = "jwt-key";
/// The password between the API and Redis.
pub const REDIS_PASSWORD: &str = "redis-password";
/// What the host makes for itself: name and number of random bytes.
const HOST_SECRETS: [(&str, usize); 2] = [(JWT_KEY, 32), (REDIS_PASSWORD, 32)];

/// The context of a template that needs none.
#[derive(Serialize)]
struct Nothing {}

/// What the stack is made of besides vars and facts.
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
}

/// One file as it would be, with secrets replaced by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RenderedFile {
    /// Its path on the host.
    pub path: PathBuf,
    /// What it holds; `None` for bytes that are not shown.
    pub text: Option<String>,
}

/// The stack of one host.
pub fn stack(
    vars: &Vars,
    facts: &Facts,
    context: Context<'_>,
    templates: &Templates,
) -> Result<Stack> {
    sites::check(vars)?;
    let names = tls::names(vars, facts, context.address)?;
    let mut builder =
        Builder { vars, facts, context, templates, made: Stack::of(parts(vars)), tag: "" };
    builder.part("packages", |b| {
        packages::declare(b);
        Ok(())
    })?;
    let certificate = builder.part("tls", |b| tls::declare(b, &names))?;
    builder.part("sites", |b| sites::declare(b, &names))?;
    builder.part("nginx", |b| nginx::declare(b, &names, certificate))?;
    builder.part("redis", redis::declare)?;
    builder.part("api", api::declare)?;
    builder.part("host", host::declare)?;
    // Last: it alone could lock the operator out.
    builder.part("firewall", firewall::declare)?;
    builder.made.refuse_twins()?;
    Ok(builder.made)
}

/// What is said of the parts beyond their resources, in the order of [`TAGS`].
#[must_use]
pub fn parts(vars: &Vars) -> Vec<PartSpec> {
    let mut specs = TAGS.map(|name| PartSpec { name: name.to_owned(), ..PartSpec::default() });
    for spec in &mut specs {
        match spec.name.as_str() {
            "tls" => tls::describe(spec),
            "sites" => sites::describe(spec, vars),
            "nginx" => nginx::describe(spec),
            "redis" => redis::describe(spec, vars),
            "api" => api::describe(spec),
            "host" => host::describe(spec),
            "firewall" => firewall::describe(spec),
            _ => {}
        }
    }
    specs.into()
}

impl Stack {
    fn of(parts: Vec<PartSpec>) -> Self {
        Self { resources: Vec::new(), parts, uploads: Vec::new() }
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

    /// Leaves out what of other parts only serves those that are skipped.
    pub fn skip(&mut self, parts: &[String]) {
        for declared in &mut self.resources {
            if let Resource::Packages(packages) = &mut declared.resource {
                packages::spare(packages, parts);
            }
        }
    }

    /// Two resources of one name would undo each other in every run.
    fn refuse_twins(&self) -> Result<()> {
        let mut seen = HashSet::new();
        match self.resources.iter().map(|d| d.resource.id()).find(|id| !seen.insert(id.clone())) {
            None => Ok(()),
            Some(id) => Err(Failure::usage(format!("`{id}` would be made twice"))
                .hint("give each site its own `root`, apart from `app_dir` and hwctl's folders")
                .into()),
        }
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
                    Part::HostSecret(name) => format!("<secret {name}>"),
                    Part::Hash { user, .. } => format!("<hash of {user}'s password>"),
                })
                .collect(),
        ),
    }
}

/// The stack while it is put together.
struct Builder<'a> {
    vars: &'a Vars,
    facts: &'a Facts,
    context: Context<'a>,
    templates: &'a Templates,
    made: Stack,
    tag: &'static str,
}

impl Builder<'_> {
    fn part<T>(
        &mut self,
        tag: &'static str,
        declare: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.tag = tag;
        declare(self)
    }

    fn add(&mut self, resource: impl Into<Resource>) -> Id {
        let resource = resource.into();
        let id = resource.id();
        self.made.resources.push(Declared { tag: self.tag.to_owned(), resource });
        id
    }

    /// A directory of root's.
    fn directory(&mut self, path: impl Into<PathBuf>, mode: u32) -> Id {
        self.add(Directory { path: path.into(), mode, owner: Owner::root(), sockets: Vec::new() })
    }

    /// A file that all may read, from a template.
    fn file(
        &mut self,
        path: impl Into<PathBuf>,
        template: &str,
        context: &impl Serialize,
    ) -> Result<Id> {
        let text = self.templates.render_text(template, context)?;
        Ok(self.add(File::text(path, text)))
    }

    /// A file with secrets in it, from a template.
    fn secret_file(
        &mut self,
        path: impl Into<PathBuf>,
        (mode, owner): (u32, Owner),
        template: &str,
        values: &impl Serialize,
        passwords: &Passwords,
    ) -> Result<Id> {
        let content = Content::Parts(self.templates.render(template, values, passwords)?);
        Ok(self.add(File { path: path.into(), content, mode, owner }))
    }

    fn host_secret(&mut self, name: &str) {
        for (name, bytes) in HOST_SECRETS.into_iter().filter(|(known, _)| *known == name) {
            self.add(HostSecret { name: name.to_owned(), bytes, renew: false });
        }
    }
}

#[cfg(test)]
mod tests;
