//! Parses the command line, runs the verb, prints the error, sets the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use hwctl::cli::{Cli, Verb};
use hwctl::command;
use hwctl::failure::{Exit, Failure};
use hwctl::report::{Style, failure_text, print_error};

fn main() -> ExitCode {
    let result = match command::on_host::called_by_name() {
        Some(command) => command::on_host::run(command),
        None => verb(),
    };
    let exit = result.unwrap_or_else(|error| {
        let failure = Failure::from(error);
        let color = console::colors_enabled_stderr();
        let width = hwctl::report::width(&console::Term::stderr());
        let style = Style { color, live: false, width, diff: false, check: false };
        print_error(&failure_text(style, "", &failure));
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn verb() -> anyhow::Result<Exit> {
    command::reference::answer_shell();
    match Cli::parse().verb {
        Verb::Provision(args) => command::provision::run(args),
        Verb::Plan(args) => command::provision::plan(args),
        Verb::Status(args) => command::status::run(args),
        Verb::Logs(args) => command::logs::run(args),
        Verb::Verify(args) => command::verify::run(args),
        Verb::Exec(args) => command::exec::run(args),
        Verb::Ssh(args) => command::ssh::run(args),
        Verb::Redis(args) => command::redis::run(args),
        Verb::RedisCli(args) => command::redis::on_host(&args),
        Verb::Backup(args) => command::backup::backup(args),
        Verb::Restore(args) => command::backup::restore(args),
        Verb::Restart(args) => command::restart::run(args),
        Verb::History(args) => command::history::run(args),
        Verb::Rollback(args) => command::rollback::run(args),
        Verb::Destroy(args) => command::destroy::run(args),
        Verb::Secret(args) => command::secret::run(args),
        Verb::Cert(args) => command::cert::run(args),
        Verb::Deploy(args) => command::deploy::run(args),
        Verb::Doctor(args) => command::doctor::run(args),
        Verb::Facts(args) => command::facts::run(args),
        Verb::Render(args) => command::render::run(args),
        Verb::Init(args) => command::init::run(&args),
        Verb::Completions(args) => command::reference::completions(&args),
        Verb::Man(args) => command::reference::man(&args),
        Verb::Engine { connection } => command::engine::run(connection.as_deref()),
        Verb::Look => command::engine::look(),
        Verb::Confirm { run } => command::on_host::confirm(&run),
        Verb::Revert { run } => command::on_host::revert(&run),
        Verb::Lab(args) => command::lab::run(args),
    }
}
