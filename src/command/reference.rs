//! `hwctl completions` and `hwctl man`: what is made of the command line itself.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::Exit;
use crate::report::print;

/// Runs `hwctl completions`.
pub fn completions(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hwctl", &mut script);
    // A reader that went away (`| head`) is no error.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
    Ok(Exit::Done)
}

/// Runs `hwctl man`.
pub fn man(args: &ManArgs) -> Result<Exit> {
    let folder: &Path = &args.folder;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make `{}`", folder.display()))?;
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("cannot write to `{}`", folder.display()))?;
    print(&format!("man pages are in {}", folder.display()));
    Ok(Exit::Done)
}
