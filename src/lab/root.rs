//! Makes a host of a copy of the base: its name, its keys, who may log in, and how to reach it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::base::resolv_conf;
use super::command::run;
use super::state::{HostDir, Record, State, make_dir, write};

/// The user of a fresh Ubuntu VM.
pub(super) const USER: &str = "ubuntu";
const USER_ID: u32 = 1000;
/// The kinds of host key that ssh asks for first.
const HOST_KEYS: [&str; 2] = ["ed25519", "ecdsa"];

/// Writes what is this host's own into its root, and the files that ssh needs on this machine.
pub(super) fn personalise(state: &State, dir: &HostDir, record: &Record) -> Result<()> {
    let root = dir.root();
    let etc = root.join("etc");
    write(&etc.join("hostname"), &format!("{}\n", record.name))?;
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost\n", record.name);
    write(&etc.join("hosts"), &hosts)?;
    write(&etc.join("machine-id"), &format!("{:032x}\n", rand::random::<u128>()))?;
    // May be a link to a stub that does not run here.
    let resolv = etc.join("resolv.conf");
    if resolv.is_symlink() || resolv.exists() {
        fs::remove_file(&resolv).with_context(|| format!("remove `{}`", resolv.display()))?;
    }
    write(&resolv, &resolv_conf())?;
    authorize(state, &root)?;
    write(&dir.known_hosts(), &make_host_keys(&etc.join("ssh"), record)?)?;
    write(&dir.ssh_config(), &ssh_config(state, dir, record))
}

/// Makes the lab's own key pair if there is none yet.
pub(super) fn ensure_key(state: &State) -> Result<()> {
    let key = state.key();
    let _lock = state.lock("key")?;
    if key.with_extension("pub").exists() {
        return Ok(());
    }
    make_dir(key.parent().unwrap_or(&key))?;
    keygen(&key, "ed25519", "hwctl lab")
}

fn authorize(state: &State, root: &Path) -> Result<()> {
    let public = state.key().with_extension("pub");
    let keys = root.join(format!("home/{USER}/.ssh/authorized_keys"));
    fs::copy(&public, &keys).with_context(|| format!("copy `{}`", public.display()))?;
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600))?;
    chown(&keys, Some(USER_ID), Some(USER_ID))
        .with_context(|| format!("give `{}` to `{USER}`", keys.display()))
}

/// Gives the host keys of its own; the lines of a `known_hosts` that says so.
fn make_host_keys(dir: &Path, record: &Record) -> Result<String> {
    let mut known = Vec::new();
    for kind in HOST_KEYS {
        let key = dir.join(format!("ssh_host_{kind}_key"));
        keygen(&key, kind, &format!("root@{}", record.name))?;
        let public = fs::read_to_string(key.with_extension("pub")).context("read the host key")?;
        known.push(format!("{},{} {public}", record.name, record.network.address()));
    }
    Ok(known.concat())
}

fn keygen(path: &Path, kind: &str, comment: &str) -> Result<()> {
    let path = path.to_string_lossy();
    run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", comment, "-f", &path]).map(drop)
}

/// The configuration that ssh on this machine reaches the host with.
pub(super) fn ssh_config(state: &State, dir: &HostDir, record: &Record) -> String {
    format!(
        "# Made by hwctl: ssh -F {config} {name}\n\
         Host {name} {address}\n\
         \x20   HostName {address}\n\
         \x20   User {USER}\n\
         \x20   IdentityFile \"{key}\"\n\
         \x20   IdentitiesOnly yes\n\
         \x20   UserKnownHostsFile \"{known}\"\n\
         \x20   GlobalKnownHostsFile /dev/null\n\
         \x20   StrictHostKeyChecking yes\n\
         \x20   LogLevel ERROR\n",
        config = dir.ssh_config().display(),
        name = record.name,
        address = record.network.address(),
        key = state.key().display(),
        known = dir.known_hosts().display(),
    )
}
