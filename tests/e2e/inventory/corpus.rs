//! `hwctl inventory --list` prints what `ansible-inventory --list` prints, for inventories of every kind.
//!
//! Each file of the folder `corpus` is one case: the arguments, then the files of a folder that both
//! programs run in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use serde_json::Value;

use crate::python;

crate::tests! {
    Python: [inventories_of_every_kind_are_read_as_ansible_reads_them],
}

/// How many cases run at once: Ansible takes half a second to start.
const WORKERS: usize = 3;

struct Case {
    name: String,
    arguments: Vec<String>,
    /// Whether both programs have to refuse the inventory.
    fails: bool,
    files: Vec<File>,
}

struct File {
    path: String,
    is_executable: bool,
    text: String,
}

fn inventories_of_every_kind_are_read_as_ansible_reads_them() {
    let ansible = python::program("ansible-inventory", "ansible-core");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/inventory/corpus");
    let mut cases: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| Case::read(&entry.unwrap().path())).collect();
    assert!(cases.len() >= 60, "there are only {} cases", cases.len());
    cases.sort_by(|one, other| other.name.cmp(&one.name));

    let (cases, wrong) = (Mutex::new(cases), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = { cases.lock().unwrap().pop() } {
                    wrong.lock().unwrap().extend(case.difference(&ansible));
                }
            });
        }
    });

    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

impl Case {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let arguments = vec!["-i".to_owned(), "inventory".to_owned()];
        let mut case = Self { name, arguments, fails: false, files: Vec::new() };
        for line in fs::read_to_string(path).unwrap().split_inclusive('\n') {
            let header = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --\n"));
            if let Some(header) = header {
                let executable = header.strip_suffix(" (executable)");
                case.files.push(File {
                    path: executable.unwrap_or(header).to_owned(),
                    is_executable: executable.is_some(),
                    text: String::new(),
                });
            } else if let Some(file) = case.files.last_mut() {
                file.text.push_str(line);
            } else if let Some(arguments) = line.strip_prefix('$') {
                case.arguments = arguments.split_whitespace().map(str::to_owned).collect();
            } else {
                case.fails |= line == "! fails\n";
            }
        }
        case
    }

    /// What differs between the two programs.
    fn difference(&self, ansible: &Path) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        for File { path, is_executable, text } in &self.files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            if *is_executable {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let theirs = self.run(Command::new(ansible).arg("--list"), ansible, folder.path());
        let hwctl = env!("CARGO_BIN_EXE_hwctl");
        let ours =
            self.run(Command::new(hwctl).args(["inventory", "--list"]), ansible, folder.path());
        let list = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).ok();
        let is_equal = match self.fails {
            true => !theirs.status.success() && ours.status.code() == Some(2),
            false => {
                list(&ours).is_some()
                    && list(&ours) == list(&theirs)
                    && long_numbers(&ours) == long_numbers(&theirs)
            }
        };
        let said = |output: &Output| {
            let text = [output.stdout.as_slice(), &output.stderr].concat();
            String::from_utf8_lossy(&text).into_owned()
        };
        (!is_equal)
            .then(|| format!("{}: Ansible: {}\nhwctl: {}", self.name, said(&theirs), said(&ours)))
    }

    fn run(&self, command: &mut Command, ansible: &Path, folder: &Path) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", ansible.parent().unwrap().display());
        command
            .args(&self.arguments)
            .current_dir(folder)
            .env("PATH", path)
            .env("ANSIBLE_INVENTORY_UNPARSED_FAILED", "true")
            .env("ANSIBLE_DEPRECATION_WARNINGS", "false")
            // Nobody's own settings of Ansible count here.
            .env("HOME", folder)
            .output()
            .unwrap()
    }
}

/// The numbers that a reader of JSON may round.
fn long_numbers(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '-').map(str::to_owned);
    let mut long: Vec<_> = words.filter(|word| word.len() > 18).collect();
    long.sort();
    long
}
