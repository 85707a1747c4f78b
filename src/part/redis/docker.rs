//! Docker: its packages and its own settings.

use anyhow::Result;

use super::super::build::{Builder, Nothing, Package};
use crate::resource::{Content, Facts, File, Id, JsonSettings, Owner, Version};

/// With it containers go on while the daemon is away: after a crash, a restart or an upgrade.
const SETTINGS: &str = r#"{ "live-restore": true }"#;
/// A daemon that is part of a swarm does not start with that setting.
const SWARM: &str = "/var/lib/docker/swarm/docker-state.json";

/// Returns what the daemon is started with.
pub(super) fn declare(builder: &mut Builder<'_>) -> Result<Vec<Id>> {
    builder.directory("/etc/docker", 0o755);
    let settings =
        JsonSettings { settings: SETTINGS.to_owned(), unless_exists: vec![SWARM.into()] };
    let file = File::new("/etc/docker/daemon.json", Content::Json(settings), 0o644, Owner::root());
    let drop_ins = "/etc/systemd/system/docker.service.d";
    builder.directory(drop_ins, 0o755);
    let drop_in = builder.file(
        format!("{drop_ins}/hwctl.conf"),
        "systemd/docker.service.conf",
        &Nothing {},
    )?;
    Ok(vec![builder.add(file), drop_in])
}

/// The distribution's Docker. Docker's own packages, and Microsoft's of the same engine, do as well.
pub(super) fn packages(facts: &Facts) -> Vec<Package> {
    let engine =
        Package { name: "docker.io".to_owned(), alternatives: &["docker-ce", "moby-engine"] };
    let client =
        Package { name: "docker-cli".to_owned(), alternatives: &["docker-ce-cli", "moby-cli"] };
    match client_is_apart(facts) {
        true => vec![engine, client],
        false => vec![engine],
    }
}

/// Since Debian 13 docker.io only recommends the client: hwctl does not need it, people do.
/// Elsewhere it is part of docker.io, and apt knows no package of that name.
fn client_is_apart(facts: &Facts) -> bool {
    let version = Version::parse(&facts.os_version);
    facts.os == "debian" && version.is_none_or(|version| version >= Version(13, 0, 0))
}
