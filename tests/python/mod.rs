//! Programs from `PyPI` that tests compare with: the one on the PATH, else one installed once below
//! `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The path of `program`, which the package `package` brings.
pub(crate) fn program(program: &str, package: &str) -> PathBuf {
    // Two tests of one binary may want the same program.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&on_path).map(|folder| folder.join(program));
    if let Some(found) = found.into_iter().find(|path| path.is_file()) {
        return found;
    }
    let _installing = INSTALLING.lock();
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let installed = venv.join("bin").join(program);
    if !installed.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", package]));
    }
    installed
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} fails: {said}");
}
