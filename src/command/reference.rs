//! `hwctl completions` and `hwctl man`: what is made of the command line itself.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::command::fleet::names;
use crate::command::help;
use crate::command::logs;
use crate::command::restart;
use crate::failure::{Exit, Failure};
use crate::inventory::{self, Inventory, Programs, Sources};
use crate::part::{HostView, Kinds};
use crate::report::print;
use crate::resource::Facts;
use crate::spec::PartSpec;

/// Set by the script of [`completions`] when the shell asks what could come next.
const VARIABLE: &str = "HWCTL_COMPLETE";

/// Answers a shell that asks what could come next, and ends the process. Returns if none asks.
pub fn answer_shell(kinds: Kinds) {
    let command = || {
        let command = Cli::command().disable_help_subcommand(true);
        completable(command, kinds).subcommand(help_command())
    };
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
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

/// The command line with the names that the inventory gives a meaning, wherever it takes one.
fn completable(command: Command, kinds: Kinds) -> Command {
    let complete = |arg: Arg| {
        if arg.get_id() == "named" || arg.get_id() == "limit" {
            return arg.add(ArgValueCompleter::new(patterns));
        }
        let name = arg.get_value_names().and_then(|names| names.first());
        let candidates = match name.map(clap::builder::Str::as_str) {
            Some("HOST") => ArgValueCandidates::new(host_names),
            Some("PART") => ArgValueCandidates::new(move || part_names(kinds)),
            Some("LOG") => {
                ArgValueCandidates::new(move || with_all(logs::ALL, names::of_logs(parts(kinds))))
            }
            Some("SERVICE") => ArgValueCandidates::new(move || {
                with_all(restart::ALL, names::of_restarts(parts(kinds)))
            }),
            Some("APP") => {
                ArgValueCandidates::new(move || candidates(names::of_apps(parts(kinds))))
            }
            _ => return arg,
        };
        arg.add(candidates)
    };
    command.mut_args(complete).mut_subcommands(|verb| completable(verb, kinds))
}

/// `hwctl help`, which clap has complete the verbs alone.
fn help_command() -> Command {
    let topics = || {
        let command = Cli::command();
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        let verbs: Vec<_> = verbs.map(|verb| verb.get_name().to_owned()).collect();
        candidates(names::each_once(verbs.into_iter().chain(help::topics())))
    };
    let topic = Arg::new("topic").value_name("TOPIC").add(ArgValueCandidates::new(topics));
    Command::new("help").about("Print a page to read, or the help of a verb").arg(topic)
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn with_all(all: &str, names: Vec<String>) -> Vec<CompletionCandidate> {
    candidates(names::each_once(names.into_iter().chain([all.to_owned()])))
}

/// Hosts and groups for the last part of a pattern, such as `web1,!w`.
fn patterns(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let start = current.rfind([',', ':', '!', '&']).map_or(0, |at| at + 1);
    let (before, part) = current.split_at(start);
    let inventory = readable();
    let hosts = inventory.and_then(|inventory| inventory.hosts()).unwrap_or_default();
    let groups = hosts.iter().flat_map(|host| host.groups.clone()).collect::<BTreeSet<_>>();
    let names = hosts.iter().map(|host| host.name.clone()).chain(groups);
    let fitting = names.filter(|name| name.starts_with(part));
    candidates(names::each_once(fitting).into_iter().map(|name| format!("{before}{name}")))
}

/// The inventory here, as far as it can be read without starting a program.
fn readable() -> Result<Inventory, Failure> {
    inventory::load(&Sources { programs: Programs::Skip, ..Sources::default() })
}

/// The hosts of the inventory here. One that cannot be read has none to offer.
fn host_names() -> Vec<CompletionCandidate> {
    let inventory = readable();
    let hosts = inventory.and_then(|inventory| inventory.hosts()).unwrap_or_default();
    candidates(hosts.into_iter().map(|host| host.name))
}

fn part_names(kinds: Kinds) -> Vec<CompletionCandidate> {
    let kinds_names = kinds.names().map(str::to_owned);
    candidates(names::each_once(kinds_names.chain(parts(kinds).into_iter().map(|part| part.name))))
}

/// The parts of all hosts of the inventory here, or of a host that no inventory names. An inventory that cannot be
/// read has none to offer.
fn parts(kinds: Kinds) -> Vec<PartSpec> {
    let Ok(inventory) = readable() else { return Vec::new() };
    let listed = inventory.hosts().unwrap_or_default();
    let hosts = match listed.is_empty() {
        true => inventory.select(&["localhost".to_owned()], None).unwrap_or_default(),
        false => listed,
    };
    let (facts, fleet) = (Facts::unknown(), kinds.fleet(&inventory).unwrap_or_default());
    let known = hosts.iter().filter_map(|host| Some((host, kinds.vars(&inventory, host).ok()?.0)));
    known
        .flat_map(|(host, vars)| {
            let (entry, folder) = (Some(host), inventory.folder());
            let view = HostView { vars: &vars, facts: &facts, fleet: &fleet, entry, folder };
            kinds.parts(&view)
        })
        .collect()
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
