//! Containers of the operator's own that are not behind the web server, such as a database or a worker.

mod checks;
mod host;
mod mounts;
mod ports;
mod scalars;
mod vars;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use super::build::{Builder, Claim, Contributions, HostView, OpenTo};
use super::docker::{self, Declaration};
use super::{PartKind, Parts};
use crate::inventory::schema::{Env, EnvValue};
use crate::resource::container::{ENVIRONMENT, LAUNCHER};
use crate::resource::{Container, Directory, Mount, MountSource, Owner, RegistryLogin};
use crate::spec::{LogFormat, PartSpec};

pub(super) use checks::{folders_are_apart, shared_target};
pub(super) use mounts::Volumes;
pub(super) use ports::PortVar;
pub(super) use scalars::{
    CAPABILITY, IMAGE, INSIDE, Memory, NETWORK_NAME, NumericUser, USER, Word,
};
pub use vars::Containers;
pub(super) use vars::{ContainerVars, Registry};

/// The environments with secrets in them. root alone gets there; Docker shows each container its own.
const FOLDER: &str = "/etc/hwctl/containers";

pub(super) const KIND: PartKind = PartKind {
    name: "containers",
    roles: &[],
    parts: Parts::Named(|view| {
        let Containers(containers) = view.vars.get();
        checks::in_order(containers).into_iter().map(str::to_owned).collect()
    }),
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Containers),
    contribute,
    describe: |view, offered, spec| {
        let name = spec.name.clone();
        describe(spec, offered, of(view.vars.get(), &name));
    },
    declare,
};

fn of<'a>(Containers(containers): &'a Containers, name: &str) -> &'a ContainerVars {
    &containers[name]
}

/// A container of the operator's, whichever variable of the inventory declares it.
#[derive(Clone, Copy)]
pub(in crate::part) struct Entry<'a> {
    /// The variable and the name there, such as `containers` and `db`.
    pub(in crate::part) variable: [&'a str; 2],
    /// The name that Docker has for it.
    pub(in crate::part) container: &'a str,
    /// Its settings.
    pub(in crate::part) vars: &'a ContainerVars,
}

fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    let name = offered.part().to_owned();
    let vars = of(view.vars.get(), &name);
    offered.add_claim(Claim::Name(name.clone()), view.place(&["containers", &name]));
    offer(view, offered, Entry { variable: ["containers", &name], container: &name, vars });
}

/// Says what a container has that no other part can have.
pub(in crate::part) fn offer(view: &HostView<'_>, offered: &mut Contributions, entry: Entry<'_>) {
    let Entry { variable: [variable, name], container, vars } = entry;
    let whole = || view.place(&[variable, name]);
    let place = |key: &str| view.place(&[variable, name, key]).or_else(whole);
    let volumes = vars.volumes.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume(volume) => Some((volume.clone(), place("volumes"))),
        MountSource::Path(_) => None,
    });
    docker::contribute(view, offered, (container, whole()), volumes);
    for (number, from) in ports::by_number(&vars.ports) {
        offered.add_port(number, place("ports"));
        for from in from {
            let open = OpenTo { port: number, from: from.clone() };
            offered.open_port(open, place("ports"));
        }
    }
}

fn describe(spec: &mut PartSpec, offered: &Contributions, vars: &ContainerVars) {
    let name = spec.name.clone();
    docker::describe(spec, offered, (&name, &name), LogFormat::Plain);
    spec.probes.push(docker::probe(&name));
    spec.requires.clone_from(&vars.depends);
    for (number, from) in ports::by_number(&vars.ports) {
        match from.is_empty() {
            true => spec.private_ports.push(number),
            false => spec.open_ports.push(number),
        }
    }
}

fn declare(_: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let name = builder.part().to_owned();
    let vars = of(builder.vars.get(), &name);
    let entry = Entry { variable: ["containers", &name], container: &name, vars };
    let container = add_needs(builder, entry, None)?;
    builder.add(container);
    Ok(())
}

/// Declares what a container needs. Returns the container, which is still to be declared.
pub(in crate::part) fn add_needs(
    builder: &mut Builder<'_>,
    entry: Entry<'_>,
    series: Option<String>,
) -> Result<Container> {
    let vars = entry.vars;
    docker::declare(builder)?;
    for mount in &vars.volumes {
        if let MountSource::Path(path) = &mount.source {
            docker::add_folder(builder, path.clone(), owner(vars))?;
        }
    }
    let mut container = container(entry);
    if vars.env.has_secrets() {
        launch(builder, &vars.env, owner(vars), &mut container)?;
    }
    let login = login(builder, vars)?;
    let archive = vars.image_archive.clone();
    docker::add_needs(builder, Declaration { container, archive, login, series })
}

fn container(Entry { variable: [variable, name], container, vars }: Entry<'_>) -> Container {
    Container {
        command: vars.command.clone(),
        user: vars.user.map(NumericUser::text),
        mounts: vars.volumes.clone(),
        tmpfs: vars.tmpfs.clone(),
        ports: ports::published(&vars.ports),
        read_only_root: vars.read_only,
        healthcheck: (!vars.health.is_empty()).then(|| vars.health.clone()),
        env: plain(&vars.env),
        capabilities: vars.capabilities.clone(),
        networks: vars.networks.clone(),
        variable: Some(format!("{variable}.{name}")),
        ..Container::new(container, &vars.image, (vars.memory, vars.pids))
    }
}

/// Who owns what the container reads and writes on the host: its user, or root.
fn owner(vars: &ContainerVars) -> Owner {
    vars.user.map_or_else(Owner::root, NumericUser::owner)
}

/// The variables that everybody may see.
fn plain(env: &Env) -> BTreeMap<String, String> {
    let plain = |(name, value): (&str, &EnvValue)| match value {
        EnvValue::Plain(text) => Some((name.to_owned(), text.clone())),
        EnvValue::Secret { .. } => None,
    };
    env.variables().filter_map(plain).collect()
}

/// Has hwctl start the container's program with variables that Docker does not show.
fn launch(
    builder: &mut Builder<'_>,
    env: &Env,
    owner: Owner,
    container: &mut Container,
) -> Result<()> {
    builder.shared_directory("/etc/hwctl", 0o755)?;
    let owned = Owner::root();
    builder.ensure(Directory::new(FOLDER, 0o700, owned))?;
    let path = PathBuf::from(format!("{FOLDER}/{}.env", container.name));
    let file = builder.environment_file(&path, (0o400, owner), env)?;
    let hwctl = builder.own_hwctl()?;
    for (path, target) in [(hwctl, LAUNCHER), (path, ENVIRONMENT)] {
        container.mounts.push(Mount::read_only(MountSource::Path(path), target));
    }
    container.inputs.push(file);
    container.env.clear();
    container.is_launched = true;
    Ok(())
}

fn login(builder: &Builder<'_>, vars: &ContainerVars) -> Result<Option<RegistryLogin>> {
    let Some(registry) = &vars.registry else { return Ok(None) };
    let password = builder.reveal(&registry.password)?;
    Ok(Some(RegistryLogin { user: registry.user.clone(), password }))
}
