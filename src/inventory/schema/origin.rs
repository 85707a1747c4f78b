//! Where passwords are that the inventory does not have itself: in the environment, in a file, or printed by a program.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::inventory::ansible::connection::no_template;
use crate::inventory::names::{quoted, shown};
use crate::inventory::program::{self, Bounds, Fault, Input};
use crate::inventory::yaml::node::{Node, Value};
use crate::inventory::yaml::problem::{Problem, nearest};
use crate::resource::Secret;

/// Where a password can be.
const KINDS: [&str; 3] = ["env", "file", "command"];
/// What a password may be, for a hint.
pub(super) const EXAMPLES: &str =
    "write text, { env: NAME }, { file: PATH } or { command: [PROGRAM, ARGUMENT] }";
/// The most bytes that are read of a file or a program with a password in it.
const MAX_SOURCE_BYTES: usize = 64 << 10;
/// A program may ask the operator for a passphrase or a key that has to be fetched first.
const BOUNDS: Bounds = Bounds { time: Duration::from_mins(10), bytes: MAX_SOURCE_BYTES };

/// The passwords that were looked up. A reference that was resolved once is not resolved again for the next host: a
/// command may ask the operator something.
pub(in crate::inventory) struct Passwords {
    folder: PathBuf,
    known: Mutex<HashMap<Origin, Secret>>,
}

/// Where a password is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    Env(String),
    File(String),
    Command(Vec<String>),
}

impl Passwords {
    /// Files are relative to this folder, and commands run there.
    pub(in crate::inventory) fn new(folder: PathBuf) -> Self {
        Self { folder, known: Mutex::new(HashMap::new()) }
    }

    pub(super) fn resolve(&self, origin: &Origin) -> Result<Secret, String> {
        // A lock that a panic left behind still holds what was resolved.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(password) = known.get(origin) {
            return Ok(password.clone());
        }
        let mut password = match origin {
            Origin::Env(name) => read_env(name)?,
            Origin::File(path) => self.read_file(path)?,
            Origin::Command(words) => self.run_command(words)?,
        };
        let end = password.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
        if let Some(end) = end.map(str::len) {
            password.truncate(end);
        }
        let password = Secret::new(password);
        known.insert(origin.clone(), password.clone());
        Ok(password)
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        let file = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => self.folder.join(path),
        };
        let name = format!("the file `{}`", shown(path));
        let mut bytes = Vec::new();
        let read = std::fs::File::open(file)
            .and_then(|file| file.take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes));
        read.map_err(|error| format!("cannot read {name}: {error}"))?;
        text_of(bytes, &name)
    }

    fn run_command(&self, words: &[String]) -> Result<String, String> {
        let name = shown(words.first().map_or("", String::as_str));
        let mut command = Command::new(words.first().map_or("", String::as_str));
        command.args(words.iter().skip(1));
        if !self.folder.as_os_str().is_empty() {
            command.current_dir(&self.folder);
        }
        let output =
            program::run(&mut command, Input::Terminal, BOUNDS).map_err(|fault| match fault {
                Fault::Io(error) => format!("cannot run the command `{name}`: {error}"),
                Fault::TooMuch => format!("the command `{name}` prints more than a password"),
                Fault::TooLong(_) => {
                    let minutes = BOUNDS.time.as_secs() / 60;
                    format!("the command `{name}` took longer than {minutes} minutes and was ended")
                }
            })?;
        if !output.status.success() {
            return Err(format!(
                "the command `{name}` fails ({}); what it printed is withheld, because it may be a \
                 password: run the command yourself to see it",
                output.status
            ));
        }
        text_of(output.stdout, &format!("the output of the command `{name}`"))
    }
}

/// The text of a password's source that was read up to the bound.
fn text_of(bytes: Vec<u8>, what: &str) -> Result<String, String> {
    if bytes.len() > MAX_SOURCE_BYTES {
        return Err(format!("{what} is longer than a password"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{what} is not text"))
}

fn read_env(name: &str) -> Result<String, String> {
    use std::env::VarError;
    std::env::var(name).map_err(|error| match error {
        VarError::NotPresent => format!("the environment variable `{}` is not set", shown(name)),
        VarError::NotUnicode(_) => {
            format!("the environment variable `{}` is not text", shown(name))
        }
    })
}

/// Reads `{ env: … }`, `{ file: … }` or `{ command: … }`.
pub(super) fn origin(node: &Node, path: &str) -> Result<Origin, Problem> {
    let entries = node.entries().unwrap_or_default();
    let [entry] = entries else {
        let message = format!("`{path}` takes one of {}", quoted(&KINDS));
        return Err(Problem::at(&node.place, message).hint(EXAMPLES));
    };
    if !KINDS.contains(&entry.key.as_str()) {
        let message = format!("unknown key `{}` in `{path}`", entry.shown_key());
        let hint = nearest(&entry.key, KINDS).map(|near| format!("did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| EXAMPLES.to_owned());
        return Err(Problem::at(&entry.place, message).hint(hint));
    }
    let wrong = |expected: &str| {
        let message = format!("`{path}.{}` takes {expected}", entry.key);
        Err(Problem::at(&entry.node.place, message))
    };
    no_template(&entry.node)?;
    let text = match &entry.node.value {
        Value::Text(text) | Value::Literal(text) => Some(text.as_str()),
        _ => None,
    };
    match (entry.key.as_str(), text) {
        ("env", Some(name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
            Ok(Origin::Env(name.to_owned()))
        }
        ("env", _) => wrong("the name of an environment variable"),
        ("file", Some(file)) if !file.is_empty() => Ok(Origin::File(file.to_owned())),
        ("file", _) => wrong("the path of a file"),
        // Split as a shell would, and run without one.
        (_, Some(line)) => match shlex::split(line) {
            Some(words) if !words.is_empty() => Ok(Origin::Command(words)),
            _ => wrong("a command whose quotes are closed"),
        },
        (_, None) => match words(&entry.node) {
            Some(words) if !words.is_empty() => Ok(Origin::Command(words)),
            _ => wrong("a list of words, such as [pass, show, vm1]"),
        },
    }
}

fn words(node: &Node) -> Option<Vec<String>> {
    let Value::List(nodes) = &node.value else { return None };
    let word = |node: &Node| match &node.value {
        Value::Text(text) | Value::Literal(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Integer(digits) => Some(digits.clone()),
        _ => None,
    };
    nodes.iter().map(word).collect()
}
