//! Parses the command line, runs the verb, prints the error, sets the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use hwctl::cli::{Cli, Verb};
use hwctl::command;
use hwctl::failure::{Exit, Failure};

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Lab(args) => command::lab::run(args),
    };
    let exit = result.unwrap_or_else(|error| {
        let failure = Failure::from(error);
        print_failure(&failure);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn print_failure(failure: &Failure) {
    eprintln!("error: {failure}");
    for why in &failure.why {
        eprintln!("  because: {}", why.replace('\n', "\n    "));
    }
    if let Some(not_done) = &failure.not_done {
        eprintln!("  {not_done}");
    }
    if let Some(hint) = &failure.hint {
        eprintln!("  hint: {hint}");
    }
    debug_assert_ne!(failure.exit, Exit::Done, "a failure has an exit code of its own");
}
