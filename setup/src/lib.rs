//! Installs the programs that the lab and the tests need on this machine, through apt.
//!
//! A program that is there already costs one look at the search path. Nothing is ever skipped
//! silently: whoever asks either has all programs afterwards or an [`Error`] that says why not.

mod apt;

use std::fmt;
use std::fs::File;
use std::path::Path;

/// Held while packages are installed, so that test processes do not run apt against each other.
const LOCK: &str = "/run/lock/hwctl-setup";

/// A program, and how this machine gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The program in the search path, or the absolute path of a file.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
    /// What it is needed for; completes the sentence "the package … ".
    pub purpose: &'static str,
}

impl Tool {
    /// A tool, from its fields in order.
    #[must_use]
    pub const fn new(program: &'static str, package: &'static str, purpose: &'static str) -> Self {
        Self { program, package, purpose }
    }

    fn is_installed(&self) -> bool {
        is_installed(self.program)
    }
}

/// Why a program cannot be installed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What failed.
    pub what: String,
    /// The reason.
    pub why: String,
    /// A command to run, or another way on.
    pub hint: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.what, self.why, self.hint)
    }
}

impl std::error::Error for Error {}

/// Returns whether a program is in the search path, or whether the file of an absolute path exists.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Installs those of the tools that are missing. `tell` receives one line for what is installed
/// and why, and further lines while apt is at work.
pub fn ensure(tools: &[Tool], tell: &dyn Fn(&str)) -> Result<(), Error> {
    if missing(tools).is_empty() {
        return Ok(());
    }
    let lock = File::create(LOCK).and_then(|file| file.lock().map(|()| file));
    // Another process may have installed them while this one waited. Without root there is no lock,
    // and nothing is installed either.
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let packages = packages(&missing);
    check(&packages, is_installed("apt-get"), lock.is_ok())?;
    let purposes: Vec<String> = missing
        .iter()
        .filter(|tool| !tool.purpose.is_empty())
        .map(|tool| format!("{} {}", tool.package, tool.purpose))
        .collect();
    tell(&format!("installing with apt: {}", purposes.join("; ")));
    apt::install(&packages, tell)?;
    match missing.iter().find(|tool| !tool.is_installed()) {
        None => Ok(()),
        Some(tool) => Err(Error {
            what: format!("`{}` is still missing", tool.program),
            why: format!("apt installed `{}`, which does not contain it", tool.package),
            hint: format!("install `{}` by hand and run the command again", tool.program),
        }),
    }
}

fn missing(tools: &[Tool]) -> Vec<Tool> {
    tools.iter().filter(|tool| !tool.is_installed()).copied().collect()
}

/// The packages of the tools, each once.
fn packages(tools: &[Tool]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = tools.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Refuses where nothing can be installed.
fn check(packages: &[&str], has_apt: bool, is_root: bool) -> Result<(), Error> {
    let names = packages.join(" ");
    let what = format!("this machine lacks `{names}`");
    if !has_apt {
        return Err(Error {
            what,
            why: "it has no apt-get to install them with".to_owned(),
            hint: "install them with the package manager of this machine".to_owned(),
        });
    }
    if !is_root {
        return Err(Error {
            what,
            why: "installing packages needs root".to_owned(),
            hint: format!("run `sudo apt-get install --no-install-recommends {names}`"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Tool = Tool::new("sh", "dash", "runs scripts");
    const ABSENT: Tool = Tool::new("no-such-program-of-hwctl", "no-such-package", "is for a test");

    #[test]
    fn a_program_that_is_there_costs_nothing() {
        let told = std::cell::Cell::new(false);

        ensure(&[SHELL, Tool::new("/bin/sh", "dash", "")], &|_| told.set(true)).unwrap();

        assert!(!told.get());
        assert_eq!(missing(&[SHELL, ABSENT]), [ABSENT]);
    }

    #[test]
    fn without_root_the_command_to_run_is_named() {
        let error = check(&["curl", "python3"], true, false).unwrap_err();

        assert_eq!(error.hint, "run `sudo apt-get install --no-install-recommends curl python3`");
    }

    #[test]
    fn without_apt_the_packages_are_named() {
        let error = check(&["curl"], false, true).unwrap_err();

        assert_eq!(error.what, "this machine lacks `curl`");
    }

    #[test]
    fn packages_are_named_once() {
        let tools = [SHELL, ABSENT, Tool::new("dash", "dash", "runs scripts")];

        assert_eq!(packages(&tools), ["dash", "no-such-package"]);
    }
}
