//! An app that runs on the host itself: its program or folder, its user, and a unit for each instance.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::vars::{App, Listen};
use super::version::{Instance, Version, services};
use super::{ENVIRONMENTS, FOLDER, TASK_TIMEOUT_S};
use crate::part::build::folder::LocalFile;
use crate::part::build::{Builder, Upload, folder, quote};
use crate::resource::{
    Blob, Content, Directory, File, Id, Link, OnChange, Owner, Task, Unit, User,
};
use crate::spec::{Log, LogFormat, LogSource, PartSpec, Probe, Restart, RestartMethod};

/// What the templates of an instance's units are rendered with.
#[derive(Serialize)]
struct Service<'a> {
    app: &'a str,
    name: &'a str,
    command: String,
    folder: &'a str,
    environment: &'a str,
    variables: Vec<String>,
    user: &'a str,
    group: &'a str,
    is_socket: bool,
    is_activated: bool,
    socket: &'a str,
    memory_mib: u32,
}

pub(super) fn describe(spec: &mut PartSpec, version: Option<&Version>) {
    let name = spec.name.clone();
    // Without its files no version is known. The host has kept what it was provisioned with.
    let instances = version.into_iter().flat_map(Version::instances);
    spec.probes = instances.map(|instance| Probe::unit(&instance.service())).collect();
    let services = services(&name);
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

pub(super) fn declare(builder: &mut Builder<'_>, app: &App, version: &Version) -> Result<()> {
    builder.ensure(User { name: version.user(), home: version.state_folder(), owns_home: true })?;
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.shared_directory(ENVIRONMENTS, 0o700)?;
    builder.shared_directory("/usr/local/lib/hwctl", 0o755)?;
    builder.shared_directory(FOLDER, 0o755)?;
    builder.directory(Path::new(FOLDER).join(version.app()), 0o755);
    let mut inputs = release(builder, app, version)?;
    let environment = version.environment();
    inputs.push(builder.environment_file(&environment, (0o600, Owner::root()), &app.env)?);

    if !app.build.is_empty() {
        let task = task(version, "build", &app.build, &inputs, vec![version.folder()]);
        inputs.push(builder.add(Task { stands_alone: true, ..task }));
    }
    if !app.before.is_empty() {
        let task = task(version, "before", &app.before, &inputs, Vec::new());
        inputs.push(builder.add(task));
    }
    if !app.after.is_empty() {
        builder.add_last(task(version, "after", &app.after, &inputs, Vec::new()));
    }
    version
        .instances()
        .try_for_each(|instance| units(builder, app, version, &instance, &inputs))?;
    app.socket.as_deref().map_or(Ok(()), |path| socket_link(builder, version, path))
}

/// Leads from a path that stays to the socket of this version. `/run` is empty after each boot.
fn socket_link(builder: &mut Builder<'_>, version: &Version, path: &Path) -> Result<()> {
    let Some(instance) = version.instances().next() else { return Ok(()) };
    let (target, folder) = (instance.socket(), path.parent().unwrap_or(path));
    let lines = format!(
        "# Made by hwctl: changes by hand are put back by the next run.\n\
         d {} 0755 root root -\n\
         L+ {} - - - - {}\n",
        folder.display(),
        path.display(),
        target.display()
    );
    let at_boot = format!("/etc/tmpfiles.d/hwctl-app-{}.conf", version.app());
    builder.add(File::new(at_boot, Content::text(lines), 0o644, Owner::root()));
    builder.ensure(Directory::new(folder, 0o755, Owner::root()))?;
    builder.add(Link { path: path.to_owned(), target });
    Ok(())
}

/// The program or the folder of a version. Returns what the service is started with.
fn release(builder: &mut Builder<'_>, app: &App, version: &Version) -> Result<Vec<Id>> {
    let folder = version.folder();
    // A build makes files that nobody declares, and they are the user's.
    let builds = !app.build.is_empty();
    let owner = if builds { Owner::new(version.user(), version.user()) } else { Owner::root() };
    let release = Directory { owns_content: builds, ..Directory::new(&folder, 0o755, owner) };
    builder.add(release);
    if let Some(binary) = &app.binary {
        let path = builder.context.folder.join(binary);
        let blob = folder::program(&path)?;
        let key = ["apps", version.app(), "binary"];
        let place = builder.entry.and_then(|entry| entry.place(&key));
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        let setting = format!("`{}`{place}", key.join("."));
        folder::require_for(&builder.facts.arch, &path, &setting)?;
        builder.made.uploads.push(Upload { blob: blob.clone(), path });
        return Ok(vec![program(builder, version, blob)]);
    }
    let source = builder.context.folder.join(app.source.as_deref().unwrap_or(Path::new("")));
    let mode = |file: &LocalFile| if file.is_executable { 0o755 } else { 0o644 };
    builder.upload_files(folder::files(&source)?, &folder, mode)
}

fn program(builder: &mut Builder<'_>, version: &Version, blob: Blob) -> Id {
    let content = Content::Blob(blob);
    builder.add(File::new(version.binary(), content, 0o755, Owner::root()))
}

/// Lines for the shell that run once for this version.
fn task(
    version: &Version,
    what: &str,
    lines: &[String],
    inputs: &[Id],
    writable: Vec<PathBuf>,
) -> Task {
    Task {
        name: format!("{}-{what}", version.name()),
        command: super::shell(lines),
        user: version.user(),
        folder: version.folder(),
        environment: Some(version.environment()),
        writable,
        inputs: inputs.to_vec(),
        timeout_s: TASK_TIMEOUT_S,
        state: Some(version.user()),
        stands_alone: false,
        container: None,
    }
}

fn units(
    builder: &mut Builder<'_>,
    app: &App,
    version: &Version,
    instance: &Instance,
    inputs: &[Id],
) -> Result<()> {
    let words = version.command(app, instance);
    let words: Result<Vec<_>, _> = words.iter().map(|word| quote::systemd_word(word)).collect();
    let (user, name) = (version.user(), &instance.name);
    let is_socket = app.listen != Listen::Port;
    let service = Service {
        app: version.app(),
        name,
        command: words.map_err(anyhow::Error::msg)?.join(" "),
        folder: &version.folder().display().to_string(),
        environment: &version.environment().display().to_string(),
        variables: version.variables(instance),
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
    let file = builder.file(path, "systemd/app.service", &service)?;
    let inputs = std::iter::once(file).chain(inputs.iter().cloned()).collect();
    if app.listen == Listen::Activated {
        let path = format!("/etc/systemd/system/{name}.socket");
        let file = builder.file(path, "systemd/app.socket", &service)?;
        builder.add(unit(format!("{name}.socket"), vec![file]));
    }
    let (ports, health) = (instance.port().into_iter().collect(), Some(instance.health(app)));
    builder.add(Unit { ports, health, ..unit(instance.service(), inputs) });
    Ok(())
}
