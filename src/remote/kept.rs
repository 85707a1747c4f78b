//! Connections that stay for a while after their command (`--persist`), so that the next one needs no
//! login.
//!
//! Each is an ssh master whose control socket lies in a private folder, under a name that stands
//! for how the host is reached. ssh itself ends it when nobody has used it for its time.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use openssh::Session;
use tempfile::TempDir;

use super::ssh::Target;
use crate::resource::{Advise as _, sha256};

/// Where ssh's control socket is in the folder of a connection.
const SOCKET: &str = "master";
/// What the names of folders begin with whose connections are of one command, or are being made.
pub(super) const OF_ONE: &str = ".ssh-connection";
/// For so long a login may go on, for example while somebody looks for a key.
const LOGIN: Duration = Duration::from_hours(1);

/// The operator's own folder for what hwctl remembers; made if it is not there.
pub fn state_folder() -> Option<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home)?;
    let folder = state.join("hwctl");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder)
}

/// The folder of kept connections. Who reaches a socket in it is logged in to that host.
fn folder() -> Result<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(|base| PathBuf::from(base).join("hwctl"));
    let folder = runtime.or_else(state_folder).context("find a folder for connections")?;
    let shown = folder.display();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.with_context(|| format!("make the folder `{shown}`"))?;
    let found = fs::symlink_metadata(&folder).with_context(|| format!("look at `{shown}`"))?;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !is_ours || found.mode() & 0o077 != 0 {
        return Err(anyhow!("`{shown}` is not a folder that only you can enter"))
            .hint(format!("`chmod 700 {shown}`, or run without `--persist`"));
    }
    Ok(folder)
}

/// The place of the connection to a target.
pub(super) fn place(target: &Target) -> Result<PathBuf> {
    let Target { address, user, port, identity, known_hosts, ssh_arguments, .. } = target;
    let way = format!("{:?}", (address, user, port, identity, known_hosts, ssh_arguments));
    Ok(folder()?.join(&sha256(way.as_bytes())[..16]))
}

/// The connection that is kept at `place`, if ssh still has it.
pub(super) async fn find(place: &Path) -> Option<Session> {
    let session = Session::resume_mux(place.join(SOCKET).into(), None);
    session.check().await.is_ok().then_some(session)
}

/// The folder in which a connection for `place` is made. What connections that are over have left
/// in it is removed.
pub(super) fn folder_of(place: &Path) -> &Path {
    let folder = place.parent().unwrap_or(place);
    sweep(folder);
    folder
}

/// Keeps a new connection at `place`. Returns it, and whether it could be kept.
pub(super) fn keep(made: TempDir, place: &Path) -> (Session, bool) {
    // A socket is reached by any name of it. Should another command have been faster, its
    // connection stays and this one ends with this command.
    if fs::rename(made.path(), place).is_err() {
        return (Session::new_native_mux(made), false);
    }
    let _ = made.keep();
    (Session::resume_mux(place.join(SOCKET).into(), None), true)
}

/// Removes what connections that are over have left: those that were kept, and those of commands that were killed.
pub(super) fn sweep(folder: &Path) {
    for found in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = found.file_name().to_string_lossy().into_owned();
        let is_over = match name.starts_with(OF_ONE) {
            // A login that is under way has no socket yet.
            true => is_older(&found.path(), LOGIN),
            false => name.chars().all(|c| c.is_ascii_hexdigit()),
        };
        if is_over && UnixStream::connect(found.path().join(SOCKET)).is_err() {
            let _ = fs::remove_dir_all(found.path());
        }
    }
}

/// Whether a file was changed last before so much time.
fn is_older(path: &Path, age: Duration) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|elapsed| elapsed > age))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_killed_commands_have_left_goes_and_what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, is_old: bool| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            let listener =
                name.ends_with("open").then(|| UnixListener::bind(path.join(SOCKET)).unwrap());
            let changed = SystemTime::now() - if is_old { LOGIN * 2 } else { Duration::ZERO };
            fs::File::open(&path).unwrap().set_modified(changed).unwrap();
            listener
        };
        let _in_use = [
            make(".ssh-connection-killed", true),
            make(".ssh-connection-open", true),
            make(".ssh-connection-new", false),
            make("0123abcd", false),
            make("digests", true),
        ];

        sweep(folder.path());

        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|found| found.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".ssh-connection-new", ".ssh-connection-open", "digests"]);
    }
}
