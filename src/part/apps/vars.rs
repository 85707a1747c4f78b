//! The variable of the operator's own apps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::checks;
use crate::inventory::schema::{
    As, Choice, Declared, Env, EnvMap, Flag, List, Local, Map, Named, Number, Optional, Reader,
    Text, Users, Variable, Vars,
};
use crate::inventory::{check, patterns};
use crate::part::containers::{
    CAPABILITY, IMAGE, INSIDE, Memory, NETWORK_NAME, NumericUser, Registry, USER, Volumes, Word,
};
use crate::part::network::{NETWORK, Network};
use crate::part::own_host::HOST;
use crate::part::scalars::SENTENCE;
use crate::part::sites::USERS;
use crate::resource::Mount;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Apps>()];

/// The apps by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Apps(pub BTreeMap<String, App>);

vars! {
    /// One app behind nginx. It is a program (`binary`), a folder (`source`, with `run`) or an `image`, at a `path` or
    /// under a `host` of its own.
    pub struct App {
        /// URL path; the app gets it as the client sent it
        path: Option<String> = "null", Optional(PATH);
        /// name of its own, such as `shop.example.com`
        host: Option<String> = "null", Optional(HOST);
        /// what people call it; its name where none is given
        title: Option<String> = "null", Optional(SENTENCE);
        /// what it is for, as the landing page says it
        description: Option<String> = "null", Optional(SENTENCE);
        /// local program for the host
        binary: Option<PathBuf> = "null", Optional(Local::FILE);
        /// local folder that is uploaded
        source: Option<PathBuf> = "null", Optional(Local::FOLDER);
        /// lines for the shell that run on the host in the uploaded folder, once a version and before containers are there
        build: Vec<String> = "[]", List(LINE);
        /// program and arguments; `{port}`, `{socket}`, `{folder}` and `{binary}` are filled in
        run: Vec<String> = "[]", List(LINE);
        /// packages of the distribution that it needs
        packages: Vec<String> = "[]", List(Text { expected: "the name of a package", pattern: patterns::ANY, check: check::package });
        /// image of its container, such as `registry.example.com/shop:4`
        image: Option<String> = "null", Optional(IMAGE);
        /// local image tar, as `docker save` writes it, for hosts that reach no registry
        image_archive: Option<PathBuf> = "null", Optional(Local::FILE);
        /// login for the pull: `user` and `password`
        registry: Option<Registry> = "null", Optional(Map::new());
        /// program in the container and its arguments; the image's own where there are none
        command: Vec<String> = "[]", List(Word);
        /// port that it listens on in its container; `PORT` has it, too
        container_port: u16 = "8080", Number { min: 1, max: u16::MAX };
        /// what of its container lasts, see [containers](containers.md#what-lasts)
        volumes: Vec<Mount> = "[]", List(Volumes);
        /// Docker networks of its container, in which it finds others by name
        networks: Vec<String> = "[]", List(NETWORK_NAME);
        /// user of its container by number, such as `999` or `999:1000`; the image's own where none is given
        user: Option<NumericUser> = "null", Optional(USER);
        /// capabilities that its container keeps, such as `CHOWN`; all others are dropped
        capabilities: Vec<String> = "[]", List(CAPABILITY);
        /// whether its container can write nowhere but to its volumes and its `tmpfs`
        read_only: bool = "true", Flag;
        /// paths in its container that are kept in memory, up to 64 MB each
        tmpfs: Vec<PathBuf> = "[/tmp, /run]", List(INSIDE);
        /// how many processes or containers share its requests
        instances: u8 = "1", Number { min: 1, max: 32 };
        /// where it listens: on the port in `PORT`, on the Unix socket in `SOCKET`, or on a socket that systemd hands over
        listen: Listen = "port", Choice(&Listen::WORDS);
        /// path such as `/run/gunicorn/flask.sock` that leads other programs on the host to the socket of the version that serves
        socket: Option<PathBuf> = "null", Optional(SOCKET);
        /// path that answers 200 to 399 once the app is ready; `/`, or the app's own path with a slash, where none is given
        health: Option<String> = "null", Optional(PATH_OR_QUERY);
        /// path of its metrics in Prometheus's format, which clients do not get, see [monitoring](monitoring.md)
        metrics: Option<String> = "null", Optional(METRICS);
        /// seconds until it has to answer
        start_timeout: u16 = "30", Number { min: 1, max: 600 };
        /// environment variables, see [containers](containers.md#environment)
        env: Env = "{}", EnvMap;
        /// lines for the shell that run once a version before it serves, such as a migration
        before: Vec<String> = "[]", List(LINE);
        /// most memory that each instance gets, such as `256M` or `2G`
        memory: u32 = "512M", Memory;
        /// largest body of a request, in KiB
        max_body: u32 = "1024", Number { min: 1, max: 4 << 20 };
        /// seconds until nginx gives up on an answer
        timeout: u16 = "60", Number { min: 1, max: 3600 };
        /// whether it speaks WebSocket
        websocket: bool = "true", Flag;
        /// lines for the shell that run once a version after it has taken over
        after: Vec<String> = "[]", List(LINE);
        /// who may log in, name to password; `{}` asks nobody
        users: Users = "{}", USERS;
        /// whether the other one of `www.NAME` and `NAME` leads to `host`
        redirect_www: bool = "false", Flag;
        /// local page (HTML) that clients get from `hwctl maintenance on`; hwctl's own where there is none
        maintenance: Option<PathBuf> = "null", Optional(Local::FILE);
        /// addresses and networks that are let in; `[]` lets everyone in
        allow: Vec<Network> = "[]", List(NETWORK);
    }
}

