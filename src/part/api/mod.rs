//! The API: its binary, settings and user, behind a socket that systemd keeps open.

mod host;
mod vars;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::build::{
    Builder, Card, Claim, Contributions, Refusals, Route, RouteTarget, Upload, Upstream, folder,
};
use super::nginx::{page, question};
use super::redis::{self, REDIS_PASSWORD, Redis, SOCKET as REDIS_SOCKET};
use super::{PartKind, Parts, Role};
use crate::resource::{Content, File, Id, Link, OnChange, Owner, TRIAL_FOLDER, Unit};
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
/// Where nginx reaches the API.
const API_SOCKET: &str = "/run/gunicorn/flask.sock";

#[derive(Serialize)]
struct Environment<'a> {
    redis_port: u16,
    redis_socket: &'a str,
    users: Vec<&'a str>,
    token_ttl: u32,
    workers: u16,
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
        offered.add_claim(Claim::Socket(API_SOCKET.into()), None);
    },
    describe: |_, offered, spec| describe(offered, spec),
    declare,
};

/// The key that signs the API's tokens.
pub const JWT_KEY: &str = "jwt-key";

/// The API as nginx sees it. Its clients are programs.
fn upstream() -> Upstream {
    Upstream {
        max_body_kib: 16,
        refusals: Refusals::Json,
        logins: vec!["/flask/auth/login".to_owned()],
        // For the host itself, over the socket.
        hidden: vec!["/flask/metrics".to_owned()],
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
    };
    builder.host_secret(JWT_KEY, 32)?;
    builder.host_secret(REDIS_PASSWORD, 32)?;
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(SETTINGS_FOLDER, 0o700);
    // systemd reads it as root before it becomes the service's user.
    let access = (0o600, Owner::root());
    let settings =
        builder.secret_file(environment, access, "app/env", &context, Some(&api.users))?;
    // For people only: the folder may belong to a login, who could put anything there.
    let AppDir(app_dir) = builder.vars.get();
    builder.directory(app_dir, 0o755);
    let path = app_dir.join(".env");
    builder.add(Link { path, target: environment.to_owned() });
    Ok(settings)
}
