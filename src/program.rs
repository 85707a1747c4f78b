//! The whole program: parses the command line, runs the verb, prints the error, sets the exit code.

use std::process::ExitCode;

use crate::cli::{Cli, Verb};
use crate::command;
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::report::{Style, Volume, failure_text, print_error};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

/// Runs hwctl with these kinds of parts.
#[must_use]
pub fn run(kinds: Kinds) -> ExitCode {
    take_no_backtraces();
    let exit = match command::on_host::called_by_name() {
        Some(command) => command::on_host::run(kinds, command).unwrap_or_else(|error| fail(&error)),
        None if command::launch::is_called() => {
            command::launch::run().unwrap_or_else(|error| fail(&error))
        }
        None => verb(kinds),
    };
    ExitCode::from(exit as u8)
}

/// Keeps errors from taking backtraces, which nobody is shown and for which a release has no tables (`build.rs`).
/// The standard library decides once in a process, so the variable gets its value back for the programs that are run.
#[expect(unsafe_code, reason = "no other thread is there yet that could read the environment")]
fn take_no_backtraces() {
    const SWITCH: &str = "RUST_LIB_BACKTRACE";
    let before = std::env::var_os(SWITCH);
    // SAFETY: the process has one thread.
    unsafe { std::env::set_var(SWITCH, "0") };
    drop(std::backtrace::Backtrace::capture());
    // SAFETY: as above.
    match before {
        Some(value) => unsafe { std::env::set_var(SWITCH, value) },
        None => unsafe { std::env::remove_var(SWITCH) },
    }
}

/// Reports an error on standard error.
fn fail(error: &anyhow::Error) -> Exit {
    let failure = Failure::from_error(Exit::Failed, error);
    let color = console::colors_enabled_stderr();
    let width = crate::report::width(&console::Term::stderr());
    let style =
        Style { color, live: false, width, diff: false, check: false, volume: Volume::Normal };
    print_error(&failure_text(style, "", &failure));
    failure.exit
}

fn verb(kinds: Kinds) -> Exit {
    command::reference::answer_shell(kinds);
    if let Some(exit) = command::help::answer(std::env::args().skip(1)) {
        return exit;
    }
    let parsed = Cli::command().try_get_matches();
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = parsed.unwrap_or_else(|error| refuse(&error));
    command::set_output(cli.output);
    match run_verb(kinds, cli.verb) {
        Ok(exit) => exit,
        // A program that reads events hears of a failure that comes before the first host, too.
        Err(error) => match matches.subcommand().filter(|(_, verb)| takes_json(verb)) {
            Some((verb, _)) => {
                let failure = Failure::from_error(Exit::Failed, &error);
                command::report_failure(verb, &failure);
                failure.exit
            }
            None => fail(&error),
        },
    }
}

/// Whether the verb was asked for JSON. A verb such as `cert` has verbs of its own.
fn takes_json(verb: &ArgMatches) -> bool {
    let is_json = |verb: &ArgMatches| {
        verb.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or_default()
    };
    is_json(verb) || verb.subcommand().is_some_and(|(_, inner)| is_json(inner))
}

/// Ends the process with what clap has to say: help, a version or a wrong command line.
fn refuse(error: &clap::Error) -> ! {
    let words = || std::env::args().skip(1).take_while(|word| word != "--");
    if error.use_stderr() && words().any(|word| word == "--json") {
        let message = error.to_string();
        let what = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let verb = words().find(|word| !word.starts_with('-')).unwrap_or_default();
        let failure = Failure::usage(what).not_done("no host was contacted");
        command::report_failure(&verb, &failure);
    }
    error.exit()
}

fn run_verb(kinds: Kinds, verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        Verb::Provision(args) => command::provision::run(kinds, args),
        Verb::Plan(args) => command::provision::plan(kinds, args),
        Verb::Status(args) => command::status::run(kinds, args),
        Verb::Top(args) => command::status::top(kinds, &args),
        Verb::Logs(args) => command::logs::run(kinds, args),
        Verb::Verify(args) => command::verify::run(kinds, args),
        Verb::Exec(args) => command::exec::run(kinds, args),
        Verb::InApp(args) => command::in_app::run(&args),
        Verb::Ssh(args) => command::ssh::run(kinds, args),
        Verb::Redis(args) => command::redis::run(kinds, args),
        Verb::RedisCli(args) => command::redis::on_host(&args),
        Verb::Backup(args) => command::backup::backup(kinds, args),
        Verb::Restore(args) => command::backup::restore(kinds, args),
        Verb::Restart(args) => command::restart::run(kinds, args),
        Verb::Maintenance(args) => command::maintenance::run(kinds, args),
        Verb::History(args) => command::history::run(kinds, args),
        Verb::Rollback(args) => command::rollback::run(kinds, args),
        Verb::Destroy(args) => command::destroy::run(kinds, args),
        Verb::Secret(args) => command::secret::run(kinds, args),
        Verb::Cert(args) => command::cert::run(kinds, args),
        Verb::Watch(args) => command::watch::run(kinds, &args),
        Verb::Notify(args) => command::watch::test::run(kinds, args),
        Verb::WatchHost(args) => command::watch::host::run(kinds, &args),
        Verb::Deploy(args) => command::deploy::run(kinds, args),
        Verb::Doctor(args) => command::doctor::run(kinds, args),
        Verb::Facts(args) => command::facts::run(kinds, args),
        Verb::Render(args) => command::render::run(kinds, args),
        Verb::Inventory(args) => command::inventory::run(&args),
        Verb::CloudInit(args) => command::cloud_init::run(kinds, &args),
        Verb::Init(args) => command::init::run(kinds, &args),
        Verb::Completions(args) => command::reference::completions(&args),
        Verb::Man(args) => command::reference::man(&args),
        Verb::Engine { connection } => command::engine::run(kinds, connection.as_deref()),
        Verb::Look => command::engine::check_second_instance(),
        Verb::BalancerAnswers => command::on_host::require_balancer_answer(),
        Verb::BalancerState => command::on_host::keep_balancer_state(),
        Verb::Confirm { run } => command::on_host::confirm(&run),
        Verb::Revert { run } => command::on_host::revert(&run),
        Verb::Lab(args) => command::lab::run(args),
    }
}
