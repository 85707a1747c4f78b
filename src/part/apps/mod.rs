//! The operator's own apps behind nginx. Each version of an app has instances of its own, on the host or in containers: new
//! ones start and answer before nginx learns of them, and those of before end once nginx is done with them.

mod checks;
mod container;
mod host;
mod native;
mod vars;
mod version;

use std::path::PathBuf;

use anyhow::Result;

use super::build::{
    Builder, Card, Claim, Contributions, HostView, Maintenance, Package, Route, RouteTarget,
    Upstream,
};
use super::nginx::guarded_question;
use super::{PartKind, Parts, Role};
use crate::engine::protocol::MAINTENANCE_FOLDER;
use crate::resource::{Directory, Facts, File, Owner};
use crate::spec::{PartSpec, Question, Wanted};

use vars::App;
pub use vars::Apps;
use version::Version;

const FOLDER: &str = "/usr/local/lib/hwctl/apps";
/// The environments. root alone gets there: systemd reads them as root.
const ENVIRONMENTS: &str = "/etc/hwctl/apps";
/// The pages of apps that are out of service.
const PAGES: &str = "/etc/hwctl/pages";
/// How long a build, or what comes before a new version, may take, in seconds.
const TASK_TIMEOUT_S: u32 = 1800;

/// The answers of an app that is ready.
const HEALTHY: [u16; 7] = [200, 204, 301, 302, 303, 307, 308];
/// The answers of a page that a client cannot have just so, and that is no fault of the app.
const CLOSED: [u16; 4] = [401, 403, 404, 405];

pub(super) const KIND: PartKind = PartKind {
    name: "apps",
    roles: &[Role::Web],
    parts: Parts::Named(|view| view.vars.get::<Apps>().0.keys().cloned().collect()),
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Apps),
    contribute,
    describe,
    declare: |_, builder| declare(builder),
};

fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    let name = offered.part().to_owned();
    let app = &view.vars.get::<Apps>().0[&name];
    let place = || view.place(&["apps", &name]);
    offered.add_claim(Claim::Name(name.clone()), place());
    if app.image.is_none() {
        offered.add_claim(Claim::User(version::user(&name)), place());
    }
    if let Some(socket) = &app.socket {
        offered.add_claim(Claim::Socket(socket.clone()), view.place(&["apps", &name, "socket"]));
    }
    for package in &app.packages {
        offered.add_package(Package::new(package));
    }
    let Ok(version) = Version::of(&name, view.vars, view.folder) else {
        // What cannot be read is an error once it is declared.
        return;
    };
    let key = if app.host.is_some() { "host" } else { "path" };
    let upstream = Upstream {
        servers: version.instances().map(|instance| instance.server()).collect(),
        max_body_kib: app.max_body,
        read_timeout_s: app.timeout,
        is_websocket: app.websocket,
        allow: app.allow.clone(),
        maintenance: Some(Maintenance { page: app.maintenance.as_ref().map(|_| page(&name)) }),
        htpasswd: (!app.users.is_empty()).then(|| users_file(&name)),
        has_own_policy: true,
        ..Upstream::at("")
    };
    let route = Route {
        name: name.clone(),
        host: app.host.clone(),
        other_host: app.other_host(),
        path: app.path.clone().unwrap_or_else(|| "/".to_owned()),
        target: RouteTarget::Application(upstream),
        comes_first: true,
        card: Some(Card::new(app.title.as_ref().unwrap_or(&name), app.description.clone())),
    };
    offered.add_route(route, view.place(&["apps", &name, key]));
    if app.image.is_some() {
        return container::contribute(view, offered, app, &version);
    }
    for port in version.instances().filter_map(|instance| instance.port()) {
        offered.add_port(port, place());
    }
}

fn describe(view: &HostView<'_>, offered: &Contributions, spec: &mut PartSpec) {
    let app = &view.vars.get::<Apps>().0[&spec.name];
    spec.is_app = true;
    let version = Version::of(&spec.name, view.vars, view.folder).ok();
    match app.image {
        Some(_) => container::describe(spec, offered, app, version.as_ref()),
        None => native::describe(spec, version.as_ref()),
    }
    let instances = version.iter().flat_map(Version::instances);
    spec.private_ports.extend(instances.filter_map(|instance| instance.port()));
    spec.questions = questions(app, view.facts);
}

/// What a client asks: the app's health where nginx leads to it, or else its first page, and the redirect of its other name.
fn questions(app: &App, facts: &Facts) -> Vec<Question> {
    let (health, guard) = (app.health(), (app.allow.as_slice(), &app.users));
    let is_seen = app.path.as_ref().is_none_or(|path| health.starts_with(&format!("{path}/")));
    let page = if is_seen {
        guarded_question(&health, &HEALTHY, guard, facts)
    } else {
        let path = format!("{}/", app.path.as_deref().unwrap_or_default());
        guarded_question(&path, &[HEALTHY.as_slice(), &CLOSED].concat(), guard, facts)
    };
    let redirect = app.host.as_ref().zip(app.other_host()).map(|(host, other)| Question {
        host: Some(other),
        path: "/".to_owned(),
        wanted: Wanted::Location(format!("https://{host}/")),
        ..page.clone()
    });
    std::iter::once(Question { host: app.host.clone(), ..page }).chain(redirect).collect()
}

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let name = builder.part().to_owned();
    let version = Version::of(&name, builder.vars, builder.context.folder)?;
    let app = builder.vars.get::<Apps>().0[&name].clone();
    super::sites::users(builder, users_file(&name), &app.users)?;
    maintenance(builder, &name, &app)?;
    match app.image {
        Some(_) => container::declare(builder, &app, &version),
        None => native::declare(builder, &app, &version),
    }
}

/// Where it is noted that the app is out of service, and the page that says so.
fn maintenance(builder: &mut Builder<'_>, name: &str, app: &App) -> Result<()> {
    builder.shared_directory("/etc/hwctl", 0o755)?;
    let noted = Directory::new(MAINTENANCE_FOLDER, 0o755, Owner::root());
    builder.ensure(Directory { owns_content: true, ..noted })?;
    let Some(local) = &app.maintenance else { return Ok(()) };
    builder.shared_directory(PAGES, 0o755)?;
    let local = builder.context.folder.join(local);
    let content = builder.local_content(local)?;
    builder.add(File::new(page(name), content, 0o644, Owner::root()));
    Ok(())
}

/// The page on the host that says that an app is out of service.
fn page(app: &str) -> PathBuf {
    PathBuf::from(format!("{PAGES}/{app}.html"))
}

/// The file with the users whom nginx lets in to an app.
fn users_file(app: &str) -> PathBuf {
    PathBuf::from(format!("/etc/nginx/.htpasswd-app-{app}"))
}

/// The command that runs lines by the shell, up to the first that fails.
fn shell(lines: &[String]) -> Vec<String> {
    ["/bin/sh", "-ec", &lines.join("\n")].map(str::to_owned).into()
}
