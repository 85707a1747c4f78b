//! What a person at a terminal gets: a pager, pages to read, less or more of what happens.

use std::process::Command;

crate::tests! {
    Nothing: [
        a_long_plan_is_paged_on_a_terminal_and_keeps_its_exit_code,
        a_page_is_a_topic_of_help_and_a_verb_stays_one,
        options_about_hosts_have_variables_that_help_does_not_show,
        quiet_is_failures_and_the_end_and_verbose_is_every_step,
    ],
}

/// A host that nobody answers for.
const NOBODY: [&str; 8] = [
    "--host",
    "127.0.0.1",
    "--port",
    "1",
    "--set=sites.site2.users={admin: other}",
    "--set=api.users={admin: other}",
    "--connect-timeout=1",
    "--no-pager",
];

/// The exit code, and what is printed.
type Ended = (Option<i32>, String);

fn ended(command: &mut Command, folder: &std::path::Path) -> Ended {
    let output = command.current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Runs hwctl with no terminal.
fn hwctl(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hwctl"));
    ended(command.args(args).env_remove("PAGER").envs(variables.iter().copied()), folder.path())
}

/// Runs hwctl on a terminal of two lines.
fn on_terminal(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let words = args.iter().map(|arg| format!("'{arg}'")).collect::<Vec<_>>().join(" ");
    let line = format!("stty rows 2 cols 100; exec {} {words}", env!("CARGO_BIN_EXE_hwctl"));
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", &line, "/dev/null"]);
    ended(command.env_remove("PAGER").envs(variables.iter().copied()), folder.path())
}

fn a_long_plan_is_paged_on_a_terminal_and_keeps_its_exit_code() {
    let plan = [&["plan"], &NOBODY[..7]].concat();
    // It quits before it has read all.
    let own = ("HWCTL_PAGER", "head -n 1; echo paged-by-own");
    let general = ("PAGER", "head -n 1; echo paged-by-general");
    let is_paged = |(code, text): Ended, by: &str| {
        assert_eq!(code, Some(5), "{text}");
        text.contains(by)
    };

    assert!(is_paged(on_terminal(&plan, &[own, general]), "paged-by-own"));
    assert!(is_paged(on_terminal(&plan, &[general]), "paged-by-general"));
    assert!(!is_paged(on_terminal(&plan, &[("HWCTL_PAGER", ""), general]), "paged"));
    assert!(!is_paged(on_terminal(&[&plan[..], &["--no-pager"]].concat(), &[own]), "paged"));
    assert!(!is_paged(on_terminal(&[&plan[..], &["--json"]].concat(), &[own]), "paged"));
    assert!(!is_paged(hwctl(&plan, &[own]), "paged"));
    let (code, text) = on_terminal(&plan, &[("HWCTL_PAGER", "/nowhere/pager")]);
    assert!(code == Some(5) && text.contains("unreachable"), "{text}");
}

fn a_page_is_a_topic_of_help_and_a_verb_stays_one() {
    let (code, text) = hwctl(&["help", "review"], &[]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("Reviewed plans\n"), "{text}");
    let (_, text) = hwctl(&["help", "topics"], &[]);
    assert!(text.contains("  exit-codes  Exit codes\n"), "{text}");
    let (_, text) = hwctl(&["help", "plan"], &[]);
    assert!(text.contains("Usage: hwctl plan"), "{text}");
    let (code, text) = hwctl(&["help", "nonsense"], &[]);
    assert!(code == Some(2) && text.contains("unrecognized subcommand"), "{text}");
    let (_, text) = on_terminal(&["help", "undo"], &[("HWCTL_PAGER", "echo paged")]);
    assert!(text.contains("paged"), "{text}");
}

fn options_about_hosts_have_variables_that_help_does_not_show() {
    let nowhere = [("HWCTL_INVENTORY", "/nowhere/inventory.yaml")];
    let (code, text) = hwctl(&["status"], &nowhere);
    assert!(code == Some(2) && text.contains("/nowhere/inventory.yaml"), "{text}");
    let (_, text) = hwctl(&["status", "--help"], &nowhere);
    assert!(text.contains("[env: HWCTL_INVENTORY]") && !text.contains("nowhere"), "{text}");

    let args = [&["plan"], &NOBODY[..2], &NOBODY[4..]].concat();
    let variables = [("HWCTL_PORT", "1"), ("HWCTL_USER", "of-a-variable")];
    let (code, text) = hwctl(&[&args[..], &["-v"]].concat(), &variables);
    assert!(code == Some(5) && text.contains("-l of-a-variable"), "{text}");
    let (_, text) = hwctl(&[&args[..], &["-v", "--user", "of-an-option"]].concat(), &variables);
    assert!(text.contains("-l of-an-option"), "{text}");
}

fn quiet_is_failures_and_the_end_and_verbose_is_every_step() {
    let plan = [&["plan"], &NOBODY[..]].concat();

    let (quiet_code, quiet) = hwctl(&[&["-q"], &plan[..]].concat(), &[]);
    let (verbose_code, verbose) = hwctl(&[&plan[..], &["--verbose"]].concat(), &[]);
    let (_, json) = hwctl(&[&plan[..], &["--json"]].concat(), &[]);
    let (_, traced) = hwctl(&[&plan[..], &["--json", "-v"]].concat(), &[]);

    assert_eq!((quiet_code, verbose_code), (Some(5), Some(5)));
    let lines: Vec<_> = quiet.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(lines.len(), 2, "{quiet}");
    assert!(lines[0].starts_with("127.0.0.1: error: "), "{quiet}");
    assert!(lines[1].starts_with("127.0.0.1: unreachable"), "{quiet}");
    for step in ["there is no inventory", "connecting", "ssh -E "] {
        assert!(verbose.contains(step), "{step}: {verbose}");
    }
    assert!(!json.contains("\"trace\"") && traced.contains("\"trace\""), "{traced}");
}
