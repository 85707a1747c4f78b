//! The base of lab hosts: one root file system for each release, made once and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::command::{finish, run, run_locked};
use super::state::{State, make_dir, read_record};
use crate::failure::{Exit, Failure};
use crate::resource::Advise as _;

/// What a fresh Ubuntu server has and hwctl or its tests meet.
const INSTALLED: &str = "systemd,systemd-sysv,dbus,libpam-systemd,libnss-systemd,openssh-server,\
    sudo,ca-certificates,iproute2,iptables,iputils-ping,netcat-openbsd,procps,e2fsprogs,kmod,netbase,curl,cron,less,python3,\
    unattended-upgrades,needrestart,apt-utils";
/// What hosts usually install: fetched into apt's cache, so that this costs no download.
const FETCHED: [&str; 7] =
    ["nginx", "docker.io", "docker-cli", "ufw", "logrotate", "openssl", "apache2-utils"];
/// What apt knows besides these and what they need: packages that tests and benches install.
const KNOWN: [&str; 21] = [
    "acl",
    "attr",
    "busybox-static",
    "docker-registry",
    "gunicorn",
    "haproxy",
    "keepalived",
    "nftables",
    "postgresql",
    "prometheus",
    "prometheus-blackbox-exporter",
    "prometheus-nginx-exporter",
    "prometheus-node-exporter",
    "prometheus-redis-exporter",
    "python3-flask",
    "python3-redis",
    "redis-server",
    "sudo-rs",
    "tcsh",
    "tree",
    "wireguard-tools",
];
/// How long the base of another recipe is kept.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// The end of the name of a base that is being made.
const UNFINISHED: &str = ".unfinished";
const FINISH: &str = include_str!("base.sh");

/// The distributions whose releases mmdebstrap knows, their components, and their keyring.
const DISTRIBUTIONS: [Distribution; 2] = [
    Distribution { name: "debian", components: "main", keyring: "debian-archive-keyring" },
    Distribution { name: "ubuntu", components: "main,universe", keyring: "ubuntu-keyring" },
];

pub(super) struct Distribution {
    name: &'static str,
    components: &'static str,
    /// The package with the keys of the distribution's archive.
    pub(super) keyring: &'static str,
}

/// The distribution that has a release of this name, as the `distro-info-data` package says.
pub(super) fn distribution(release: &str) -> Result<&'static Distribution> {
    DISTRIBUTIONS
        .iter()
        .find(|distribution| {
            let list = format!("/usr/share/distro-info/{}.csv", distribution.name);
            fs::read_to_string(list).is_ok_and(|list| has_series(&list, release))
        })
        .ok_or_else(|| {
            Failure::new(Exit::Usage, format!("no release is called `{release}`"))
                .not_done("no lab host is made")
                .hint("name a Debian or Ubuntu release such as `trixie`, `bookworm` or `noble`")
                .into()
        })
}

/// Whether a list of releases (`version,codename,series,…`) has this one.
fn has_series(list: &str, release: &str) -> bool {
    list.lines().skip(1).any(|line| line.split(',').nth(2) == Some(release))
}

/// The base of a release, made now if it is not there: the folder's name below `State::bases`.
pub(super) fn ensure(state: &State, release: &str, notify: &dyn Fn(&str)) -> Result<String> {
    let distribution = distribution(release)?;
    let aptopts = apt_options()?;
    let name = format!("{release}-{}", recipe(distribution, &aptopts));
    let base = state.bases().join(&name);
    if base.is_dir() {
        return Ok(name);
    }
    let lock_name = format!("base-{release}");
    let lock = state.try_lock(&lock_name)?;
    if lock.is_none() {
        notify(&format!("waits for another process that makes the base of `{release}`"));
    }
    let _lock = lock.map_or_else(|| state.lock(&lock_name), Ok)?;
    if base.is_dir() {
        return Ok(name);
    }
    notify(&format!("makes the base of `{release}`, once: about a minute"));
    let build_lock = format!("build-{release}");
    drop(state.lock(&build_lock)?);
    remove_unused(state, release)?;
    let unfinished = state.bases().join(format!("{name}{UNFINISHED}"));
    make_dir(&state.bases())?;
    let args = arguments(distribution, release, &aptopts, &unfinished);
    build(&state.lock_path(&build_lock)?, &args, &unfinished)
        .with_context(|| format!("make the base of `{release}`"))
        .hint("look at the last lines above; `apt-get update` on this machine has to work too")?;
    fs::rename(&unfinished, &base)
        .with_context(|| format!("rename `{}` into place", unfinished.display()))?;
    Ok(name)
}

