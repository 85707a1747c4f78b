//! What systemd says of units, asked once for all that a plan looks at.

use std::rc::Rc;

use anyhow::{Context, Result};

use crate::resource::host::Host;
use crate::resource::host::systemd::show as show_units;

const PROPERTIES: [&str; 6] = [
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "InvocationID",
    "StateChangeTimestampMonotonic",
    "ActiveEnterTimestampMonotonic",
];

/// What systemd says of all the units that are expected, in one call.
async fn show(host: &Host) -> Result<Rc<str>> {
    let names = host.expected_units();
    host.once("units", async || show_units(host, &names, &PROPERTIES).await).await
}

/// Asks systemd before anything else is read: its answer takes longest.
pub async fn read_units(host: &Host) {
    if !host.expected_units().is_empty() {
        // An error is told to who asks for it next.
        let _ = show(host).await;
    }
}

/// What systemd says of one unit: lines `NAME=VALUE`.
pub(in crate::resource) async fn block(host: &Host, unit: &str) -> Result<String> {
    host.expect_unit(unit);
    let names = host.expected_units();
    let shown = show(host).await?;
    let mut blocks = shown.split("\n\n").zip(&names);
    let found = blocks.find_map(|(block, name)| (name == unit).then(|| block.to_owned()));
    found.with_context(|| format!("systemd says nothing of `{unit}`"))
}

/// The value of one property in such a block; empty where it has none.
#[must_use]
pub fn field<'a>(block: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    block.lines().find_map(value).unwrap_or_default()
}

/// Whether a unit that is not hwctl's runs, or will after the next boot.
pub(in crate::resource) async fn unit_is_on(host: &Host, unit: &str) -> Result<bool> {
    // A unit that nobody expected is asked about by itself.
    let block = match host.expected_units().iter().any(|known| known == unit) {
        true => block(host, unit).await?,
        false => show_units(host, &[unit], &PROPERTIES).await?,
    };
    let runs = ["active", "reloading", "activating"].contains(&field(&block, "ActiveState"));
    Ok(runs || field(&block, "UnitFileState").starts_with("enabled"))
}
