//! What this machine needs to run lab hosts: Linux, root, and a few programs from apt.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::command::{finish, is_installed};
use crate::failure::{Exit, Failure};
use crate::resource::Advise as _;

/// Programs and the packages that have them.
const TOOLS: [(&str, &str); 8] = [
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("ssh", "openssh-client"),
    ("setsid", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
];

/// Refuses, with the reason, where no lab can run. The values are those of this machine.
pub(super) fn check(os: &str, is_root: bool) -> Result<(), Failure> {
    let refused = |what: &str| Failure::new(Exit::Failed, what).not_done("no lab host is touched");
    if os != "linux" {
        return Err(refused("lab hosts run on Linux only")
            .why(format!("this machine runs `{os}`; a lab host shares the kernel of its machine"))
            .hint("run `hwctl lab` on a Linux machine, or provision a real VM with `--host`"));
    }
    if !is_root {
        return Err(refused("lab hosts need root on this machine")
            .why("they need network namespaces, mounts and firewall rules of their own")
            .hint("run the same command with `sudo`"));
    }
    Ok(())
}

/// Installs what is missing to run lab hosts, and tells so.
pub(super) fn ensure(tell: &dyn Fn(&str)) -> Result<()> {
    let mut missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| !is_installed(tool)).map(|(_, package)| *package).collect();
    if !Path::new("/usr/share/distro-info/debian.csv").exists() {
        missing.push("distro-info-data");
    }
    install(&missing, tell)
}

/// Installs the package with the keys of a distribution's archive, if its keys are not here.
pub(super) fn ensure_keyring(package: &str, tell: &dyn Fn(&str)) -> Result<()> {
    // Both distributions name the file so, though Ubuntu's package leaves `archive` out.
    let file = match package {
        "ubuntu-keyring" => "ubuntu-archive-keyring.gpg",
        _ => "debian-archive-keyring.gpg",
    };
    if Path::new("/usr/share/keyrings").join(file).exists() {
        return Ok(());
    }
    install(&[package], tell)
}

/// Installs packages on this machine through apt.
fn install(packages: &[&str], tell: &dyn Fn(&str)) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !is_installed("apt-get") {
        return Err(Failure::new(Exit::Failed, format!("this machine lacks `{names}`"))
            .why("and has no apt to install it with")
            .not_done("no lab host is made")
            .hint("install them with the package manager of this machine")
            .into());
    }
    tell(&format!("installs `{names}` on this machine"));
    let apt = |args: &[&str]| {
        let mut command = std::process::Command::new("apt-get");
        finish(command.args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    apt(&["update", "--quiet"])
        .and_then(|_| apt(&install))
        .with_context(|| format!("install `{names}` on this machine"))
        .hint(format!("run `apt-get install {names}` to see what stops it"))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_root_the_reason_and_the_way_out_are_told() {
        let failure = check("linux", false).unwrap_err();
        assert_eq!(failure.what, "lab hosts need root on this machine");
        assert!(failure.hint.unwrap().contains("sudo"));
        assert!(check("linux", true).is_ok());
    }

    #[test]
    fn another_system_is_named() {
        let failure = check("macos", true).unwrap_err();
        assert!(failure.why[0].contains("`macos`"), "{failure:?}");
    }
}
