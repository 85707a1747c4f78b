//! Programs from `PyPI` that tests compare with: the one on the PATH, else one installed once below
//! `target/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use hwctl_setup::Tool;

use crate::harness::say;

const PYTHON: Tool = Tool::new("python3", "python3", "runs programs that the tests compare with");
/// Debian's Python makes no virtual environment without it; others bring what it contains.
const VENV: Tool = Tool::new("/usr/share/doc/python3-venv", "python3-venv", "installs them");

/// The path of `program`, which the package `package` brings.
pub(crate) fn program(program: &str, package: &str) -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&on_path).map(|folder| folder.join(program));
    if let Some(found) = found.into_iter().find(|path| path.is_file()) {
        return found;
    }
    let is_there = |venv: &Path| venv.join("bin").join(program).is_file();
    installed(package, &[], is_there).join("bin").join(program)
}

/// The path of a file that the package `package` brings, below the folder of its modules. What the package needs is left
/// out.
pub(crate) fn file(name: &str, package: &str) -> PathBuf {
    let find = |venv: &Path| {
        let modules =
            fs::read_dir(venv.join("lib")).ok()?.next()?.ok()?.path().join("site-packages");
        Some(modules.join(name)).filter(|path| path.is_file())
    };
    let venv = installed(package, &["--no-deps"], |venv| find(venv).is_some());
    find(&venv).unwrap_or_else(|| panic!("`{package}` has no `{name}`"))
}

/// The environment of a package, which is made once.
fn installed(package: &str, options: &[&str], is_there: impl Fn(&Path) -> bool) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = folder.join(package);
    // Another test, perhaps in another process, may want the same one.
    fs::create_dir_all(folder).unwrap();
    let lock = File::create(folder.join(format!("{package}.lock"))).unwrap();
    lock.lock().unwrap();
    if !is_there(&venv) {
        ensure(PYTHON);
        if !makes_environments() {
            ensure(VENV);
        }
        say(&format!("installing `{package}` from PyPI"));
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let pip = venv.join("bin/pip");
        run(Command::new(pip).args(["install", "--quiet"]).args(options).arg(package));
    }
    venv
}

fn ensure(tool: Tool) {
    hwctl_setup::ensure(&[tool], &say).unwrap_or_else(|error| panic!("{error}"));
}

fn makes_environments() -> bool {
    let output = Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} fails: {said}");
}
