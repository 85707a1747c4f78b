//! Docker's own settings.

use anyhow::Result;

use super::{Builder, Nothing};
use crate::resource::{Content, File, Id, JsonSettings, Owner};

/// With it containers go on while the daemon is away: after a crash, a restart or an upgrade.
const SETTINGS: &str = r#"{ "live-restore": true }"#;
/// A daemon that is part of a swarm does not start with that setting.
const SWARM: &str = "/var/lib/docker/swarm/docker-state.json";

/// Returns what the daemon is started with.
pub(super) fn declare(builder: &mut Builder<'_>) -> Result<Vec<Id>> {
    builder.directory("/etc/docker", 0o755);
    let settings =
        JsonSettings { settings: SETTINGS.to_owned(), unless_exists: vec![SWARM.into()] };
    let file = File {
        path: "/etc/docker/daemon.json".into(),
        content: Content::Json(settings),
        mode: 0o644,
        owner: Owner::root(),
    };
    let drop_ins = "/etc/systemd/system/docker.service.d";
    builder.directory(drop_ins, 0o755);
    let drop_in = builder.file(
        format!("{drop_ins}/hwctl.conf"),
        "systemd/docker.service.conf",
        &Nothing {},
    )?;
    Ok(vec![builder.add(file), drop_in])
}
