//! `hwctl ssh`: a login on one host of the inventory, with its user, port and key.

use std::os::unix::process::CommandExt as _;

use anyhow::Result;

use crate::cli::SshArgs;
use crate::command::fleet::hosts;
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::report::print_error;

/// Runs `hwctl ssh`: becomes ssh, whose exit code it has.
pub fn run(kinds: Kinds, mut args: SshArgs) -> Result<Exit> {
    args.hosts.host.extend(args.name);
    let works = hosts::find(kinds, &args.hosts, &hosts::nothing(), print_error)?;
    let [work] = works.as_slice() else {
        let names: Vec<_> = works.iter().map(|work| work.target.name.as_str()).collect();
        return Err(Failure::usage("a login is on one host")
            .not_done("no host was contacted")
            .hint(format!("name one of {}", names.join(", ")))
            .into());
    };
    Err(work.target.ssh(&args.command, false)?.exec().into())
}
