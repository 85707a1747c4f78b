//! The secrets that this host knows, so that no message holds one, whatever a log had to say.

use std::fs;
use std::path::{Path, PathBuf};

use crate::resource::{Host, parse_environment};
use crate::watch::Settings;

/// Where the settings of services are, with the secrets in their environments.
const SETTINGS: &str = "/etc/hwctl";
/// A shorter text may stand in a message for many reasons.
const SHORTEST: usize = 6;
/// What a variable with a secret has in its name.
const NAMES: [&str; 7] = ["KEY", "TOKEN", "SECRET", "PASS", "CRED", "PW", "DSN"];
const MAX_BYTES: u64 = 1 << 20;

/// The secrets, the longest first: one may be a part of another.
pub(super) fn known(host: &Host, settings: &Settings) -> Vec<String> {
    let mut secrets: Vec<String> = settings.secrets().map(|it| it.expose().to_owned()).collect();
    let made = files(&host.state_dir().join("secrets"));
    secrets.extend(made.iter().filter_map(|path| read(path)).map(|text| text.trim().to_owned()));
    for folder in folders(&host.path(Path::new(SETTINGS))) {
        for path in files(&folder) {
            secrets.extend(in_environment(&path));
        }
    }
    secrets.retain(|secret| secret.len() >= SHORTEST);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    secrets
}

/// The values of a file of environment variables that are secrets by their names, or hold one as URLs do.
fn in_environment(path: &Path) -> Vec<String> {
    // Other files do not have the form of these.
    let variables = read(path).and_then(|text| parse_environment(&text).ok()).unwrap_or_default();
    let mut secrets = Vec::new();
    for (name, value) in variables {
        let login = value.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        let password = login.and_then(|(login, _)| login.split_once(':'));
        secrets.extend(password.map(|(_, password)| password.to_owned()));
        if NAMES.iter().any(|part| name.to_uppercase().contains(part)) {
            secrets.push(value);
        }
    }
    secrets
}

fn read(path: &Path) -> Option<String> {
    let is_small = fs::metadata(path).is_ok_and(|found| found.len() <= MAX_BYTES);
    is_small.then(|| fs::read_to_string(path).ok())?
}

fn files(folder: &Path) -> Vec<PathBuf> {
    entries(folder, |kind| kind.is_file())
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder, |kind| kind.is_dir())
}

fn entries(folder: &Path, is_meant: impl Fn(fs::FileType) -> bool) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten();
    let meant = all.filter(|entry| entry.file_type().is_ok_and(&is_meant));
    meant.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_where_the_host_keeps_them() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("var/lib/hwctl/secrets/jwt-key", "made-by-host\n");
        write("var/lib/hwctl/secrets/short", "abc\n");
        write(
            "etc/hwctl/shop/env",
            "# Made by hwctl\nAPI_TOKEN=\"of-the-shop\"\nURL=\"postgres://shop:in-a-url@db/x\"\nMODE=\"production\"\n",
        );

        let found = known(&host, &Settings::silent("vm1"));

        assert_eq!(found, ["made-by-host", "of-the-shop", "in-a-url"]);
    }
}
