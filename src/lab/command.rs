//! Runs a program of this machine and keeps the last lines of what it says for the error.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, anyhow};

/// How many lines of a failed program's output its error keeps.
const KEPT_LINES: usize = 8;

/// Runs a program to its end. Returns its standard output, or an error that names it and says why.
pub(super) fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Result<String> {
    finish(Command::new(program).args(args))
}

/// Like [`run`], for a command that needs more than arguments.
pub(super) fn finish(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run `{line}`"))?;
    judge(&line, &output)
}

/// Like [`run`], with a lock that the program itself holds: if this process is killed, the program may
/// go on for a while, and whoever does the same work next has to wait for its end.
pub(super) fn run_locked<S: AsRef<OsStr>>(
    lock: &Path,
    program: &str,
    args: &[S],
) -> Result<String> {
    finish(Command::new("flock").arg(lock).arg(program).args(args))
}

/// Runs one line of words that hold no spaces, such as `ip link set eth0 up`.
pub(super) fn run_words(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    run(program, &words.collect::<Vec<_>>())
}

fn judge(line: &str, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    let mut cause = last_lines(&String::from_utf8_lossy(said), KEPT_LINES);
    if cause.is_empty() {
        cause = output.status.to_string();
    }
    Err(anyhow!(cause).context(format!("`{line}` fails")))
}

/// The last lines of a text, without the empty ones.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The command as it would be typed, cut where it gets long.
fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        if line.len() > 120 {
            line.push_str(" …");
            break;
        }
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_command_and_keeps_its_last_words() {
        let error = run("sh", &["-c", "echo one >&2; echo two >&2; exit 3"]).unwrap_err();
        assert!(error.to_string().starts_with("`sh -c echo one"), "{error}");
        assert_eq!(error.root_cause().to_string(), "one\ntwo");
    }

    #[test]
    fn a_silent_failure_tells_its_exit_status() {
        let error = run("sh", &["-c", "exit 7"]).unwrap_err();
        assert_eq!(error.root_cause().to_string(), "exit status: 7");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }
}
