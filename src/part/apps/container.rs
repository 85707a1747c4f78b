//! An app that runs in containers of Docker, one for each instance.

use std::path::PathBuf;

use anyhow::Result;

use super::TASK_TIMEOUT_S;
use super::vars::App;
use super::version::{DIGITS, Instance, Version};
use crate::part::build::{Builder, Contributions, HostView};
use crate::part::containers::{self, ContainerVars, Entry, PortVar};
use crate::part::docker;
use crate::resource::{Container, Task};
use crate::spec::{Log, LogFormat, LogSource, PartSpec};

/// The most processes that a container of an app gets.
const PIDS: u32 = 512;

impl App {
    /// The settings of an instance's container.
    fn container(&self, instance: &Instance) -> ContainerVars {
        let port =
            instance.port().map(|port| PortVar { port, to: Some(self.container_port), from: None });
        ContainerVars {
            image: self.image.clone().unwrap_or_default(),
            image_archive: self.image_archive.clone(),
            registry: self.registry.clone(),
            command: self.command.clone(),
            env: self.env.clone(),
            volumes: self.volumes.clone(),
            ports: port.into_iter().collect(),
            networks: self.networks.clone(),
            health: Vec::new(),
            memory: self.memory,
            pids: PIDS,
            user: self.user,
            depends: Vec::new(),
            capabilities: self.capabilities.clone(),
            read_only: self.read_only,
            tmpfs: self.tmpfs.clone(),
        }
    }
}

pub(super) fn contribute(
    view: &HostView<'_>,
    offered: &mut Contributions,
    app: &App,
    version: &Version,
) {
    for (place, instance) in version.instances().enumerate() {
        let mut vars = app.container(&instance);
        if place > 0 {
            // All instances share the volumes.
            vars.volumes.clear();
        }
        let variable = ["apps", version.app()];
        containers::offer(
            view,
            offered,
            Entry { variable, container: &instance.name, vars: &vars },
        );
    }
}

pub(super) fn describe(
    spec: &mut PartSpec,
    offered: &Contributions,
    app: &App,
    version: Option<&Version>,
) {
    let name = spec.name.clone();
    // All versions have such names: what is read at any time is of the one that runs.
    let first = format!("{name}-{}", "?".repeat(DIGITS));
    docker::describe(spec, offered, (&name, &format!("{first}*")), LogFormat::Plain);
    let further = (2..=app.instances).map(|number| format!("{first}-{number}"));
    let log = |container| Log {
        name: name.clone(),
        source: LogSource::Container(container),
        format: LogFormat::Plain,
    };
    spec.logs = std::iter::once(first.clone()).chain(further).map(log).collect();
    let instances = version.into_iter().flat_map(Version::instances);
    spec.probes.extend(instances.map(|instance| docker::probe(&instance.name)));
    for restart in &mut spec.restarts {
        restart.label.clone_from(&name);
    }
}

pub(super) fn declare(builder: &mut Builder<'_>, app: &App, version: &Version) -> Result<()> {
    let variable = ["apps", version.app()];
    let mut before = None;
    for (place, instance) in version.instances().enumerate() {
        let vars = app.container(&instance);
        let entry = Entry { variable, container: &instance.name, vars: &vars };
        let mut container =
            containers::add_needs(builder, entry, Some(format!("apps.{}", version.app())))?;
        container.env.insert("PORT".to_owned(), app.container_port.to_string());
        if !app.before.is_empty() {
            let task = before.get_or_insert_with(|| {
                builder.add(task(version, "before", &app.before, &container))
            });
            container.inputs.push(task.clone());
        }
        if place == 0 && !app.after.is_empty() {
            builder.add_last(task(version, "after", &app.after, &container));
        }
        let health = Some(Box::new(instance.health(app)));
        builder.add(Container { health, hands_over: true, ..container });
    }
    Ok(())
}

/// Lines for the shell that run once for this version, in a container like those of its instances.
fn task(version: &Version, what: &str, lines: &[String], container: &Container) -> Task {
    let name = format!("{}-{what}", version.name());
    let inputs = container.inputs.clone();
    let container = Container { name: name.clone(), ports: Vec::new(), ..container.clone() };
    Task {
        name,
        command: super::shell(lines),
        user: String::new(),
        folder: PathBuf::new(),
        environment: None,
        writable: Vec::new(),
        inputs,
        timeout_s: TASK_TIMEOUT_S,
        state: None,
        stands_alone: false,
        container: Some(Box::new(container)),
    }
}
