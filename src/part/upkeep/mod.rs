//! What the host needs to be looked after: its own commands and the rotation of its logs.

mod host;
mod vars;

use anyhow::Result;
use serde::Serialize;

use super::build::{Builder, Contributions};
use super::{PartKind, Parts};
use crate::resource::Link;
use crate::spec::{Group, PartSpec, Probe, ProbeKind};

pub use vars::{Interval, Logrotate};

#[derive(Serialize)]
struct Rotation {
    keep: u16,
    every: Interval,
}

pub(super) const KIND: PartKind = PartKind {
    name: "host",
    roles: &[],
    parts: Parts::One,
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Upkeep),
    contribute: |_, _| {},
    describe: |_, offered, spec| describe(offered, spec),
    declare,
};

fn describe(offered: &Contributions, spec: &mut PartSpec) {
    // Only a web server has logs in files.
    if offered.routes.is_empty() {
        spec.driver = None;
        return;
    }
    spec.probes = vec![Probe {
        name: "log rotation".to_owned(),
        group: Group::Host,
        kind: ProbeKind::Driver,
    }];
}

fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let hwctl = builder.own_hwctl()?;
    // hwctl looks at the name that it was called by.
    for command in ["check-flask", "restart-flask"] {
        let path = format!("/usr/local/bin/{command}").into();
        builder.add(Link { path, target: hwctl.clone() });
    }
    if offered.routes.is_empty() {
        return Ok(());
    }
    // The package's own file: a second one for the same logs would make logrotate skip both.
    let Logrotate { keep, every } = *builder.vars.get();
    let rotation = Rotation { keep, every };
    builder.file("/etc/logrotate.d/nginx", "logrotate/nginx", &rotation)?;
    Ok(())
}
