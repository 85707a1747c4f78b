//! What must hold of one app, and between apps.

use super::vars::{App, Apps};
use crate::inventory::schema::{Fields, Reader, Vars};
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

/// The name becomes part of the names of a user (32 characters), units and folders.
pub(super) fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    starts
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
    match (&app.binary, &app.source) {
        (None, None) => refuse("source", format!("`{path}` lacks `binary` or `source`"), ""),
        (Some(_), Some(_)) => {
            refuse("source", format!("`{path}` takes one of `binary` and `source`"), "");
        }
        (None, Some(_)) if app.run.is_empty() => refuse("run", format!("`{path}` lacks `run`"), ""),
        (Some(_), None) if !app.build.is_empty() => {
            refuse("build", format!("`{path}.build` needs `source`"), "a binary is built already");
        }
        _ => {}
    }
    let own = app.env.variables().find(|(name, _)| OWN_VARIABLES.contains(name));
    if let Some((name, _)) = own {
        let message = format!("`{path}.env` cannot set `{name}`, which hwctl sets");
        refuse("env", message, "leave it out");
    }
    is_sound
}

pub(super) fn of_all(Apps(apps): &Apps, vars: &Vars, reader: &mut Reader<'_>) {
    let hosts = apps.iter().filter_map(|(name, app)| Some((name.as_str(), app.host.as_deref()?)));
    own_host::require_apart("apps", hosts, vars, reader);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_users_and_units_and_are_free() {
        for name in ["shop", "shop-2", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in
            ["", "2shop", "Shop", "shop-", "api", "all", "root;", "a_b", "abcdefghijklmnopqrstu"]
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
