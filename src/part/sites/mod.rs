//! The static sites: their folders, pages, users and addresses.

mod checks;
mod landing;
mod scalars;
mod vars;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::build::{
    Builder, Card, Contributions, HostView, Package, Route, RouteTarget, StaticFiles, folder,
};
use super::nginx::{guarded_question, log_files, question as one_answer};
use super::{PartKind, Parts, Role};
use crate::inventory::schema;
use crate::resource::{Facts, Owner};
use crate::spec::{PartSpec, Question};

use landing::Page;
pub(super) use scalars::USERS;
pub use vars::{Site, Sites};

/// The site at the top of the host, which shows all others.
const MAIN: &str = "main";

pub(super) const KIND: PartKind = PartKind {
    name: "sites",
    roles: &[Role::Web],
    parts: Parts::One,
    vars: vars::VARIABLES,
    takes: &[],
    driver: None,
    contribute: |view, offered| {
        for (name, site) in &view.vars.get::<Sites>().0 {
            let key = if site.host.is_some() { "host" } else { "path" };
            offered.add_route(route(name, site), view.place(&["sites", name, key]));
        }
        // It brings `/var/www`.
        offered.add_package(Package::new("nginx"));
    },
    describe: |view, _, spec| describe(view, spec),
    declare,
};

fn route(name: &str, site: &Site) -> Route {
    let target = match &site.redirect {
        Some(url) => RouteTarget::Redirect(url.clone()),
        None => RouteTarget::Files(StaticFiles {
            root: site.root.clone(),
            allow: site.allow.clone(),
            htpasswd: (!site.users.is_empty()).then(|| users_file(name, site)),
            falls_back: site.spa,
            headers: site.headers.clone().into_iter().collect(),
            cache: site.cache.clone(),
        }),
    };
    let card = Card::new(site.title.as_deref().unwrap_or(name), site.description.clone());
    let is_framed = site.redirect.is_none();
    let card = (name != MAIN).then_some(Card { is_framed, ..card });
    Route { host: site.host.clone(), card, ..Route::new(name, &site.path, target) }
}

/// The file with the users of a site.
fn users_file(name: &str, site: &Site) -> PathBuf {
    let file = site.users_file.clone().unwrap_or_else(|| format!(".htpasswd-{name}"));
    Path::new("/etc/nginx").join(file)
}

fn describe(view: &HostView<'_>, spec: &mut PartSpec) {
    let Sites(sites) = view.vars.get();
    spec.questions = sites.values().map(|site| question(site, view.facts)).collect();
    spec.logs = sites.keys().flat_map(|name| log_files(name, &format!("{name}_"))).collect();
}

fn question(site: &Site, facts: &Facts) -> Question {
    let question = match site.redirect {
        Some(_) => one_answer(&site.url_path(), 301, None),
        None => guarded_question(&site.url_path(), &[200], (&site.allow, &site.users), facts),
    };
    Question { host: site.host.clone(), ..question }
}

fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let Sites(sites) = builder.vars.get();
    for (name, site) in sites.iter().filter(|(_, site)| site.redirect.is_none()) {
        builder.directory(&site.root, 0o755);
        match &site.source {
            Some(source) => {
                let source = builder.context.folder.join(source);
                let uploaded = folder::files_except(&source, &site.ignore)
                    .and_then(|files| builder.local_folder(files, &source, &site.root));
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
    let page = Page::of(name, site, offered);
    let own = format!("www/{name}/");
    let has_own = builder.templates.names_below(&own).iter().any(|n| n.ends_with("index.html"));
    let folder = if has_own { own } else { "www/site/".to_owned() };
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
