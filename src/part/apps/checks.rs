//! What must hold of one app, and between apps.

use super::vars::{App, Apps, Listen};
use super::version::DIGITS;
use crate::inventory::schema::{Fields, Reader, Vars};
use crate::part::containers::{Containers, folders_are_apart, shared_target};
use crate::part::own_host;

/// Variables that hwctl sets.
const OWN_VARIABLES: [&str; 6] =
    ["PORT", "SOCKET", "LISTEN_FDS", "LISTEN_PID", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"];
/// Names of parts of the stack, which `--only` and `logs` know.
const TAKEN: [&str; 16] = [
    "all",
    "api",
    "files",
    "firewall",
    "flask",
    "flask-app",
    "host",
    "nginx",
    "packages",
    "redis",
    "sites",
    "sysctl",
    "timers",
    "tls",
    "units",
    "users",
];

/// What only an app on the host has.
const OF_NATIVE: [&str; 5] = ["run", "build", "packages", "listen", "socket"];
/// What only an app in a container has.
const OF_CONTAINER: [&str; 10] = [
    "image_archive",
    "registry",
    "command",
    "container_port",
    "volumes",
    "networks",
    "user",
    "capabilities",
    "read_only",
    "tmpfs",
];

/// The name becomes part of the names of a user (32 characters), units and folders.
pub(super) fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    // A name that ends like that of a version would be taken for one.
    let is_digits = |end: &str| end.len() == DIGITS && end.chars().all(|c| c.is_ascii_hexdigit());
    let is_version = name.rsplit_once('-').is_some_and(|(_, end)| is_digits(end));
    starts
        && !is_version
        && name.len() <= 20
        && !name.ends_with('-')
        && name.chars().all(fits)
        && !TAKEN.contains(&name)
}

pub(super) fn of_one(app: &App, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    let path = fields.path();
    let mut is_sound = true;
    let mut refuse = |key: &str, message: String, hint: &str| {
        is_sound = false;
        match fields.optional(key) {
            Some(field) => {
                reader.refuse::<()>(&field, message, hint);
            }
            None => reader.refuse_map(fields, message, hint),
        }
    };
    match (&app.path, &app.host) {
        (None, None) => refuse("path", format!("`{path}` lacks `path` or `host`"), ""),
        (Some(_), Some(_)) => {
            let message = format!("`{path}` takes one of `path` and `host`");
            refuse("host", message, "under a name of its own an app has all paths");
        }
        _ => {}
    }
    let made_of = [
        ("binary", app.binary.is_some()),
        ("source", app.source.is_some()),
        ("image", app.image.is_some()),
    ];
    let given: Vec<_> = made_of.iter().filter(|(_, is_given)| *is_given).collect();
    match given.as_slice() {
        [] => refuse("source", format!("`{path}` lacks `binary`, `source` or `image`"), ""),
        [_] => {}
        [_, (second, _), ..] => {
            let message = format!("`{path}` takes one of `binary`, `source` and `image`");
            refuse(second, message, "");
        }
    }
    let (needed, others) = match app.image {
        Some(_) => ("a program on the host", OF_NATIVE.as_slice()),
        None => ("`image`", OF_CONTAINER.as_slice()),
    };
    for key in others.iter().filter(|key| fields.optional(key).is_some()) {
        refuse(key, format!("`{path}.{key}` needs {needed}"), "leave it out");
    }
    if app.source.is_some() && app.run.is_empty() {
        refuse("run", format!("`{path}` lacks `run`"), "");
    }
    if app.binary.is_some() && !app.build.is_empty() {
        refuse("build", format!("`{path}.build` needs `source`"), "a binary is built already");
    }
    if let Some(target) = shared_target(&app.volumes, &app.tmpfs) {
        let message = format!("`{path}` has two things at `{}`", target.display());
        refuse("volumes", message, "give each volume and each `tmpfs` a path of its own");
    }
    if app.socket.is_some() && app.image.is_none() && app.listen == Listen::Port {
        let message = format!("`{path}.socket` needs `listen: socket` or `listen: activated`");
        refuse("socket", message, "with `listen: port` the app has no socket");
    }
    if app.socket.is_some() && app.instances > 1 {
        let message = format!("`{path}.socket` leads to one instance, and `{path}` has several");
        refuse("socket", message, "leave out `socket` or `instances`");
    }
    if app.redirect_www && app.host.is_none() {
        refuse("redirect_www", format!("`{path}.redirect_www` needs `host`"), "leave it out");
    }
    let own = app.env.variables().find(|(name, _)| OWN_VARIABLES.contains(name));
    if let Some((name, _)) = own {
        let message = format!("`{path}.env` cannot set `{name}`, which hwctl sets");
        refuse("env", message, "leave it out");
    }
    is_sound
}

pub(super) fn of_all(Apps(apps): &Apps, vars: &Vars, reader: &mut Reader<'_>) {
    let containers = vars.find::<Containers>().into_iter().flat_map(|Containers(all)| all);
    let others: Vec<_> = containers
        .map(|(name, other)| (format!("containers.{name}.volumes"), other.volumes.as_slice()))
        .collect();
    let own_volumes =
        apps.iter().map(|(name, app)| (format!("apps.{name}.volumes"), app.volumes.as_slice()));
    folders_are_apart(&others, own_volumes, vars, reader);
    let hosts = apps.iter().flat_map(|(name, app)| {
        let own = app.host.clone().map(|host| (format!("apps.{name}.host"), host));
        let other = app.other_host().map(|host| (format!("apps.{name}.redirect_www"), host));
        own.into_iter().chain(other)
    });
    own_host::require_apart(hosts, vars, reader);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_users_and_units_and_are_free() {
        for name in ["shop", "shop-2", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "2shop",
            "Shop",
            "shop-",
            "api",
            "all",
            "root;",
            "a_b",
            "abcdefghijklmnopqrstu",
            "a-1f9a03c7",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
