//! One version of an app: its name, which changes with all that the version is made of, and its instances, each with the
//! place where it lies and listens.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::vars::{App, Apps, Listen};
use super::{ENVIRONMENTS, FOLDER};
use crate::inventory::Vars;
use crate::part::build::{folder, image_in};
use crate::resource::{Health, HealthAddress, sha256};

/// The ports of the loopback that instances listen on. Below those that Linux gives to connections.
const FIRST_PORT: u16 = 21_000;
const PORTS: u16 = 10_000;
/// Digits of the digest that tell versions apart.
pub(super) const DIGITS: usize = 8;

/// One version of an app.
pub(super) struct Version {
    app: String,
    digits: String,
    listen: Listen,
    instances: u8,
}

/// One of the processes or containers of a version that share its requests.
pub(super) struct Instance {
    /// The name of its unit, without suffix, or of its container.
    pub(super) name: String,
    listen: Listen,
}

impl Version {
    /// The version of the app that the variables describe. Reads the local files.
    pub(super) fn of(name: &str, vars: &Vars, inventory: &Path) -> Result<Self> {
        let app = &vars.get::<Apps>().0[name];
        let mut made_of = String::new();
        let mut add = |key: &str, value: &str| {
            made_of.extend([key, "\0", value, "\0"]);
        };
        if let Some(binary) = &app.binary {
            add("binary", &folder::program(&inventory.join(binary))?.key);
        }
        if let Some(source) = &app.source {
            for file in folder::files(&inventory.join(source))? {
                add(&file.name, &folder::digest(&file.path)?);
                add("executable", &file.is_executable.to_string());
            }
        }
        // Secrets are left out: a name that depends on them would help to guess them.
        let App { run, build, before, listen, env, memory, packages, .. } = app;
        add("run", &format!("{run:?} {build:?} {before:?} {listen:?} {memory} {packages:?}"));
        add("env", &format!("{env:?}"));
        if let Some(image) = &app.image {
            let App { command, container_port, volumes, networks, user, .. } = app;
            let App { capabilities, read_only, tmpfs, .. } = app;
            add("image", image);
            add("container", &format!("{command:?} {container_port} {volumes:?} {networks:?}"));
            if let Some(archive) = &app.image_archive {
                let archived = image_in(&inventory.join(archive), image)?.map(|found| found.digest);
                add("archive", archived.as_deref().unwrap_or_default());
            }
            add("rights", &format!("{user:?} {capabilities:?} {read_only} {tmpfs:?}"));
        }
        let digits = sha256(made_of.as_bytes())[..DIGITS].to_owned();
        Ok(Self { app: name.to_owned(), digits, listen: app.listen, instances: app.instances })
    }

    pub(super) fn app(&self) -> &str {
        &self.app
    }

    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.app, self.digits)
    }

    pub(super) fn user(&self) -> String {
        user(&self.app)
    }

    /// Where the app keeps what lasts. All versions share it.
    pub(super) fn state_folder(&self) -> PathBuf {
        Path::new("/var/lib").join(self.user())
    }

    pub(super) fn folder(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.app).join(&self.digits)
    }

    pub(super) fn binary(&self) -> PathBuf {
        self.folder().join(&self.app)
    }

    pub(super) fn environment(&self) -> PathBuf {
        Path::new(ENVIRONMENTS).join(format!("{}.env", self.name()))
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = Instance> {
        (1..=self.instances).map(|number| Instance {
            name: match number {
                1 => self.name(),
                _ => format!("{}-{number}", self.name()),
            },
            listen: self.listen,
        })
    }

    /// The variables that hwctl sets for an instance, as systemd's `Environment=` has them.
    pub(super) fn variables(&self, instance: &Instance) -> Vec<String> {
        let of_listener = match self.listen {
            Listen::Port => instance.port().map(|port| format!("PORT={port}")),
            Listen::Socket => Some(format!("SOCKET={}", instance.socket().display())),
            Listen::Activated => None,
        };
        of_listener.into_iter().chain([format!("HOME={}", self.state_folder().display())]).collect()
    }

    /// The program of an instance and its arguments, filled in.
    pub(super) fn command(&self, app: &App, instance: &Instance) -> Vec<String> {
        let (folder, binary) = (self.folder(), self.binary());
        let port = instance.port().map(|port| port.to_string()).unwrap_or_default();
        let filled = |word: &String| {
            word.replace("{port}", &port)
                .replace("{socket}", &instance.socket().display().to_string())
                .replace("{folder}", &folder.display().to_string())
                .replace("{binary}", &binary.display().to_string())
        };
        let mut words: Vec<_> = app.run.iter().map(filled).collect();
        match words.first_mut() {
            None => words.push(binary.display().to_string()),
            // systemd takes a path only as a whole.
            Some(program) if program.contains('/') && !program.starts_with('/') => {
                *program = folder.join(&*program).display().to_string();
            }
            Some(_) => {}
        }
        words
    }
}

/// The user of an app on the host.
pub(super) fn user(app: &str) -> String {
    format!("app-{app}")
}

/// The units of all versions of an app, as a pattern of systemd's. What is read at any time is of the one that runs.
pub(super) fn services(app: &str) -> String {
    format!("{app}-{}*.service", "[0-9a-f]".repeat(DIGITS))
}

impl Instance {
    pub(super) fn service(&self) -> String {
        format!("{}.service", self.name)
    }

    pub(super) fn socket(&self) -> PathBuf {
        match self.listen {
            Listen::Activated => PathBuf::from(format!("/run/{}.sock", self.name)),
            Listen::Port | Listen::Socket => Path::new("/run").join(&self.name).join("app.sock"),
        }
    }

    /// Another port for each version, so that two of them run side by side.
    pub(super) fn port(&self) -> Option<u16> {
        let digest = sha256(self.name.as_bytes());
        let number = u16::from_str_radix(&digest[..4], 16).unwrap_or_default();
        (self.listen == Listen::Port).then_some(FIRST_PORT + number % PORTS)
    }

    /// What it answers once it is ready.
    pub(super) fn health(&self, app: &App) -> Health {
        let address =
            self.port().map_or_else(|| HealthAddress::Socket(self.socket()), HealthAddress::Port);
        Health { address, path: app.health(), timeout_s: app.start_timeout }
    }

    /// Where it listens, in nginx's terms.
    pub(super) fn server(&self) -> String {
        match self.port() {
            Some(port) => format!("127.0.0.1:{port}"),
            None => format!("unix:{}", self.socket().display()),
        }
    }
}