/// A digest of all that a base is made from: another recipe makes another base.
fn recipe(distribution: &Distribution, aptopts: &[String]) -> String {
    let mut digest = Sha256::new();
    let fetched = FETCHED.join(",");
    let known = KNOWN.join(",");
    let opts = aptopts.join(",");
    for part in [INSTALLED, &fetched, &known, FINISH, distribution.components, &opts] {
        digest.update(part);
        digest.update([0]);
    }
    let digest = digest.finalize();
    format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

fn build(lock: &Path, args: &[String], root: &Path) -> Result<()> {
    run_locked(lock, "mmdebstrap", args)?;
    fs::write(root.join("etc/resolv.conf"), resolv_conf()).context("write `resolv.conf`")?;
    let root = root.display().to_string();
    let known = KNOWN.join(" ");
    let mut script = vec![root.as_str(), "sh", "-c", FINISH, "base.sh", &known];
    script.extend(FETCHED);
    run_locked(lock, "chroot", &script).map(drop)
}

/// Arguments without a mirror: mmdebstrap knows the archives of a release by its name, those for
/// security and updates too.
fn arguments(
    distribution: &Distribution,
    release: &str,
    aptopts: &[String],
    root: &Path,
) -> Vec<String> {
    let mut args = vec![
        "--mode=root".to_owned(),
        "--variant=minbase".to_owned(),
        format!("--components={}", distribution.components),
        format!("--include={INSTALLED}"),
    ];
    args.extend(aptopts.iter().map(|opt| format!("--aptopt={opt}")));
    args.extend([release.to_owned(), root.display().to_string()]);
    args
}

/// The settings that this machine's apt needs to reach its archives: hosts need them as well.
pub(super) fn apt_options() -> Result<Vec<String>> {
    let dump = run("apt-config", &["dump"])?;
    let wanted = ["Acquire::http::Proxy ", "Acquire::https::Proxy ", "Acquire::Check-"];
    Ok(dump
        .lines()
        .filter(|line| wanted.iter().any(|start| line.starts_with(start)))
        .map(|line| line.trim_end_matches(';').to_owned())
        .collect())
}

/// The name servers of this machine that a host can reach: a stub on loopback is not one.
pub(super) fn resolv_conf() -> String {
    ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| without_loopback(&text))
        .find(|text| text.contains("nameserver"))
        .unwrap_or_default()
}

fn without_loopback(text: &str) -> String {
    let is_loopback = |line: &str| {
        line.strip_prefix("nameserver")
            .is_some_and(|server| server.trim().starts_with("127.") || server.trim() == "::1")
    };
    text.split_inclusive('\n').filter(|line| !is_loopback(line)).collect()
}

/// Removes what an interrupted build left of this release's base, and the bases of other recipes
/// that no host has used for long: another version of hwctl may be about to use a young one.
fn remove_unused(state: &State, release: &str) -> Result<()> {
    let used: Vec<String> =
        state.host_dirs()?.iter().filter_map(read_record).map(|record| record.base).collect();
    let Ok(entries) = fs::read_dir(state.bases()) else { return Ok(()) };
    let is_unused = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_spoilt = name.ends_with(UNFINISHED) || is_older_than(path, KEPT_FOR);
        name.starts_with(&format!("{release}-")) && !used.contains(&name) && is_spoilt
    };
    for path in entries.flatten().map(|entry| entry.path()).filter(is_unused) {
        unmount_below(&path)?;
        fs::remove_dir_all(&path).with_context(|| format!("remove `{}`", path.display()))?;
    }
    Ok(())
}

/// Unmounts what is mounted in a base that was cut off while it was made. A removal would reach into it: into this
/// machine's own `/sys`, for example.
fn unmount_below(root: &Path) -> Result<()> {
    let escaped = |path: &str| path.replace(' ', "\\040");
    let below = format!("{}/", escaped(&root.to_string_lossy()));
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    // What was mounted last may lie in what was mounted before.
    let places: Vec<_> = places.filter(|place| place.starts_with(&below)).collect();
    for place in places.into_iter().rev() {
        finish(Command::new("umount").arg(place.replace("\\040", " ")))?;
    }
    Ok(())
}

fn is_older_than(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|elapsed| elapsed > age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_looked_up_by_its_series() {
        let list = "version,codename,series,created\n13,Trixie,trixie,2023-06-10\n,Sid,sid,1993\n";
        assert!(has_series(list, "trixie"));
        assert!(!has_series(list, "Trixie"));
        assert!(!has_series(list, "series"));
    }

    #[test]
    fn ubuntu_has_docker_in_a_component_that_debian_lacks() {
        let [debian, ubuntu] = &DISTRIBUTIONS;
        let has_universe = |distribution, release| {
            let root = Path::new("/base");
            let args = arguments(distribution, release, &[], root);
            assert_eq!(args[args.len() - 2..], [release, "/base"]);
            args.iter().any(|arg| arg.contains("universe"))
        };
        assert!(has_universe(ubuntu, "noble"));
        assert!(!has_universe(debian, "trixie"));
    }

    #[test]
    fn name_servers_on_loopback_are_left_out() {
        let text = "search example\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n";
        assert_eq!(without_loopback(text), "search example\nnameserver 192.0.2.53\n");
    }
}
