//! Runs the programs that Ansible lets an inventory or the password of a vault come from.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::inventory::names::shown;
use crate::inventory::program::{self, Bounds, Fault, Input};
use crate::inventory::yaml::problem::Problem;

/// A program that asks a cloud for its machines needs a while. A longer output is no inventory.
const BOUNDS: Bounds = Bounds { time: Duration::from_mins(2), bytes: 64 << 20 };
/// How many of the last lines on standard error are shown.
const LINES: usize = 4;

/// What is said of the standard error of a program that fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Messages {
    /// Its last lines.
    Shown,
    /// Nothing: the program deals in passwords, and may print one.
    Withheld,
}

/// Runs a program and returns what it prints on standard output.
pub(super) fn run<A: AsRef<OsStr>>(
    program: &Path,
    arguments: &[A],
    input: Input,
    messages: Messages,
) -> Result<String, Problem> {
    let name = shown(&program.display().to_string());
    let failed = |what: &str| Problem::nowhere(format!("`{name}` {what}"));
    let with_lines = |problem: Problem, said: &[u8]| {
        match messages {
        Messages::Shown => with_lines(problem, said),
        Messages::Withheld => problem.hint(format!(
            "what it printed is withheld, because it may be a password: run `{name}` yourself to see it"
        )),
    }
    };
    let output = match program::run(Command::new(program).args(arguments), input, BOUNDS) {
        Ok(output) => output,
        Err(Fault::Io(error)) => return Err(failed(&format!("does not start: {error}"))),
        Err(Fault::TooMuch) => {
            return Err(failed(&format!("prints more than {} MiB", BOUNDS.bytes >> 20)));
        }
        Err(Fault::TooLong(said)) => {
            let message = format!("took longer than {} s and was ended", BOUNDS.time.as_secs());
            return Err(with_lines(failed(&message), &said));
        }
    };
    if !output.status.success() {
        let message = format!("fails ({})", output.status);
        return Err(with_lines(failed(&message), &output.stderr));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("prints something that is not text"))
}

fn with_lines(problem: Problem, said: &[u8]) -> Problem {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].iter();
    last.fold(problem, |problem, line| problem.because(shown_line(line)))
}

/// A line of another program, without control characters.
fn shown_line(line: &str) -> String {
    line.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