impl App {
    /// The path that answers once the app is ready.
    pub(super) fn health(&self) -> String {
        let own = || format!("{}/", self.path.as_deref().unwrap_or_default());
        self.health.clone().unwrap_or_else(own)
    }

    /// The name that leads clients to the app's own: with `www.` before it, or without.
    pub(super) fn other_host(&self) -> Option<String> {
        let host = self.host.as_ref().filter(|_| self.redirect_www)?;
        Some(host.strip_prefix("www.").map_or_else(|| format!("www.{host}"), str::to_owned))
    }
}

/// Where an app listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On the port of the loopback that `PORT` names.
    Port,
    /// On the Unix socket that `SOCKET` names.
    Socket,
    /// On the socket that systemd hands over (`LISTEN_FDS`).
    Activated,
}

impl Listen {
    const WORDS: [(&'static str, Self); 3] =
        [("port", Self::Port), ("socket", Self::Socket), ("activated", Self::Activated)];
}

const PATH: Text<String> = Text {
    expected: "a URL path such as `/shop`",
    pattern: patterns::URL_PATH,
    check: |text| check::url_path(text).filter(|path| path != "/"),
};

const METRICS: Text<String> = Text {
    expected: "a URL path such as `/metrics`",
    pattern: patterns::URL_PATH,
    check: |text| check::url_path(text).filter(|path| path != "/"),
};

const SOCKET: Text<PathBuf> = Text {
    expected: "a path such as `/run/gunicorn/flask.sock`",
    pattern: r"/run/[A-Za-z0-9_-][A-Za-z0-9._-]*/[A-Za-z0-9_-][A-Za-z0-9._-]*",
    check: |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_name =
            |name: &str| !name.is_empty() && !name.starts_with('.') && name.chars().all(fits);
        let (folder, name) = text.strip_prefix("/run/")?.split_once('/')?;
        (is_name(folder) && is_name(name)).then(|| PathBuf::from(text))
    },
};

const PATH_OR_QUERY: Text<String> = Text {
    expected: "a URL path such as `/healthz`",
    pattern: patterns::ANY,
    check: |text| {
        let fits = |c: char| c.is_ascii_graphic();
        (text.starts_with('/') && text.chars().all(fits)).then(|| text.to_owned())
    },
};

const LINE: Text<String> = Text {
    expected: "text",
    pattern: patterns::ANY,
    check: |text| (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned()),
};

impl Variable for Apps {
    const NAME: &'static str = "apps";
    const DOC: &'static str = "your own apps behind nginx, by name, see [apps](apps.md)";
    const IS_COMMON: bool = true;
    type Rule = As<Named<Map<App>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "app",
            is_name: checks::is_name,
            pattern: r"[a-z][a-z0-9-]{0,19}",
            hint: "use up to 20 small letters, digits and `-`, a letter first",
            each: Map::checked(checks::of_one),
        },
        make: Self,
    };

    fn check(&self, vars: &Vars, reader: &mut Reader<'_>) {
        checks::of_all(self, vars, reader);
    }
}
