//! Settings of the kernel that the operator wants: live, and at each boot.

mod vars;

use std::fmt::Write as _;

use anyhow::Result;

use super::build::Builder;
use super::{PartKind, Parts};
use crate::resource::{File, Sysctl};

pub use vars::Settings;

/// After hwctl's own file and most others. `99-sysctl.conf` leads to the operator's `/etc/sysctl.conf`.
const FILE: &str = "/etc/sysctl.d/70-hwctl-own.conf";

pub(super) const KIND: PartKind = PartKind {
    name: "sysctl",
    roles: &[],
    parts: Parts::If(|view| !view.vars.get::<Settings>().0.is_empty()),
    vars: vars::VARIABLES,
    takes: &[],
    driver: None,
    contribute: |_, _| {},
    describe: |_, _, _| {},
    declare: |_, builder| declare(builder),
};

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let Settings(settings) = builder.vars.get();
    let mut text = "# Made by hwctl: changes by hand are put back by the next run.\n".to_owned();
    for (key, value) in settings {
        writeln!(text, "{key} = {value}")?;
    }
    builder.add(File::text(FILE, text));
    for (key, value) in settings {
        // A container has a network of its own, and shares all other settings of its kernel.
        if !builder.facts.container || key.starts_with("net.") || key.starts_with("net/") {
            builder.add(Sysctl { key: key.clone(), value: value.clone() });
        }
    }
    Ok(())
}
