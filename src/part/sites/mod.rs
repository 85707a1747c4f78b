//! The static sites: their folders, pages, users and addresses.

mod vars;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::build::{Builder, Contributions, HostView, Package, Route, RouteTarget};
use super::nginx::{guarded_question, log_files};
use super::{Api, PartKind, Parts, Role};
use crate::inventory::schema;
use crate::resource::Owner;
use crate::spec::PartSpec;

pub(super) use vars::USERS;
pub use vars::{Site, Sites};

pub(super) const KIND: PartKind = PartKind {
    name: "sites",
    roles: &[Role::Web],
    parts: Parts::One,
    vars: vars::VARIABLES,
    takes: &[],
    driver: None,
    contribute: |view, offered| {
        for (name, site) in &view.vars.get::<Sites>().0 {
            offered.add_route(route(name, site), view.place(&["sites", name, "path"]));
        }
        // It brings `/var/www`.
        offered.add_package(Package::new("nginx"));
    },
    describe: |view, _, spec| describe(view, spec),
    declare,
};

fn route(name: &str, site: &Site) -> Route {
    let target = RouteTarget::Files {
        root: site.root.clone(),
        allow: site.allow.clone(),
        htpasswd: (!site.users.is_empty()).then(|| users_file(name, site)),
    };
    Route::new(name, &site.path, target)
}

/// What hwctl's own pages are rendered with.
#[derive(Serialize)]
struct Page<'a> {
    /// What people know the host by.
    name: &'a str,
    site: &'a str,
    path: &'a str,
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    title: &'a str,
    path: &'a str,
}

/// The file with the users of a site.
fn users_file(name: &str, site: &Site) -> PathBuf {
    let file = site.users_file.clone().unwrap_or_else(|| format!(".htpasswd-{name}"));
    Path::new("/etc/nginx").join(file)
}

fn describe(view: &HostView<'_>, spec: &mut PartSpec) {
    let Sites(sites) = view.vars.get();
    let question = |site: &Site| {
        guarded_question(&site.url_path(), &[200], (&site.allow, &site.users), view.facts)
    };
    spec.questions = sites.values().map(question).collect();
    spec.logs = sites.keys().flat_map(|name| log_files(name, &format!("{name}_"))).collect();
}

fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let Sites(sites) = builder.vars.get();
    for (name, site) in sites {
        builder.directory(&site.root, 0o755);
        match &site.source {
            Some(source) => {
                let source = builder.context.folder.join(source);
                let uploaded = builder.upload_folder(&source, &site.root, |_| 0o644);
                uploaded.with_context(|| format!("the pages of site `{name}`"))?;
            }
            None => pages(builder, name, site, offered)?,
        }
        users(builder, users_file(name, site), &site.users)?;
    }
    Ok(())
}

/// hwctl's own pages for the site, for the landing page, or for any site.
fn pages(
    builder: &mut Builder<'_>,
    name: &str,
    site: &Site,
    offered: &Contributions,
) -> Result<()> {
    let Sites(sites) = builder.vars.get();
    let mut frames: Vec<Frame<'_>> = sites
        .iter()
        .filter(|(_, site)| site.path != "/")
        .map(|(name, site)| Frame { title: name, path: &site.path })
        .collect();
    if !builder.vars.is_taken_away::<Api>() {
        frames.push(Frame { title: "API", path: "/flask/swagger/" });
    }
    let host = offered.names.certificate.first().map_or("homework", String::as_str);
    let page = Page { name: host, site: name, path: &site.path, frames };

    let own = format!("www/{name}/");
    let folder = match &site.path {
        _ if builder.templates.names_below(&own).iter().any(|n| n.ends_with("index.html")) => own,
        path if path == "/" => "www/main/".to_owned(),
        _ => "www/site/".to_owned(),
    };
    for template in builder.templates.names_below(&folder) {
        let path = site.root.join(template.strip_prefix(&folder).unwrap_or(&template));
        builder.file(path, &template, &page)?;
    }
    builder.file(site.root.join("style.css"), "www/style.css", &page)?;
    Ok(())
}

/// Declares the file with the users who may log in, if any.
pub(super) fn users(builder: &mut Builder<'_>, path: PathBuf, all: &schema::Users) -> Result<()> {
    #[derive(Serialize)]
    struct Users<'a> {
        users: Vec<&'a str>,
    }
    if all.is_empty() {
        return Ok(());
    }
    builder.secret_file(
        path,
        (0o640, Owner::new("root", "www-data")),
        "nginx/htpasswd",
        &Users { users: all.names().collect() },
        Some(all),
    )?;
    Ok(())
}
