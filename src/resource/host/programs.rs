//! Runs the host's programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, access};

use super::Host;

/// Where the host's programs are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Host {
    /// Runs a program without a shell and waits for it. `LC_ALL=C`, no standard input.
    pub async fn output<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<Output> {
        self.command(program).args(args).output().await.with_context(|| format!("run `{program}`"))
    }

    /// The program to run with the host's environment: clean, in C locale.
    #[must_use]
    pub fn command(&self, program: &str) -> tokio::process::Command {
        // By its path: a name would be looked for by a copy of this process, which costs more than
        // what many of them do.
        let mut places = PATH.split(':').map(|folder| Path::new(folder).join(program));
        let runs = |path: &PathBuf| access(path, Access::EXEC_OK).is_ok() && path.is_file();
        let found = places.find(runs);
        let mut command =
            tokio::process::Command::new(found.unwrap_or_else(|| PathBuf::from(program)));
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/root")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a program that has to succeed and gives what it printed.
    pub async fn run<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<String> {
        let output = self.output(program, args).await?;
        if !output.status.success() {
            let shown: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
            bail!(
                "`{program} {}` fails with {}: {}",
                shown.join(" "),
                output.status,
                last_lines(&output, 5)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The last lines that a program printed, its errors before its output, joined by ` | `.
#[must_use]
pub fn last_lines(output: &Output, count: usize) -> String {
    let text = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}
