//! What must hold of one site, and between sites.

use std::collections::BTreeMap;

use super::vars::{Site, Sites};
use crate::inventory::schema::{Fields, Reader, Vars};
use crate::part::api::{Api, AppDir};
use crate::part::own_folder::overlap;
use crate::part::own_host;

/// The path that belongs to the API.
const API_PATH: &str = "/flask";
/// What only a site with files has. Lists and maps may be there and empty.
const OF_FILES: [&str; 4] = ["root", "source", "cache", "users_file"];

pub(super) fn of_one(site: &Site, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    let path = fields.path();
    let mut refuse = |key: &str, message: String, hint: &str| {
        if let Some(field) = fields.optional(key) {
            reader.refuse::<()>(&field, message, hint);
        }
        false
    };
    if site.host.is_some() && fields.optional("path").is_some() {
        let message = format!("`{path}` takes one of `path` and `host`");
        return refuse("host", message, "under a name of its own a site has all paths");
    }
    if site.redirect.is_none() {
        if site.source.is_none() && !site.ignore.is_empty() {
            return refuse("ignore", format!("`{path}.ignore` needs `source`"), "");
        }
        return true;
    }
    let given = OF_FILES.into_iter().find(|key| fields.optional(key).is_some());
    let filled = [
        (!site.ignore.is_empty(), "ignore"),
        (site.spa, "spa"),
        (!site.headers.is_empty(), "headers"),
        (!site.users.is_empty(), "users"),
        (!site.allow.is_empty(), "allow"),
    ];
    let filled = filled.into_iter().find_map(|(is_filled, key)| is_filled.then_some(key));
    let Some(key) = given.or(filled) else { return true };
    let message = format!("`{path}` takes one of `redirect` and `{key}`");
    refuse(key, message, "a site that redirects has no files and is open to everybody")
}

pub(super) fn of_all(sites: &Sites, vars: &Vars, reader: &mut Reader<'_>) {
    main_is_at_the_top(sites, reader);
    paths_are_apart(sites, vars, reader);
    folders_are_apart(sites, vars, reader);
    let hosts = sites.0.iter().filter_map(|(name, site)| {
        site.host.clone().map(|host| (format!("sites.{name}.host"), host))
    });
    own_host::require_apart(hosts, vars, reader);
}

fn main_is_at_the_top(Sites(sites): &Sites, reader: &mut Reader<'_>) {
    let Some(main) = sites.get("main") else { return };
    let hint = "`main` is the landing page";
    if let Some(host) = &main.host {
        let message = format!("`sites.main.path` is `/`, so `host` cannot be `{host}`");
        reader.refuse_path(["sites.main.host"; 2], message, hint);
    } else if main.path != "/" {
        let message = format!("`sites.main.path` is `/`, not `{}`", main.path);
        reader.refuse_path(["sites.main.path"; 2], message, hint);
    }
}

fn paths_are_apart(Sites(sites): &Sites, vars: &Vars, reader: &mut Reader<'_>) {
    let path_of = |name: &str| format!("sites.{name}.path");
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, site) in sites.iter().filter(|(_, site)| site.host.is_none()) {
        let path = path_of(name);
        let is_of_api = site.path == API_PATH || site.path.starts_with("/flask/");
        if is_of_api && !vars.is_taken_away::<Api>() {
            let message = format!("`{path}` is `{}`, which is the API's", site.path);
            reader.refuse_path([&path, &path], message, "");
        }
        if let Some(other) = taken.insert(&site.path, name) {
            let (path, other) = written_first(reader, path, path_of(other));
            let message = format!("`{path}` is `{}`, as `{other}` is", site.path);
            reader.refuse_path([&path, &other], message, "");
        }
    }
}

/// What is in one folder is served under one path: a page of a closed site would otherwise be reached by way of
/// an open one.
fn folders_are_apart(Sites(sites): &Sites, vars: &Vars, reader: &mut Reader<'_>) {
    let app_dir = vars.find::<AppDir>().map(|AppDir(folder)| ("app_dir".to_owned(), folder));
    let with_files = sites.iter().filter(|(_, site)| site.redirect.is_none());
    let roots = with_files.map(|(name, site)| (format!("sites.{name}.root"), &site.root));
    let all: Vec<_> = app_dir.into_iter().chain(roots).collect();
    for (at, (path, folder)) in all.iter().enumerate() {
        let Some((other, _)) = all[..at].iter().find(|(_, other)| overlap(folder, other)) else {
            continue;
        };
        let (path, other) = written_first(reader, path.clone(), other.clone());
        let message = format!("`{path}` and `{other}` overlap: one folder contains the other");
        reader.refuse_path([&path, &other], message, "give each a folder of its own");
    }
}

/// Two paths, of which the first one is written rather than a default, if one of them is.
fn written_first(reader: &Reader<'_>, path: String, other: String) -> (String, String) {
    if reader.is_default(&path) { (other, path) } else { (path, other) }
}
