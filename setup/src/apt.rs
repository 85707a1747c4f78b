//! Runs apt-get, reports what it is doing, and explains its usual failures.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Error;

/// How long to wait for another apt, such as the one that runs by itself after a boot.
const LOCK_TIMEOUT: Duration = Duration::from_mins(2);
/// How often a locked apt is tried again.
const LOCK_RETRY: Duration = Duration::from_secs(2);
/// How often progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// How many lines of output an error quotes.
const QUOTED_LINES: usize = 8;

/// Updates the package lists and installs packages.
pub(super) fn install(packages: &[&str], tell: &dyn Fn(&str)) -> Result<(), Error> {
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    // An update that reaches no server still exits with 0 (it only warns), and the install then
    // fails with the same cause. So the output of both explains a failure.
    let updated = run(&["update", "--quiet"], tell)?;
    updated.check(packages, "")?;
    let installed = run(&install, tell)?;
    installed.check(packages, &updated.said)
}

struct Outcome {
    status: ExitStatus,
    /// The last lines of standard output and standard error.
    said: String,
}

impl Outcome {
    fn check(&self, packages: &[&str], earlier: &str) -> Result<(), Error> {
        match self.status.success() {
            true => Ok(()),
            false => Err(explain(packages, &self.said, earlier)),
        }
    }
}

/// Runs apt-get, waiting while another process holds its locks.
fn run(args: &[&str], tell: &dyn Fn(&str)) -> Result<Outcome, Error> {
    let began = Instant::now();
    loop {
        let outcome = run_once(args, tell).map_err(|error| Error {
            what: "apt-get does not start".to_owned(),
            why: error.to_string(),
            hint: format!("run `apt-get {}` to see what stops it", args.join(" ")),
        })?;
        if outcome.status.success() || !is_locked(&outcome.said) || began.elapsed() > LOCK_TIMEOUT {
            return Ok(outcome);
        }
        tell("waiting for another apt to finish");
        thread::sleep(LOCK_RETRY);
    }
}

fn run_once(args: &[&str], tell: &dyn Fn(&str)) -> std::io::Result<Outcome> {
    let mut child = Command::new("apt-get")
        // English messages, since they are matched below; and no question that nobody answers.
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let lines = Arc::new(Mutex::new(VecDeque::new()));
    let readers = [
        child.stdout.take().map(|stream| keep_lines(stream, &lines)),
        child.stderr.take().map(|stream| keep_lines(stream, &lines)),
    ];
    let mut reported = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if reported.elapsed() > PROGRESS_INTERVAL {
            reported = Instant::now();
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&format!("apt-get: {}", lines.back().map_or("", String::as_str)));
        }
        thread::sleep(Duration::from_millis(50));
    };
    for reader in readers.into_iter().flatten() {
        // A reader only panics when it runs out of memory; its lines are then missing from an error.
        let _ = reader.join();
    }
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    let said = lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    Ok(Outcome { status, said })
}

/// Reads a stream to its end and keeps its last lines.
fn keep_lines(
    stream: impl Read + Send + 'static,
    lines: &Arc<Mutex<VecDeque<String>>>,
) -> thread::JoinHandle<()> {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if !line.trim().is_empty() {
                lines.push_back(line);
            }
            if lines.len() > QUOTED_LINES {
                lines.pop_front();
            }
        }
    })
}

fn is_locked(said: &str) -> bool {
    said.contains("Could not get lock") || said.contains("Unable to acquire the dpkg frontend lock")
}

/// Turns the output of a failed apt-get into an error with a way on.
fn explain(packages: &[&str], said: &str, earlier: &str) -> Error {
    let names = packages.join(" ");
    let what = format!("apt cannot install `{names}` on this machine");
    let both = format!("{earlier}\n{said}");
    let has = |texts: &[&str]| texts.iter().any(|text| both.contains(text));
    let (cause, hint) = if is_locked(said) {
        let minutes = LOCK_TIMEOUT.as_secs() / 60;
        let cause = format!("another process has held apt's lock for {minutes} minutes");
        (cause, "wait until it ends, then run the command again".to_owned())
    } else if has(&["dpkg was interrupted", "dpkg --configure -a"]) {
        let cause = "an earlier installation on this machine was interrupted".to_owned();
        (cause, "run `dpkg --configure -a`, then the command again".to_owned())
    } else if has(&["Unmet dependencies", "unmet dependencies"]) {
        let cause = "packages on this machine have unmet dependencies".to_owned();
        (cause, "run `apt-get --fix-broken install`, then the command again".to_owned())
    } else if has(&["Could not resolve", "Temporary failure resolving", "Could not connect"]) {
        let cause = "this machine does not reach the package archive".to_owned();
        (cause, "check the network and the proxy settings of apt, then try again".to_owned())
    } else {
        let cause = "apt-get failed".to_owned();
        (cause, format!("run `apt-get install {names}` to see what stops it"))
    };
    Error { what, why: format!("{cause}:\n{}", said.trim()), hint }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn hint(said: &str, earlier: &str) -> String {
        explain(&["curl"], said, earlier).hint
    }

    #[test]
    fn each_usual_failure_has_a_way_on() {
        let interrupted = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'";
        assert_eq!(hint(interrupted, ""), "run `dpkg --configure -a`, then the command again");
        let broken = "E: Unmet dependencies. Try 'apt --fix-broken install'";
        assert!(hint(broken, "").contains("apt-get --fix-broken install"));
        let held = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 9";
        assert!(hint(held, "").starts_with("wait until it ends"));
        assert!(hint("E: something else", "").contains("apt-get install curl"));
    }

    #[test]
    fn an_update_without_network_explains_the_failed_install() {
        let update = "W: Failed to fetch x  Temporary failure resolving 'deb.example.org'";

        let error = explain(&["curl"], "E: Unable to locate package curl", update);

        assert!(error.why.starts_with("this machine does not reach the package archive"));
        assert!(error.why.ends_with("E: Unable to locate package curl"), "{error}");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut text = String::new();
        for number in 0..100 {
            let _ = write!(text, "line {number}\n\n");
        }
        let lines = Arc::default();

        keep_lines(std::io::Cursor::new(text), &lines).join().unwrap();

        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), QUOTED_LINES);
        assert_eq!(lines.back().map(String::as_str), Some("line 99"));
    }
}
