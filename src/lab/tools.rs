//! What this machine needs to run lab hosts: Linux, root, and a few programs from apt.

use hwctl_setup::{Error, Tool};

use crate::failure::{Exit, Failure};

/// What a lab host is made and run with.
const TOOLS: [Tool; 9] = [
    Tool::new("mmdebstrap", "mmdebstrap", "makes the root file systems of lab hosts"),
    Tool::new("systemd-nspawn", "systemd-container", "boots lab hosts"),
    Tool::new("ip", "iproute2", "connects them"),
    Tool::new("iptables", "iptables", "lets them reach the network"),
    Tool::new("ssh", "openssh-client", "logs in to them"),
    Tool::new("setsid", "util-linux", "keeps them running"),
    Tool::new("nsenter", "util-linux", "enters them"),
    Tool::new("mount", "mount", "mounts their file systems"),
    Tool::new(DEBIAN_RELEASES, "distro-info-data", "lists the releases"),
];
const DEBIAN_RELEASES: &str = "/usr/share/distro-info/debian.csv";

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

/// Installs what is missing to run lab hosts, and says so.
pub(super) fn ensure(notify: &dyn Fn(&str)) -> Result<(), Failure> {
    hwctl_setup::ensure(&TOOLS, notify).map_err(failure)
}

/// Installs the package with the keys of a distribution's archive, if its keys are not here.
pub(super) fn ensure_keyring(package: &'static str, notify: &dyn Fn(&str)) -> Result<(), Failure> {
    // Both distributions name the file so, though Ubuntu's package leaves `archive` out.
    let file = match package {
        "ubuntu-keyring" => "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
        _ => "/usr/share/keyrings/debian-archive-keyring.gpg",
    };
    let keyring = Tool::new(file, package, "verifies the packages of lab hosts");
    hwctl_setup::ensure(&[keyring], notify).map_err(failure)
}

fn failure(error: Error) -> Failure {
    Failure::new(Exit::Failed, error.what)
        .why(error.why)
        .not_done("no lab host is made")
        .hint(error.hint)
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
