//! Finds out what the host is.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;

use crate::engine::driver::Drivers;
use crate::engine::plan::renewal;
use crate::engine::record::manifest::Manifest;
use crate::resource::{Facts, Host, Version, installed_version, listeners_of, outer_interfaces};

/// Where the ssh session of this engine comes from and arrives at, as `sshd` sets it in
/// `SSH_CONNECTION`: client address and port, own address and port.
pub(in crate::engine) struct SshOrigin {
    pub(in crate::engine) client: IpAddr,
    pub(in crate::engine) own: IpAddr,
    pub(in crate::engine) own_port: u16,
}

impl SshOrigin {
    pub(in crate::engine) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let client = fields.next()?.parse().ok()?;
        let own = fields.nth(1)?.parse().ok()?;
        Some(Self { client, own, own_port: fields.next()?.parse().ok()? })
    }
}

/// Reads all facts.
pub(in crate::engine) async fn gather(
    host: &Host,
    connection: Option<&SshOrigin>,
    drivers: Drivers,
) -> Result<Facts> {
    let read = |path: &str| fs::read_to_string(host.path(Path::new(path))).unwrap_or_default();
    let release = read("/etc/os-release");
    let release = parse_os_release(&release);
    let field = |name: &str| release.get(name).cloned().unwrap_or_default();
    let memory_kib = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or_default();
    let mut ssh_ports: Vec<u16> = connection.map(|known| known.own_port).into_iter().collect();
    ssh_ports.extend(
        listeners_of("sshd").into_iter().filter(|l| !l.address.is_loopback()).map(|l| l.port),
    );
    ssh_ports.sort_unstable();
    ssh_ports.dedup();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Facts {
        hostname: read("/proc/sys/kernel/hostname").trim().to_owned(),
        os: field("ID"),
        os_version: field("VERSION_ID"),
        os_name: field("PRETTY_NAME"),
        arch: std::env::consts::ARCH.to_owned(),
        cpus: u16::try_from(cpus).unwrap_or(u16::MAX),
        memory_kib,
        // systemd notes here what kind of container it found itself in.
        container: host.path(Path::new("/run/systemd/container")).exists(),
        ipv6: !read("/proc/net/if_inet6").trim().is_empty(),
        ssh_ports,
        ssh_client: connection.map(|known| known.client),
        known_by: known_by(host),
        // Without them the rules that need no names hold.
        interfaces: outer_interfaces(host).await.unwrap_or_default(),
        packages: packages(host, drivers).await,
    })
}

/// What the certificates remember. A manifest that cannot be read is reported by the plan.
fn known_by(host: &Host) -> Vec<String> {
    let manifest = Manifest::load_naming(host, "Certificate").unwrap_or_default();
    let mut names = Vec::new();
    for (_, certificate) in renewal::declared(&manifest).unwrap_or_default() {
        let new = certificate.known_by.into_iter().filter(|name| !names.contains(name));
        names.extend(new.collect::<Vec<_>>());
    }
    names
}

fn parse_os_release(text: &str) -> HashMap<&str, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name, value.trim_matches(['"', '\'']).to_owned())).collect()
}

/// The versions of the packages that the drivers ask for.
async fn packages(host: &Host, drivers: Drivers) -> BTreeMap<String, Option<Version>> {
    let mut versions = BTreeMap::new();
    for name in drivers.0.iter().flat_map(|driver| driver.packages()) {
        versions.insert((*name).to_owned(), version(host, name).await);
    }
    versions
}

/// The installed version, else the one that apt would install, else unknown.
async fn version(host: &Host, package: &str) -> Option<Version> {
    if let Ok(Some(version)) = installed_version(host, package) {
        return Version::parse(&version);
    }
    let policy = host.run("apt-cache", &["policy", package]).await.ok()?;
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    Version::parse(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read() {
        let release = parse_os_release("ID=ubuntu\nVERSION_ID=\"24.04\"\n# no\n");
        assert_eq!(release["ID"], "ubuntu");
        assert_eq!(release["VERSION_ID"], "24.04");
    }

    #[test]
    fn the_connection_of_the_session_is_read() {
        let known = SshOrigin::parse("203.0.113.9 50000 10.0.0.2 2222").unwrap();
        assert_eq!((known.client.to_string().as_str(), known.own_port), ("203.0.113.9", 2222));
        assert!(SshOrigin::parse("").is_none());
    }

    proptest::proptest! {
        #[test]
        fn damaged_facts_are_read_or_refused(text in crate::damaged::text(&["ID=debian\nPRETTY_NAME=\"Debian 13\"\n", "192.0.2.1 50000 192.0.2.2 22"])) {
            parse_os_release(&text);
            SshOrigin::parse(&text);
        }
    }
}
