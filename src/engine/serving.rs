//! What a look through nginx cannot see, since nginx keeps its connections to the API open: whether a new
//! connection would work.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use crate::resource::{Host, Owner};

/// What nginx connects to for each new connection to the API.
const SOCKET: &str = "/run/gunicorn/flask.sock";
/// Who nginx's workers run as.
const WORKER: &str = "www-data";

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
