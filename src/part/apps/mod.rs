//! The operator's own apps behind nginx. Each version of an app is an instance of its own: a new one starts and answers
//! before nginx learns of it, and the one of before ends once nginx is done with it.

mod checks;
mod instance;
mod vars;

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::build::folder::LocalFile;
use super::build::{
    Builder, Card, Contributions, HostView, Package, Route, RouteTarget, Upload, Upstream, folder,
    quote,
};
use super::nginx::question;
use super::{PartKind, Parts, Role};
use crate::resource::{
    Blob, Content, Directory, File, Health, Id, OnChange, Owner, Task, Unit, User,
};
use crate::spec::{Log, LogFormat, LogSource, PartSpec, Probe, Restart, RestartMethod};

use instance::{Instance, Service};
pub use vars::Apps;
use vars::{App, Listen};

const FOLDER: &str = "/usr/local/lib/hwctl/apps";
/// The environments. root alone gets there: systemd reads them as root.
const ENVIRONMENTS: &str = "/etc/hwctl/apps";
/// How long a build, or what comes before a new version, may take, in seconds.
const TASK_TIMEOUT_S: u32 = 1800;

pub(super) const KIND: PartKind = PartKind {
    name: "apps",
    roles: &[Role::Web],
    parts: Parts::Named(|view| view.vars.get::<Apps>().0.keys().cloned().collect()),
    vars: vars::VARIABLES,
    takes: &[],
    driver: None,
    contribute,
    describe,
    declare: |_, builder| declare(builder),
};

fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    let name = offered.part().to_owned();
    let app = &view.vars.get::<Apps>().0[&name];
    for package in &app.packages {
        offered.add_package(Package::new(package));
    }
    let Ok(instance) = Instance::of(&name, view.vars, view.folder) else {
        // What cannot be read is an error once it is declared.
        return;
    };
    let key = if app.host.is_some() { "host" } else { "path" };
    let upstream = Upstream {
        max_body_kib: app.max_body,
        read_timeout_s: app.timeout,
        is_websocket: app.websocket,
        allow: app.allow.clone(),
        has_own_policy: true,
        ..Upstream::at(instance.server())
    };
    let route = Route {
        name: name.clone(),
        host: app.host.clone(),
        path: app.path.clone().unwrap_or_else(|| "/".to_owned()),
        target: RouteTarget::Application(upstream),
        comes_first: true,
        card: Some(Card::new(app.title.as_ref().unwrap_or(&name), app.description.clone())),
    };
    offered.add_route(route, view.place(&["apps", &name, key]));
    if let Some(port) = instance.port() {
        offered.add_port(port, view.place(&["apps", &name]));
    }
}

fn describe(view: &HostView<'_>, _: &Contributions, spec: &mut PartSpec) {
    let name = spec.name.clone();
    let app = &view.vars.get::<Apps>().0[&name];
    // Without its files no version is known. The host has kept what it was provisioned with.
    if let Ok(instance) = Instance::of(&name, view.vars, view.folder) {
        spec.probes = vec![Probe::unit(&instance.service())];
        spec.private_ports.extend(instance.port());
    }
    let health = app.health();
    let is_seen = |path: &String| health.starts_with(&format!("{path}/"));
    if app.path.as_ref().is_some_and(is_seen) && app.allow.is_empty() {
        spec.questions = vec![question(&health, 200, None)];
    }
    let services = Instance::services(&name);
    let log = LogSource::Unit(services.clone());
    spec.logs = vec![Log { name: name.clone(), source: log.clone(), format: LogFormat::Plain }];
    spec.restarts = vec![Restart {
        label: name.clone(),
        method: RestartMethod::Unit(services),
        in_all: true,
        log,
        name,
    }];
}

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let name = builder.part().to_owned();
    let instance = Instance::of(&name, builder.vars, builder.context.folder)?;
    let app = builder.vars.get::<Apps>().0[&name].clone();

    builder.ensure(User { name: instance.user(), home: instance.state_folder() })?;
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.shared_directory(ENVIRONMENTS, 0o700)?;
    builder.shared_directory("/usr/local/lib/hwctl", 0o755)?;
    builder.shared_directory(FOLDER, 0o755)?;
    builder.directory(Path::new(FOLDER).join(&name), 0o755);
    let mut inputs = release(builder, &app, &instance)?;
    let environment = instance.environment();
    inputs.push(builder.environment_file(&environment, (0o600, Owner::root()), &app.env)?);

    if !app.build.is_empty() {
        let task = task(&instance, "build", &app.build, &inputs, vec![instance.folder()]);
        inputs.push(builder.add(task));
    }
    if !app.before.is_empty() {
        let task = task(&instance, "before", &app.before, &inputs, Vec::new());
        inputs.push(builder.add(task));
    }
    units(builder, &app, &instance, inputs)
}

