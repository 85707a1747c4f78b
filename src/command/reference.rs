//! `hwctl completions` and `hwctl man`: what is made of the command line itself.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::{Exit, Failure};
use crate::inventory::{self, Sources};
use crate::report::print;

/// Set by the script of [`completions`] when the shell asks what could come next.
const VARIABLE: &str = "HWCTL_COMPLETE";

/// Answers a shell that asks what could come next, and ends the process. Returns if none asks.
pub fn answer_shell() {
    CompleteEnv::with_factory(completable).var(VARIABLE).complete();
}

/// Runs `hwctl completions`.
pub fn completions(args: &CompletionsArgs) -> Result<Exit> {
    let shells = Shells::builtins();
    let shell = args.shell.to_string();
    let completer = shells
        .completer(&shell)
        .ok_or_else(|| Failure::usage(format!("there are no completions for `{shell}`")))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "hwctl", "hwctl", "hwctl", &mut script)?;
    // A reader that went away (`| head`) is no error.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
    Ok(Exit::Done)
}

/// The command line with the names of hosts wherever it takes one.
fn completable() -> Command {
    with_host_names(Cli::command())
}

fn with_host_names(command: Command) -> Command {
    let is_host = |arg: &Arg| arg.get_value_names().is_some_and(|names| names == ["HOST"]);
    let complete = |arg: Arg| match is_host(&arg) {
        true => arg.add(ArgValueCandidates::new(host_names)),
        false => arg,
    };
    command.mut_args(complete).mut_subcommands(with_host_names)
}

/// The hosts of the inventory here. One that cannot be read has none to offer.
fn host_names() -> Vec<CompletionCandidate> {
    let inventory = inventory::load(&Sources { path: None, sets: Vec::new() });
    let hosts = inventory.and_then(|inventory| inventory.hosts()).unwrap_or_default();
    hosts.into_iter().map(|host| CompletionCandidate::new(host.name)).collect()
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
