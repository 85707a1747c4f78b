//! The API: its binary, settings and user, behind a socket that systemd keeps open.

mod host;
mod vars;

use std::path::{Path, PathBuf};

use anyhow::Result;
use hwctl_limits::MIN_KEY_BYTES;
use serde::Serialize;

use super::build::{
    Builder, Card, Claim, Contributions, Given, Metrics, Refusals, Route, RouteTarget, Upload,
    Upstream, folder,
};
use super::nginx::{page, question};
use super::redis::{self, REDIS_PASSWORD, Redis, SOCKET as REDIS_SOCKET};
use super::{PartKind, Parts, Role};
use crate::failure::Failure;
use crate::resource::{Content, File, Id, Link, OnChange, Owner, Part, Secret, TRIAL_FOLDER, Unit};
use crate::spec::{
    Group, Log, LogFormat, LogSource, PartSpec, Probe, ProbeKind, Restart, RestartMethod,
};

pub use vars::{Api, AppDir, Workers};

const USER: &str = "flask-app";
/// Root's, and not below a home: the service sees no home, and nobody else can replace it.
const FOLDER: &str = "/usr/local/lib/hwctl/api";
/// The settings, where root alone can write: systemd reads them as root.
const ENVIRONMENT: &str = "/etc/hwctl/api/env";
const SETTINGS_FOLDER: &str = "/etc/hwctl/api";
/// The link that makes one version of the API the one that runs.
pub const API_LINK: &str = "/usr/local/lib/hwctl/api/flask-app";

const SOCKET: &str = "flask-app.socket";
const SERVICE: &str = "flask-app.service";
/// Its metrics, which are for the host itself.
const METRICS: &str = "/flask/metrics";
/// Where nginx reaches the API.
const API_SOCKET: &str = "/run/gunicorn/flask.sock";

#[derive(Serialize)]
struct Environment<'a> {
    redis_port: u16,
    redis_socket: &'a str,
    users: Vec<&'a str>,
    token_ttl: u32,
    workers: u16,
    /// Whether tokens of another key are taken as well.
    takes_other_key: bool,
}

#[derive(Serialize)]
struct Service<'a> {
    user: &'a str,
    binary: &'a Path,
    environment: &'a Path,
}

pub(super) const KIND: PartKind = PartKind {
    name: "api",
    roles: &[Role::Web],
    parts: Parts::If(|view| !view.vars.is_taken_away::<Api>()),
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Api),
    contribute: |_, offered| {
        let target = RouteTarget::Application(upstream());
        let page = Some("/flask/swagger/".to_owned());
        let card = Card { page, is_framed: true, ..Card::new("API", None) };
        let route = Route { card: Some(card), ..Route::new("flask", "/flask", target) };
        offered.add_route(route, None);
        let (name, servers) = ("flask".to_owned(), upstream().servers);
        offered.add_metrics(Metrics { name, servers, path: METRICS.to_owned() }, None);
        offered.add_claim(Claim::Socket(API_SOCKET.into()), None);
    },
    describe: |_, offered, spec| describe(offered, spec),
    declare,
};

/// The key that signs the API's tokens.
pub const JWT_KEY: &str = "jwt-key";

/// The name of another key whose tokens are taken.
const OTHER_KEY: &str = "other-jwt-key";

/// The API as nginx sees it. Its clients are programs.
fn upstream() -> Upstream {
    Upstream {
        max_body_kib: 16,
        refusals: Refusals::Json,
        logins: vec!["/flask/auth/login".to_owned()],
        hidden: vec![METRICS.to_owned()],
        inline_styles: vec!["/flask/swagger".to_owned()],
        ..Upstream::at(format!("unix:{API_SOCKET}"))
    }
}

fn describe(offered: &Contributions, spec: &mut PartSpec) {
    spec.requires = vec!["redis".to_owned()];
    // Without its database the API runs, and says that it is not healthy.
    let health = offered.has_database.then_some("/flask/api/health");
    let socket =
        Probe { name: "socket of the API".to_owned(), group: Group::Host, kind: ProbeKind::Driver };
    spec.probes = [Probe::unit(SOCKET), Probe::unit(SERVICE), page("/flask/api/ping")]
        .into_iter()
        .chain(health.map(page))
        .chain([socket])
        .collect();
    spec.questions = [question("/flask/api/ping", 200, Some("{\"status\":\"ok\"}"))]
        .into_iter()
        .chain(health.map(|path| question(path, 200, None)))
        .chain([question("/flask/api/count", 401, None), question("/flask/swagger/", 200, None)])
        .collect();
    let restart = |name: &str, label: &str, method, in_all| Restart {
        name: name.to_owned(),
        label: label.to_owned(),
        method,
        in_all,
        log: LogSource::Unit(SERVICE.to_owned()),
    };
    let socket = RestartMethod::Socket { socket: SOCKET.to_owned(), service: SERVICE.to_owned() };
    spec.restarts = vec![
        restart("api", "flask-app", RestartMethod::Unit(SERVICE.to_owned()), true),
        restart("api-socket", SOCKET, socket, false),
    ];
    spec.settings.insert("socket".to_owned(), API_SOCKET.to_owned());
    spec.logs = vec![Log {
        name: "api".to_owned(),
        source: LogSource::Unit(SERVICE.to_owned()),
        format: LogFormat::Json,
    }];
}