/// The program or the folder of a version. Returns what the service is started with.
fn release(builder: &mut Builder<'_>, app: &App, instance: &Instance) -> Result<Vec<Id>> {
    let folder = instance.folder();
    // A build makes files that nobody declares, and they are the user's.
    let builds = !app.build.is_empty();
    let owner = if builds { Owner::new(instance.user(), instance.user()) } else { Owner::root() };
    let release = Directory { owns_content: builds, ..Directory::new(&folder, 0o755, owner) };
    builder.add(release);
    if let Some(binary) = &app.binary {
        let path = builder.context.folder.join(binary);
        let blob = folder::program(&path)?;
        builder.made.uploads.push(Upload { blob: blob.clone(), path });
        return Ok(vec![program(builder, instance, blob)]);
    }
    let source = builder.context.folder.join(app.source.as_deref().unwrap_or(Path::new("")));
    let mode = |file: &LocalFile| if file.is_executable { 0o755 } else { 0o644 };
    builder.upload_files(folder::files(&source)?, &folder, mode)
}

fn program(builder: &mut Builder<'_>, instance: &Instance, blob: Blob) -> Id {
    let content = Content::Blob(blob);
    builder.add(File::new(instance.binary(), content, 0o755, Owner::root()))
}

/// Lines for the shell that run once for this version.
fn task(
    instance: &Instance,
    what: &str,
    lines: &[String],
    inputs: &[Id],
    writable: Vec<PathBuf>,
) -> Task {
    let script = lines.join("\n");
    Task {
        name: format!("{}-{what}", instance.name()),
        command: ["/bin/sh", "-ec", &script].map(str::to_owned).into(),
        user: instance.user(),
        folder: instance.folder(),
        environment: Some(instance.environment()),
        writable,
        inputs: inputs.to_vec(),
        timeout_s: TASK_TIMEOUT_S,
    }
}

fn units(
    builder: &mut Builder<'_>,
    app: &App,
    instance: &Instance,
    mut inputs: Vec<Id>,
) -> Result<()> {
    let words: Result<Vec<_>, _> =
        instance.command(app).iter().map(|word| quote::systemd_word(word)).collect();
    let (user, name) = (instance.user(), instance.name());
    let is_socket = app.listen != Listen::Port;
    let service = Service {
        app: instance.app(),
        name: &name,
        command: words.map_err(anyhow::Error::msg)?.join(" "),
        folder: &instance.folder().display().to_string(),
        environment: &instance.environment().display().to_string(),
        variables: instance.variables(),
        user: &user,
        // nginx connects to a socket of the app's.
        group: if is_socket { "www-data" } else { &user },
        is_socket,
        is_activated: app.listen == Listen::Activated,
        socket: &instance.socket().display().to_string(),
        memory_mib: app.memory,
    };
    let unit = |name: String, inputs: Vec<Id>| Unit {
        hands_over: true,
        ..Unit::new(name, inputs, OnChange::Restart)
    };
    let path = format!("/etc/systemd/system/{name}.service");
    inputs.insert(0, builder.file(path, "systemd/app.service", &service)?);
    if app.listen == Listen::Activated {
        let path = format!("/etc/systemd/system/{name}.socket");
        let file = builder.file(path, "systemd/app.socket", &service)?;
        builder.add(unit(format!("{name}.socket"), vec![file]));
    }
    let health =
        Health { address: instance.address(), path: app.health(), timeout_s: app.start_timeout };
    let ports = instance.port().into_iter().collect();
    builder.add(Unit { ports, health: Some(health), ..unit(instance.service(), inputs) });
    Ok(())
}
