//! Runs a program of the operator's and takes what it prints, within bounds.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::inventory::names::shown;
use crate::inventory::yaml::place::Problem;

/// How long a program may take. One that asks a cloud for its machines needs a while.
const TIME_LIMIT: Duration = Duration::from_mins(2);
/// The time between two looks at a program that still runs.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the end of the output is waited for, once the program has ended. A process that it
/// left behind may keep the pipe open.
const REST: Duration = Duration::from_secs(1);
/// A longer output is no inventory.
const LONGEST: u64 = 64 << 20;
/// How many of the last lines on standard error are shown.
const LINES: usize = 4;

/// Whether a program may ask the operator something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    None,
    Terminal,
}

/// Runs a program and returns what it prints on standard output.
pub(super) fn run<A: AsRef<OsStr>>(
    program: &Path,
    arguments: &[A],
    input: Input,
) -> Result<String, Problem> {
    let name = shown(&program.display().to_string());
    let failed = |what: &str| Problem::nowhere(format!("`{name}` {what}"));
    let stdin = if input == Input::None { Stdio::null() } else { Stdio::inherit() };
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|error| failed(&format!("does not start: {error}")))?;
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let status = wait(&mut child).map_err(|error| failed(&format!("is lost: {error}")))?;
    let said = stderr.recv_timeout(REST).unwrap_or_default();
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        let message = format!("took longer than {} s and was ended", TIME_LIMIT.as_secs());
        return Err(with_lines(failed(&message), &said));
    };
    if !status.success() {
        return Err(with_lines(failed(&format!("fails ({status})")), &said));
    }
    let printed = stdout.recv_timeout(REST).unwrap_or_default();
    if printed.len() as u64 > LONGEST {
        return Err(failed(&format!("prints more than {} MiB", LONGEST >> 20)));
    }
    String::from_utf8(printed).map_err(|_| failed("prints something that is not text"))
}

/// Reads a stream in a thread of its own, so that the program never waits for us.
fn read(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            let _ = stream.take(LONGEST + 1).read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

/// Waits for the end of a program. None if it takes too long.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + TIME_LIMIT;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(None)
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
