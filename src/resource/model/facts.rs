//! What the host is: read once at the start of a session and told in the hello.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What the host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Facts {
    /// The host's own name.
    pub hostname: String,
    /// `ID` of os-release, such as `ubuntu`.
    pub os: String,
    /// `VERSION_ID` of os-release, such as `24.04`; empty on a rolling release.
    pub os_version: String,
    /// `PRETTY_NAME` of os-release.
    pub os_name: String,
    /// Machine architecture as Rust names it, such as `x86_64`.
    pub arch: String,
    /// CPUs available to the host.
    pub cpus: u16,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Whether it is a container, which cannot set the kernel's global settings.
    pub container: bool,
    /// Whether the kernel has IPv6.
    pub ipv6: bool,
    /// TCP ports that sshd or its socket listens on, and the one this session came in by.
    pub ssh_ports: Vec<u16>,
    /// Where this session comes from, as the host sees it.
    #[serde(with = "super::as_text")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub ssh_client: Option<IpAddr>,
    /// Names and addresses by which operators have reached the host so far, oldest first.
    #[serde(default)]
    pub known_by: Vec<String>,
    /// Network interfaces by which others reach the host. The bridges of Docker's networks are none.
    pub interfaces: Vec<String>,
    /// Packages that the parts ask for, by name: the installed version or, before it is installed, the one
    /// apt would install. None where neither is known.
    #[serde(flatten)]
    pub packages: BTreeMap<String, Option<Version>>,
}

impl Facts {
    /// The version of a package.
    #[must_use]
    pub fn version_of(&self, package: &str) -> Option<Version> {
        self.packages.get(package).copied().flatten()
    }

    /// Before the hello: nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            hostname: String::new(),
            os: String::new(),
            os_version: String::new(),
            os_name: String::new(),
            arch: String::new(),
            cpus: 1,
            memory_kib: 0,
            container: false,
            ipv6: false,
            ssh_ports: Vec::new(),
            ssh_client: None,
            known_by: Vec::new(),
            interfaces: Vec::new(),
            packages: BTreeMap::new(),
        }
    }
}

/// A dotted version, compared number by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Version(pub u16, pub u16, pub u16);

impl Version {
    /// Reads the leading numbers of a package's version: `1.24.0-2ubuntu7` is 1.24.0. An epoch
    /// (`1:`) is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split_once(':').map_or(text, |(_, rest)| rest);
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(str::parse);
        let major = numbers.next()?.ok()?;
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
        Some(Self(major, next(), next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_packages_are_read_and_ordered() {
        assert_eq!(Version::parse("1.24.0-2ubuntu7.4"), Some(Version(1, 24, 0)));
        assert_eq!(Version::parse("1:1.26.3"), Some(Version(1, 26, 3)));
        assert_eq!(Version::parse("1.22"), Some(Version(1, 22, 0)));
        assert_eq!(Version::parse("none"), None);
        assert!(Version(1, 24, 0) < Version(1, 25, 1));
    }

    proptest::proptest! {
        #[test]
        fn damaged_versions_are_read_or_refused(text in crate::damaged::text(&["1:1.26.3-3+deb13u1", "1.24.0"])) {
            let _ = Version::parse(&text);
        }
    }
}