fn declare(_: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    builder.ensure(redis::client(builder.vars))?;
    let (binary, link) = binary(builder)?;
    let environment = PathBuf::from(ENVIRONMENT);
    let settings = settings(builder, &environment)?;

    let socket_file = builder.file(
        "/etc/systemd/system/flask-app.socket",
        "systemd/flask-app.socket",
        &Service { user: USER, binary: &link, environment: &environment },
    )?;
    let service_file = builder.file(
        "/etc/systemd/system/flask-app.service",
        "systemd/flask-app.service",
        &Service { user: USER, binary: &link, environment: &environment },
    )?;
    let unit = |name: &str, inputs| Unit::new(name, inputs, OnChange::Restart);
    // The socket first: what comes while the service restarts waits in it.
    builder.add(unit("flask-app.socket", vec![socket_file]));
    let service = unit("flask-app.service", vec![service_file, settings, binary]);
    builder.add(Unit { beside: vec![format!("SOCKET={TRIAL_FOLDER}/flask.sock")], ..service });
    Ok(())
}

/// The binary under its version, and the link that makes it the one that runs. Returns the link's
/// id and path.
fn binary(builder: &mut Builder<'_>) -> Result<(Id, PathBuf)> {
    let blob = match &builder.vars.get::<Api>().binary {
        None => builder.context.api.clone(),
        Some(path) => {
            let path = builder.context.folder.join(path);
            let blob = folder::program(&path)?;
            builder.made.uploads.push(Upload { blob: blob.clone(), path });
            blob
        }
    };
    let version: String = blob.key.chars().take(12).collect();
    builder.directory("/usr/local/lib/hwctl", 0o755);
    builder.directory(FOLDER, 0o755);
    let path = Path::new(FOLDER).join(format!("flask-app-{version}"));
    builder.add(File::new(path.clone(), Content::Blob(blob), 0o755, Owner::root()));
    let link = PathBuf::from(API_LINK);
    Ok((builder.add(Link { path: link.clone(), target: path }), link))
}

fn settings(builder: &mut Builder<'_>, environment: &Path) -> Result<Id> {
    let api = builder.vars.get::<Api>();
    let context = Environment {
        redis_port: builder.vars.get::<Redis>().port,
        redis_socket: REDIS_SOCKET,
        users: api.users.names().collect(),
        token_ttl: api.token_ttl,
        workers: api.workers.on(builder.facts.cpus),
        takes_other_key: api.token_key_also.is_some(),
    };
    let given = token_keys(builder, api)?;
    if !given.contains_key(JWT_KEY) {
        builder.host_secret(JWT_KEY, 32)?;
    }
    builder.host_secret(REDIS_PASSWORD, 32)?;
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(SETTINGS_FOLDER, 0o700);
    // systemd reads it as root before it becomes the service's user.
    let access = (0o600, Owner::root());
    let secrets = (Some(&api.users), given);
    let settings = builder.given_secret_file(environment, access, "app/env", &context, secrets)?;
    // For people only: the folder may belong to a login, who could put anything there.
    let AppDir(app_dir) = builder.vars.get();
    builder.directory(app_dir, 0o755);
    let path = app_dir.join(".env");
    builder.add(Link { path, target: environment.to_owned() });
    Ok(settings)
}

/// The keys of tokens that the operator gives, by the names that the template asks for them.
fn token_keys(builder: &Builder<'_>, api: &Api) -> Result<Given> {
    let mut given = Given::new();
    for (name, key) in [(JWT_KEY, &api.token_key), (OTHER_KEY, &api.token_key_also)] {
        let Some(key) = key else { continue };
        let value = builder.reveal(key)?;
        if builder.context.passwords.has(builder.part()) {
            require_key(&value, key.path())?;
        }
        given.insert(name.to_owned(), vec![Part::Secret { name: name.to_owned(), value }]);
    }
    Ok(given)
}

/// Refuses a key that is too short, or that the file with the settings could not hold as it is.
fn require_key(key: &Secret, path: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let key = key.expose();
    if key.len() >= MIN_KEY_BYTES && key.chars().all(fits) {
        return Ok(());
    }
    let what = format!(
        "`{path}` has to have {MIN_KEY_BYTES} or more letters, digits, `+`, `/`, `=`, `_` and `-`"
    );
    Err(Failure::usage(what)
        .not_done("nothing was changed on the host")
        .hint("`openssl rand -hex 32` makes a good one"))
}
