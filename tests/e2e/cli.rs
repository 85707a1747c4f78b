//! The whole command line in one snapshot: a change of it is seen in review.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _, Parser as _};
use hwctl::cli::Cli;
use serde_json::Value;

crate::tests! {
    Nothing: [the_whole_command_line, the_page_of_the_command_line_is_that_of_this_version, every_verb_has_examples, clap_finds_no_fault_in_it, a_certificate_lives_no_longer_than_an_inventory_may_say, a_failure_before_the_first_host_is_an_event_too],
}

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

fn the_whole_command_line() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = String::new();
    reference(&mut command, &mut text);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!("command_line", lines.join("\n"));
}

/// Each command as a section, for `docs/cli.md`.
fn page(command: &mut Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or("hwctl").to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    let _ = writeln!(text, "\n## {name}\n\n```text\n{}\n```", help.join("\n"));
    for verb in command.get_subcommands_mut() {
        if verb.get_name() != "help" && !verb.is_hide_set() {
            page(verb, text);
        }
    }
}

fn the_page_of_the_command_line_is_that_of_this_version() {
    let mut command = Cli::command().term_width(80);
    command.build();
    let mut text = "# The command line\n\nWhat `hwctl help` says of each command. Made by \
                    `HWCTL_UPDATE_DOCS=1 cargo test --test e2e cli`.\n"
        .to_owned();
    page(&mut command, &mut text);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    if std::env::var_os("HWCTL_UPDATE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == text, "docs/cli.md is not of this command line: see its first lines");
}

fn a_certificate_lives_no_longer_than_an_inventory_may_say() {
    let renew = |days: u16| {
        let days = days.to_string();
        Cli::try_parse_from(["hwctl", "cert", "renew", "--days", &days]).map(|_| ())
    };

    let longest = *hwctl_limits::CERTIFICATE_DAYS.end();
    assert!(renew(longest).is_ok());
    let refused = renew(longest + 1).unwrap_err().to_string();
    assert!(refused.contains("366 is not in 1..=365"), "{refused}");
}

/// Whatever is wrong, a program that reads `--json` finds it there.
fn a_failure_before_the_first_host_is_an_event_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.json"), "{}").unwrap();
    std::fs::write(folder.path().join("newer.json"), "{\"hwctl_plan\": 999}").unwrap();
    let run = |words: &[&str]| {
        let mut hwctl = std::process::Command::new(env!("CARGO_BIN_EXE_hwctl"));
        let output = hwctl.args(words).current_dir(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };

    let digest = "0".repeat(64);
    for (words, expected) in [
        (&["provision", "--plan", "absent.json"][..], "cannot read the plan `absent.json`"),
        (&["provision", "--plan", "other.json"], "`other.json` is not a plan of hwctl"),
        (&["provision", "--plan", "newer.json"], "is a plan of format 999"),
        (
            &["provision", "--expect", &digest, "--serial", "1"],
            "`--expect` cannot be used with `--serial`",
        ),
        (
            &["plan", "--only", "tls", "--skip", "tls"],
            "`--skip` excludes every part that `--only` names",
        ),
        (&["plan", "--no-such-option"], "unexpected argument '--no-such-option'"),
        (&["cert", "show", "--host"], "a value is required for '--host <HOST>'"),
        (&["restore", "absent.backup", "--host", "192.0.2.1"], "absent.backup"),
    ] {
        let (code, printed) = run(&[words, &["--json"]].concat());

        let events: Vec<Value> =
            printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let failed = events.iter().find(|event| event["event"] == "failed");
        let failed = failed.unwrap_or_else(|| panic!("{words:?}: {printed}"));
        let what = failed["what"].as_str().unwrap();
        assert!(what.contains(expected), "{words:?}: {what}");
        assert_eq!((code, &failed["exit"]), (Some(2), &Value::from("usage")), "{words:?}");
        assert_eq!(events.last().unwrap()["event"], "summary", "{words:?}");
    }

    let (code, printed) = run(&["status", "--no-such-option", "--json"]);
    assert_eq!((code, printed.trim()), (Some(2), "{\"hosts\":[]}"));
}

fn every_verb_has_examples() {
    fn check(command: &Command) {
        let verbs: Vec<_> = command
            .get_subcommands()
            .filter(|v| !v.is_hide_set() && v.get_name() != "help")
            .collect();
        if verbs.is_empty() {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = command.get_bin_name().unwrap_or_default();
            let shown = examples.lines().filter(|line| line.starts_with("  ")).count();
            assert!(examples.starts_with("Examples:") && (2..=5).contains(&shown), "{name}");
            let wide = examples.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{name}");
        }
        verbs.into_iter().for_each(check);
    }
    let mut command = Cli::command();
    command.build();
    check(&command);
}

fn clap_finds_no_fault_in_it() {
    Cli::command().debug_assert();
}
