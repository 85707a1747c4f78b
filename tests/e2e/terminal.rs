//! What a person at a terminal gets: a pager, pages to read, less or more of what happens.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

crate::tests! {
    Nothing: [
        a_long_plan_is_paged_on_a_terminal_and_keeps_its_exit_code,
        a_page_is_a_topic_of_help_and_a_verb_stays_one,
        options_about_hosts_have_variables_that_help_does_not_show,
        quiet_is_failures_and_the_end_and_verbose_is_every_step,
        the_password_of_a_vault_is_asked_for_on_a_terminal,
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

/// A command line on a terminal, which ends after two minutes though it waits for somebody.
fn script(line: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "120", "script", "-q", "-e", "-c", line, "/dev/null"]);
    command
}

/// Runs hwctl on a terminal of two lines.
fn on_terminal(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let words = args.iter().map(|arg| format!("'{arg}'")).collect::<Vec<_>>().join(" ");
    let line = format!("stty rows 2 cols 100; exec {} {words}", env!("CARGO_BIN_EXE_hwctl"));
    let mut command = script(&line);
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

/// `127.0.0.1`, encrypted with the password `pw`.
const ADDRESS: &str = "$ANSIBLE_VAULT;1.1;AES256
34343537663637356639666539636462346539353639636666363436323438383063323533343862
3463663133646661653331643066363436333133313266620a636434646234326665373163303036
32323236633835313130373935346438316562353466666136303838386637343961323566353033
3430346131336166380a326661303166653037313632643934386132353961363863333732396330
3539";

fn the_password_of_a_vault_is_asked_for_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let indent = "\n        ";
    let address = format!("!vault |{indent}{}", ADDRESS.replace('\n', indent));
    let text =
        format!("all:\n  hosts:\n    vm:\n      ansible_port: 1\n      ansible_host: {address}\n");
    std::fs::write(folder.path().join("hosts.yml"), text).unwrap();
    let args = ["status", "-i", "hosts.yml", "--vault-id", "dev@prompt", "--connect-timeout=1"];
    let line = format!("exec {} {}", env!("CARGO_BIN_EXE_hwctl"), args.join(" "));
    let typed = |password: &str| {
        let mut command = script(&line);
        command.current_dir(folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut text = Vec::new();
        // What is typed before the question is thrown away.
        while !text.ends_with(b"): ") {
            let mut byte = [0];
            assert_eq!(screen.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
            text.extend(byte);
        }
        writeln!(keys, "{password}").unwrap();
        screen.read_to_end(&mut text).unwrap();
        (child.wait().unwrap().code(), String::from_utf8_lossy(&text).into_owned())
    };

    let (code, text) = typed("pw");
    assert!(text.contains("Vault password (dev): ") && !text.contains("pw"), "{text}");
    assert!(code == Some(5) && text.contains("127.0.0.1"), "{code:?} {text}");

    let (code, text) = typed("other");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("none of the given passwords decrypts this vault"), "{text}");

    // Nobody is there to be asked.
    let (code, text) = ended(
        Command::new(env!("CARGO_BIN_EXE_hwctl")).args(args).stdin(Stdio::null()),
        folder.path(),
    );
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("cannot be asked for without a terminal"), "{text}");
    assert!(text.contains("--vault-password-file"), "{text}");
}
