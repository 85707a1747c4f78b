//! `hwctl-launch PROGRAM ARGUMENT…`: the first program of a container with secrets in its environment. Not for people.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::failure::Exit;
use crate::resource::container::{ENVIRONMENT, LAUNCHER_NAME};
use crate::resource::parse_environment;

/// Whether this process was called by the launcher's name.
#[must_use]
pub fn is_called() -> bool {
    let called = std::env::args_os().next().unwrap_or_default();
    Path::new(&called).file_name().is_some_and(|name| name == LAUNCHER_NAME)
}

/// Becomes the program, with the variables of the mounted file. Returns only where that fails.
pub fn run() -> Result<Exit> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().context("no program is named")?;
    let text = fs::read_to_string(ENVIRONMENT);
    let text = text.with_context(|| format!("the container's user cannot read `{ENVIRONMENT}`"))?;
    let variables = parse_environment(&text).with_context(|| format!("in `{ENVIRONMENT}`"))?;
    let error = Command::new(&program).args(words).envs(variables).exec();
    Err(error).with_context(|| format!("start `{}`", program.to_string_lossy()))
}
