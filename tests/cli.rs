//! The whole command line in one snapshot: a change of it is seen in review.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};
use hwctl::cli::Cli;

/// The help of a command and of all below it, as `--help` prints it on a terminal of this width.
fn reference(command: &mut Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or("hwctl").to_owned();
    let _ = writeln!(text, "$ {name} --help\n{}", command.render_long_help());
    for verb in command.get_subcommands_mut() {
        if verb.get_name() != "help" && !verb.is_hide_set() {
            reference(verb, text);
        }
    }
}

#[test]
fn the_whole_command_line() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = String::new();
    reference(&mut command, &mut text);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!("command_line", lines.join("\n"));
}

#[test]
fn clap_finds_no_fault_in_it() {
    Cli::command().debug_assert();
}
