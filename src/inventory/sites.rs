//! The static sites and who may see them: the part of the vars where most can be wrong.

use std::collections::BTreeMap;
use std::path::Path;

use super::fields::{Field, Fields};
use super::folders::overlap;
use super::names::shown;
use super::schema::Schema;
use super::schema::network;
use super::vars::Site;
use super::yaml::node::{Entry, Node, get};
use super::yaml::place::{Place, Problem};
use super::{Lookup, Warning, check};
use crate::resource::Secret;

/// Passwords that everybody knows: those of the example.
const KNOWN_PASSWORDS: [&str; 2] = ["homework", "password"];
/// The least characters of a password, as NIST SP 800-63B has it.
const MIN_PASSWORD: usize = 8;
/// The path that belongs to the API.
const API_PATH: &str = "/flask";

impl Schema<'_> {
    pub(super) fn sites(&mut self, field: &Field) -> Option<BTreeMap<String, Site>> {
        let Some(entries) = field.node.entries() else {
            return self.reader.named(field, "a map of sites by name", |_, _, _| None);
        };
        let mut sites = BTreeMap::new();
        let mut failed = false;
        for entry in entries.iter().filter(|entry| !entry.node.is_null()) {
            if !check::site_name(&entry.key) {
                let message =
                    format!("`{}` is not usable as the name of a site", shown(&entry.key));
                let problem = Problem::at(&entry.place, message);
                self.reader.problem(problem.hint("use small letters, digits, `_` and `-`"));
                failed = true;
                continue;
            }
            let field = Field { node: &entry.node, path: format!("sites.{}", entry.key) };
            match self.site(&field) {
                Some(site) => drop(sites.insert(entry.key.clone(), site)),
                None => failed = true,
            }
        }
        failed |= !self.paths_fit(field, entries, &sites, failed);
        (!failed).then_some(sites)
    }

    /// What must hold between sites: `main` is there, at `/`, and no path is taken twice.
    fn paths_fit(
        &mut self,
        field: &Field,
        entries: &[Entry],
        sites: &BTreeMap<String, Site>,
        failed: bool,
    ) -> bool {
        let before = self.reader.problems.len();
        let place = |name: &str| {
            let node = get(entries, name).unwrap_or(field.node);
            let path = node.entries().and_then(|fields| get(fields, "path"));
            path.map_or_else(|| node.place.clone(), |path| path.place.clone())
        };
        match sites.get("main") {
            Some(main) if main.path != "/" => {
                let message = format!("`sites.main.path` is `/`, not `{}`", main.path);
                let problem = Problem::at(&place("main"), message);
                self.reader.problem(problem.hint("`main` is the landing page"));
            }
            None if !failed => {
                let problem = Problem::at(&field.node.place, "`sites` lacks `main`");
                self.reader
                    .problem(problem.hint("`main` is the landing page: it cannot be removed"));
            }
            _ => {}
        }
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, site) in sites {
            if site.path == API_PATH || site.path.starts_with("/flask/") {
                let message = format!("`sites.{name}.path` is `{}`, which is the API's", site.path);
                self.reader.problem(Problem::at(&place(name), message));
            }
            if let Some(other) = taken.insert(&site.path, name) {
                // The one that somebody wrote is shown, not the one of the defaults.
                let default = place(name).is_builtin();
                let (name, other) =
                    if default { (other, name.as_str()) } else { (name.as_str(), other) };
                let message =
                    format!("`sites.{name}.path` is `{}`, as `sites.{other}.path` is", site.path);
                self.reader.problem(Problem::at(&place(name), message));
            }
        }
        self.reader.problems.len() == before
    }

    /// What is in one folder is served under one path: a page of a closed site would otherwise be
    /// reached by way of an open one.
    pub(super) fn require_apart(
        &mut self,
        root: Fields,
        app_dir: &Path,
        sites: &BTreeMap<String, Site>,
    ) {
        let own = [("app_dir".to_owned(), app_dir)];
        let roots = sites.iter().map(|(name, site)| (format!("sites.{name}.root"), &*site.root));
        let all: Vec<_> = own.into_iter().chain(roots).collect();
        for (at, (name, folder)) in all.iter().enumerate() {
            let Some((other, _)) = all[..at].iter().find(|(_, o)| overlap(folder, o)) else {
                continue;
            };
            // The one that somebody wrote is shown, not the one of the defaults.
            let place = |name: &str| place_of(root.node, name);
            let (name, other) = match place(name).is_builtin() {
                true => (other, name),
                false => (name, other),
            };
            let message = format!("`{name}` and `{other}` overlap: one folder contains the other");
            let problem = Problem::at(&place(name), message);
            self.reader.problem(problem.hint("give each a folder of its own"));
        }
    }

    fn site(&mut self, field: &Field) -> Option<Site> {
        let site = self.reader.fields(field, &["path", "root", "source", "users", "allow"])?;
        let path = self.part(site, "path", |schema, field| {
            let expected = "a URL path such as `/open`";
            schema.reader.text(field, expected, check::url_path)
        });
        let root = self.part(site, "root", Self::own_folder);
        let source = match site.optional("source") {
            Some(field) => self.local(&field, Path::is_dir, "a folder").map(Some),
            None => Some(None),
        };
        let users = match (site.optional("users"), site.node.entries()) {
            (Some(field), _) => self.users(&field),
            (None, Some(entries)) if get(entries, "users").is_some() => {
                self.no_users(&format!("{}.users", field.path))
            }
            _ => Some(BTreeMap::new()),
        };
        let allow = match site.optional("allow") {
            Some(field) => self.reader.list(&field, network),
            None => Some(Vec::new()),
        };
        Some(Site { path: path?, root: root?, source: source?, users: users?, allow: allow? })
    }

    /// What a variable is whose default is nothing: an error, unless nobody needs it now.
    pub(super) fn no_users(&mut self, path: &str) -> Option<BTreeMap<String, Secret>> {
        if self.lookup == Lookup::Never || !self.serves {
            return Some(BTreeMap::new());
        }
        let message = format!("`{path}` is not set: no password is built into hwctl");
        self.reader.problem(Problem::nowhere(message).hint(format!(
            "name who may log in: in an inventory (`hwctl init` writes one), or by `--set {path}.NAME=PASSWORD`"
        )));
        None
    }

    pub(super) fn users(&mut self, field: &Field) -> Option<BTreeMap<String, Secret>> {
        let Some(entries) = field.node.entries() else {
            let expected = "a map of names to passwords";
            return self.reader.named(field, expected, |_, _, _| None);
        };
        let mut users = BTreeMap::new();
        let mut failed = false;
        for entry in entries {
            if let Err(problem) = named(entry, &field.path) {
                self.reader.problem(problem);
                failed = true;
                continue;
            }
            let path = format!("{}.{}", field.path, entry.key);
            match self.passwords.read(&entry.node, &path, self.lookup) {
                Ok(password) => {
                    self.warn_if_weak(entry, &path, &password);
                    users.insert(entry.key.clone(), password);
                }
                Err(problem) => {
                    self.reader.problem(problem);
                    failed = true;
                }
            }
        }
        (!failed).then_some(users)
    }

    fn warn_if_weak(&mut self, entry: &Entry, path: &str, password: &Secret) {
        let password = password.expose();
        let message = match password.chars().count() {
            _ if KNOWN_PASSWORDS.contains(&password) => {
                format!("`{path}` has the password of the example, which everybody knows")
            }
            // It was not looked up.
            0 => return,
            length if length < MIN_PASSWORD => format!(
                "`{path}` has a password of {length} characters: use at least {MIN_PASSWORD}"
            ),
            _ => return,
        };
        self.warnings.push(Warning { place: entry.node.place.to_string(), message });
    }
}

/// Where the value at a path such as `sites.main.root` is written, or else what it would be in.
fn place_of(root: &Node, path: &str) -> Place {
    let mut node = root;
    for key in path.split('.') {
        let Some(found) = node.entries().and_then(|entries| get(entries, key)) else { break };
        node = found;
    }
    node.place.clone()
}

/// Whether this is a user with a password. When it is not, the name may well be the password:
/// of `admin:hunter2` and `admin=hunter2` YAML makes a name alone.
fn named(entry: &Entry, path: &str) -> Result<(), Problem> {
    let (message, hint) = if !check::user_name(&entry.key) {
        ("has a name that no user can have", "no spaces, no colon, no `#` at its start")
    } else if entry.node.is_null() {
        ("has a user without a password", "write `name: password`, with a space behind the colon")
    } else {
        return Ok(());
    };
    let problem = Problem::at(&entry.place, format!("`{path}` {message}"));
    Err(problem.hint(hint).hiding_place())
}
