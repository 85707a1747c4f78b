//! `hwctl inventory`: the inventory as hwctl reads it, in the form of `ansible-inventory`.

use std::io::{ErrorKind, Write as _};

use anyhow::Result;
use serde_json::Value as Json;

use crate::cli::InventoryArgs;
use crate::command::fleet::hosts::sources;
use crate::failure::Exit;
use crate::inventory;
use crate::report::print_error;

/// Runs `hwctl inventory`.
pub fn run(args: &InventoryArgs) -> Result<Exit> {
    let inventory = inventory::load(&sources(&args.sources))?;
    for warning in inventory.warnings() {
        print_error(&format!("warning: {warning}"));
    }
    let text = match (&args.host, &args.graph) {
        (Some(host), _) => json(&inventory.host_json(host)?)?,
        (_, Some(group)) => inventory.graph_text(group)?,
        _ => json(&inventory.list_json(args.limit.as_deref())?)?,
    };
    match writeln!(std::io::stdout(), "{text}") {
        // A reader that went away (`| head`) is no error.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Done),
    }
}

/// The text of JSON, indented as Ansible indents it.
fn json(value: &Json) -> Result<String> {
    use serde::Serialize as _;

    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))?;
    Ok(String::from_utf8(text)?)
}
