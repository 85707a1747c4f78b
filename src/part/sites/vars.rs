//! The variable of the static sites, and who may see them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::inventory::schema::{
    As, Declared, List, Local, Map, Named, Optional, Reader, Text, UserList, Users, Variable, Vars,
    WhenAbsent,
};
use crate::inventory::{check, patterns};
use crate::part::api::AppDir;
use crate::part::network::{NETWORK, Network};
use crate::part::own_folder::{OwnFolder, overlap};
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Sites>()];

/// The path that belongs to the API.
const API_PATH: &str = "/flask";

/// The static sites by name. `main` is the landing page at `/`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sites(pub BTreeMap<String, Site>);

vars! {
    /// One static site.
    pub struct Site {
        /// URL path: `/` for `main`, which must be there
        path: String = "null", Text { expected: "a URL path such as `/open`", pattern: patterns::URL_PATH, check: check::url_path };
        /// folder on the host
        root: PathBuf = "null", OwnFolder;
        /// local folder whose content is uploaded; hwctl's own page where there is none
        source: Option<PathBuf> = "null", Optional(Local::FOLDER);
        /// who may log in, name to password; `{}` asks nobody. **Must be set** for `site2`
        users: Users = "null", USERS;
        /// file in `/etc/nginx` for the users; `.htpasswd-NAME` where none is given
        users_file: Option<String> = "null", Optional(USERS_FILE);
        /// addresses and networks that are let in; `[]` lets everyone in
        allow: Vec<Network> = "[]", List(NETWORK);
    }
}

pub(in crate::part) const USERS: UserList = UserList {
    when_absent: WhenAbsent::Nobody,
    is_name: check::user_name,
    pattern: patterns::USER_NAME,
    hint: "no spaces, no colon, no `#` at its start",
};

/// A name that nginx's own files do not have.
const USERS_FILE: Text<String> = Text {
    expected: "a file name that begins with `.htpasswd`",
    pattern: patterns::USERS_FILE,
    check: |text| {
        let rest = text.strip_prefix(".htpasswd")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        (rest.len() <= 100 && rest.chars().all(fits)).then(|| text.to_owned())
    },
};

impl Site {
    /// The path that clients ask for: that of a folder, with a slash at its end.
    #[must_use]
    pub fn url_path(&self) -> String {
        format!("{}/", self.path.trim_end_matches('/'))
    }
}

impl Variable for Sites {
    const NAME: &'static str = "sites";
    const DOC: &'static str = "the static sites by name; `null` takes one out";
    const DEFAULT: &'static str = "
main: { path: /, root: /var/www/main }
site1: { path: /open, root: /var/www/site1 }
site2:
  path: /close
  root: /var/www/site2
  users: null # no password is built in
  users_file: .htpasswd
  allow: [127.0.0.1, 192.168.1.0/24, 10.0.0.5]
";
    type Rule = As<Named<Map<Site>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "site",
            is_name: check::site_name,
            pattern: patterns::SITE_NAME,
            hint: "use small letters, digits, `_` and `-`",
            each: Map::new(),
        },
        make: Self,
    };

    fn check(&self, vars: &Vars, reader: &mut Reader<'_>) {
        self.has_landing_page(reader);
        self.paths_are_apart(reader);
        self.folders_are_apart(vars, reader);
    }
}

impl Sites {
    fn has_landing_page(&self, reader: &mut Reader<'_>) {
        match self.0.get("main") {
            Some(main) if main.path != "/" => {
                let message = format!("`sites.main.path` is `/`, not `{}`", main.path);
                reader.refuse_path(["sites.main.path"; 2], message, "`main` is the landing page");
            }
            None => reader.refuse_path(
                ["sites"; 2],
                "`sites` lacks `main`",
                "`main` is the landing page: it cannot be removed",
            ),
            _ => {}
        }
    }

    fn paths_are_apart(&self, reader: &mut Reader<'_>) {
        let path_of = |name: &str| format!("sites.{name}.path");
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, site) in &self.0 {
            let path = path_of(name);
            if site.path == API_PATH || site.path.starts_with("/flask/") {
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
    fn folders_are_apart(&self, vars: &Vars, reader: &mut Reader<'_>) {
        let app_dir = vars.find::<AppDir>().map(|AppDir(folder)| ("app_dir".to_owned(), folder));
        let roots = self.0.iter().map(|(name, site)| (format!("sites.{name}.root"), &site.root));
        let all: Vec<_> = app_dir.into_iter().chain(roots).collect();
        for (at, (path, folder)) in all.iter().enumerate() {
            let Some((other, _)) = all[..at].iter().find(|(_, other)| overlap(folder, other))
            else {
                continue;
            };
            let (path, other) = written_first(reader, path.clone(), other.clone());
            let message = format!("`{path}` and `{other}` overlap: one folder contains the other");
            reader.refuse_path([&path, &other], message, "give each a folder of its own");
        }
    }
}

/// Two paths, of which the first one is written rather than a default, if one of them is.
fn written_first(reader: &Reader<'_>, path: String, other: String) -> (String, String) {
    if reader.is_default(&path) { (other, path) } else { (path, other) }
}
