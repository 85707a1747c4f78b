//! The distribution's packages.

use super::Builder;
use crate::resource::{Facts, Packages, Version};

/// Packages that one part alone needs.
const OF_PARTS: [(&str, &str); 3] =
    [("ufw", "firewall"), ("docker.io", "redis"), ("docker-cli", "redis")];

pub(super) fn declare(builder: &mut Builder<'_>) {
    // Pulling an image needs the certificates, which docker.io only recommends.
    let mut names = vec!["nginx", "docker.io", "ufw", "logrotate", "ca-certificates"];
    if docker_cli_is_apart(builder.facts) {
        names.push("docker-cli");
    }
    let owned = |names: &[&str]| names.iter().copied().map(ToOwned::to_owned).collect();
    // Docker's own packages, and Microsoft's of the same engine.
    let alternatives = [
        ("docker.io", ["docker-ce", "moby-engine"]),
        ("docker-cli", ["docker-ce-cli", "moby-cli"]),
    ];
    let alternatives = alternatives.into_iter().filter(|(name, _)| names.contains(name));
    builder.add(Packages {
        names: owned(&names),
        spared: Vec::new(),
        alternatives: alternatives.map(|(name, all)| (name.to_owned(), owned(&all))).collect(),
    });
}

/// Installs no package that only parts need that are skipped: it may not go together with what does that
/// work on the host.
pub(super) fn spare(packages: &mut Packages, skipped: &[String]) {
    let spared = OF_PARTS.iter().filter(|(_, part)| skipped.iter().any(|tag| tag == part));
    packages.spared = spared.map(|(package, _)| (*package).to_owned()).collect();
}

/// Since Debian 13 docker.io only recommends the client: hwctl does not need it, people do.
/// Elsewhere it is part of docker.io, and apt knows no package of that name.
fn docker_cli_is_apart(facts: &Facts) -> bool {
    let version = Version::parse(&facts.os_version);
    facts.os == "debian" && version.is_none_or(|version| version >= Version(13, 0, 0))
}
