//! The variable of the static sites, and who may see them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::checks;
use super::scalars::{CACHE, HEADERS, IGNORED, PathOrHost, REDIRECT, Root, USERS, USERS_FILE};
use crate::inventory::schema::{
    As, Declared, Flag, List, Local, Map, Named, Optional, Reader, Users, Variable, Vars,
};
use crate::inventory::{check, patterns};
use crate::part::build::path_pattern::PathPattern;
use crate::part::network::{NETWORK, Network};
use crate::part::own_host::HOST;
use crate::part::scalars::SENTENCE;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Sites>()];

/// The static sites by name. `main` is the landing page at `/`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sites(pub BTreeMap<String, Site>);

vars! {
    /// One static site: the files of a folder at a `path` or under a `host` of its own, or a redirect.
    pub struct Site {
        /// URL path, such as `/open`; `/` for `main`
        path: String = "null", PathOrHost;
        /// name of its own instead of a path, such as `docs.example.com`
        host: Option<String> = "null", Optional(HOST);
        /// what people call it; its name where none is given
        title: Option<String> = "null", Optional(SENTENCE);
        /// what it is for, as the landing page says it; for `main` the line below the title
        description: Option<String> = "null", Optional(SENTENCE);
        /// folder on the host; `/var/www/NAME` where none is given
        root: PathBuf = "null", Root;
        /// local folder whose content is uploaded; hwctl's own page where there is none
        source: Option<PathBuf> = "null", Optional(Local::FOLDER);
        /// files of `source` that are not uploaded, as `.gitignore` patterns; hidden files except `.well-known` never are
        ignore: Vec<PathPattern> = "[]", List(IGNORED);
        /// URL that clients are sent on to; such a site has no files
        redirect: Option<String> = "null", Optional(REDIRECT);
        /// whether paths without a file get `index.html`, for apps that run in the browser
        spa: bool = "false", Flag;
        /// headers of its answers by name; one of hwctl's own gets that value
        headers: BTreeMap<String, String> = "{}", HEADERS;
        /// how long clients may keep files other than pages, such as `10m`, `12h`, `30d` or `0`; by default an hour for styles and scripts, and 30 days for images and fonts
        cache: Option<String> = "null", Optional(CACHE);
        /// who may log in, name to password; `{}` asks nobody. **Must be set** for `site2`
        users: Users = "null", USERS;
        /// file in `/etc/nginx` for the users; `.htpasswd-NAME` where none is given
        users_file: Option<String> = "null", Optional(USERS_FILE);
        /// addresses and networks that are let in; `[]` lets everyone in
        allow: Vec<Network> = "[]", List(NETWORK);
    }
}

impl Site {
    /// The path that clients ask for: that of a folder, with a slash at its end.
    #[must_use]
    pub fn url_path(&self) -> String {
        format!("{}/", self.path.trim_end_matches('/'))
    }

    /// Whether everybody may see it, at a path of the host's own names.
    #[must_use]
    pub fn is_open_at_path(&self) -> bool {
        self.host.is_none() && self.users.is_empty() && self.allow.is_empty()
    }
}

impl Variable for Sites {
    const NAME: &'static str = "sites";
    const DOC: &'static str =
        "the static sites by name, see [sites](sites.md); `null` takes one out";
    const DEFAULT: &'static str = "
main: { path: / }
site1: { path: /open, title: Open }
site2:
  path: /close
  title: Closed
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
            each: Map::checked(checks::of_one),
        },
        make: Self,
    };

    fn check(&self, vars: &Vars, reader: &mut Reader<'_>) {
        checks::of_all(self, vars, reader);
    }
}
