//! What a look through nginx cannot see, since nginx keeps its connections to the API and its logs open:
//! whether a new connection would work, and whether the logs rotate.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};

use crate::resource::{Host, Owner};

/// What nginx connects to for each new connection to the API.
const SOCKET: &str = "/run/gunicorn/flask.sock";
/// Who nginx's workers run as.
const WORKER: &str = "www-data";
/// What names the logs that nginx writes.
const LOGS: &str = "/var/log/nginx";

/// Whether nginx can open new connections to the API. Those that it keeps say nothing of that.
pub(super) fn api_socket(host: &Host) -> Result<String> {
    let Ok(found) = fs::metadata(host.path(Path::new(SOCKET))) else {
        bail!("`{SOCKET}` does not exist");
    };
    if !found.file_type().is_socket() {
        bail!("`{SOCKET}` is not a socket");
    }
    let mode = found.mode() & 0o7777;
    let Some((user, group)) = Owner::new(WORKER, WORKER).resolve(host)? else {
        bail!("there is no user `{WORKER}`");
    };
    let write = match () {
        () if found.uid() == user => 0o200,
        () if found.gid() == group => 0o020,
        () => 0o002,
    };
    match mode & write {
        0 => Err(anyhow!("nginx cannot connect to it: its mode is {mode:04o}")),
        _ => Ok(format!("open to nginx, mode {mode:04o}")),
    }
}

/// Whether the logs of nginx rotate: logrotate skips what two files name.
pub(super) async fn rotation(host: &Host) -> Result<String> {
    let output = host.output("logrotate", &["--debug", "/etc/logrotate.conf"]).await?;
    let told = String::from_utf8_lossy(&output.stderr);
    match rotation_error(&told) {
        None => Ok("nginx's logs rotate".to_owned()),
        Some(error) => match foreign_rotation(host) {
            Some(path) => bail!("{error}; `{}` names the same logs", path.display()),
            None => bail!("{error}"),
        },
    }
}

/// What logrotate says of nginx's logs, if it is an error.
fn rotation_error(told: &str) -> Option<&str> {
    let errors = told.lines().filter_map(|line| line.strip_prefix("error: "));
    errors.into_iter().find(|error| error.starts_with("nginx:") || error.contains(LOGS))
}

/// A file of somebody else that names nginx's logs.
pub(super) fn foreign_rotation(host: &Host) -> Option<PathBuf> {
    let folder = Path::new("/etc/logrotate.d");
    let mut names: Vec<_> = fs::read_dir(host.path(folder)).ok()?.flatten().collect();
    names.sort_by_key(fs::DirEntry::file_name);
    let foreign = names.into_iter().find(|entry| {
        let is_own = entry.file_name() == "nginx";
        let is_file = entry.file_type().is_ok_and(|found| found.is_file());
        !is_own && is_file && fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(LOGS))
    });
    foreign.map(|entry| folder.join(entry.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_about_the_logs_of_nginx_count() {
        let told = "reading config file nginx\n\
                    error: other:3 unknown option 'x' -- ignoring line\n\
                    error: nginx:2 duplicate log entry for /var/log/nginx/access.log\n\
                    error: found error in file nginx, skipping\n";

        assert_eq!(
            rotation_error(told),
            Some("nginx:2 duplicate log entry for /var/log/nginx/access.log")
        );
        assert_eq!(rotation_error("error: other:3 unknown option\n"), None);
    }
}
