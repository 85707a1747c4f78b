//! The whole program: parses the command line, runs the verb, prints the error, sets the exit code.

use std::process::ExitCode;

use crate::cli::{Cli, Verb};
use crate::command;
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::report::{Style, Volume, failure_text, print_error};
use clap::Parser as _;

/// Runs hwctl with these kinds of parts.
#[must_use]
pub fn run(kinds: Kinds) -> ExitCode {
    let result = match command::on_host::called_by_name() {
        Some(command) => command::on_host::run(kinds, command),
        None if command::launch::is_called() => command::launch::run(),
        None => verb(kinds),
    };
    let exit = result.unwrap_or_else(|error| {
        let failure = Failure::from(error);
        let color = console::colors_enabled_stderr();
        let width = crate::report::width(&console::Term::stderr());
        let style =
            Style { color, live: false, width, diff: false, check: false, volume: Volume::Normal };
        print_error(&failure_text(style, "", &failure));
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn verb(kinds: Kinds) -> anyhow::Result<Exit> {
    command::reference::answer_shell(kinds);
    if let Some(exit) = command::help::answer(std::env::args().skip(1)) {
        return Ok(exit);
    }
    let Cli { verb, output } = Cli::parse();
    command::set_output(output);
    match verb {
        Verb::Provision(args) => command::provision::run(kinds, args),
        Verb::Plan(args) => command::provision::plan(kinds, args),
        Verb::Status(args) => command::status::run(kinds, args),
        Verb::Logs(args) => command::logs::run(kinds, args),
        Verb::Verify(args) => command::verify::run(kinds, args),
        Verb::Exec(args) => command::exec::run(kinds, args),
        Verb::Ssh(args) => command::ssh::run(kinds, args),
        Verb::Redis(args) => command::redis::run(kinds, args),
        Verb::RedisCli(args) => command::redis::on_host(&args),
        Verb::Backup(args) => command::backup::backup(kinds, args),
        Verb::Restore(args) => command::backup::restore(kinds, args),
        Verb::Restart(args) => command::restart::run(kinds, args),
        Verb::History(args) => command::history::run(kinds, args),
        Verb::Rollback(args) => command::rollback::run(kinds, args),
        Verb::Destroy(args) => command::destroy::run(kinds, args),
        Verb::Secret(args) => command::secret::run(kinds, args),
        Verb::Cert(args) => command::cert::run(kinds, args),
        Verb::Deploy(args) => command::deploy::run(kinds, args),
        Verb::Doctor(args) => command::doctor::run(kinds, args),
        Verb::Facts(args) => command::facts::run(kinds, args),
        Verb::Render(args) => command::render::run(kinds, args),
        Verb::Inventory(args) => command::inventory::run(&args),
        Verb::Init(args) => command::init::run(kinds, &args),
        Verb::Completions(args) => command::reference::completions(&args),
        Verb::Man(args) => command::reference::man(&args),
        Verb::Engine { connection } => command::engine::run(kinds, connection.as_deref()),
        Verb::Look => command::engine::check_second_instance(),
        Verb::Confirm { run } => command::on_host::confirm(&run),
        Verb::Revert { run } => command::on_host::revert(&run),
        Verb::Lab(args) => command::lab::run(args),
    }
}
