//! `hwctl inventory`: the inventory as hwctl reads it, in the form of `ansible-inventory`.

use std::io::{ErrorKind, Write as _};

use anyhow::Result;

use crate::cli::InventoryArgs;
use crate::command::fleet::hosts::sources;
use crate::failure::Exit;
use crate::inventory;
use crate::report::print_error;

/// What is said of an encrypted file that counts.
const CLOSED: &str =
    "this file is encrypted and its variables are missing: no vault password was given";

/// Runs `hwctl inventory`.
pub fn run(args: &InventoryArgs) -> Result<Exit> {
    let inventory = inventory::load(&sources(&args.sources))?;
    for note in inventory.notes() {
        print_error(note);
    }
    for warning in inventory.warnings() {
        print_error(&format!("warning: {warning}"));
    }
    for file in inventory.closed_vaults() {
        print_error(&format!("warning: {file}: {CLOSED}"));
    }
    let text = match (&args.host, &args.graph) {
        (Some(host), _) => inventory::json_text(&inventory.host_json(host)?)?,
        (_, Some(group)) => inventory.graph_text(group)?,
        _ => inventory::json_text(&inventory.list_json(args.limit.as_deref())?)?,
    };
    match writeln!(std::io::stdout(), "{text}") {
        // A reader that went away (`| head`) is no error.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Done),
    }
}
