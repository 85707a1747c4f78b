//! Passwords: literal, or a reference to the environment, a file or a command of the operator.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::Lookup;
use super::ansible::connection::no_template;
use super::names::{quoted, shown};
use super::yaml::node::{Node, Value};
use super::yaml::place::{Problem, nearest};
use crate::resource::Secret;

/// Where a password can be.
const KINDS: [&str; 3] = ["env", "file", "command"];
const EXAMPLES: &str =
    "write text, { env: NAME }, { file: PATH } or { command: [PROGRAM, ARGUMENT] }";

/// A reference that was resolved once is not resolved again for the next host: a command may
/// ask the operator something.
pub(super) struct Passwords {
    folder: PathBuf,
    known: Mutex<HashMap<Reference, Secret>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Reference {
    Env(String),
    File(String),
    Command(Vec<String>),
}

impl Passwords {
    /// Files are relative to this folder, and commands run there.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, known: Mutex::new(HashMap::new()) }
    }

    /// The password at `path` (such as `api.users.admin`), or an empty one if it is not looked up.
    /// No problem shows its value.
    pub(super) fn read(&self, node: &Node, path: &str, lookup: Lookup) -> Result<Secret, Problem> {
        let problem = |message: String| Problem::at(&node.place, message);
        no_template(node)?;
        let password = match &node.value {
            Value::Text(text) | Value::Literal(text) => text.clone(),
            Value::Map(_) => {
                let reference = reference(node, path)?;
                if lookup == Lookup::Never {
                    return Ok(Secret::new(String::new()));
                }
                self.resolve(&reference).map_err(|why| problem(format!("`{path}`: {why}")))?
            }
            Value::Null | Value::List(_) | Value::Vault(_) => {
                let message = format!("`{path}` takes a password, not {}", node.kind());
                return Err(problem(message).hint(EXAMPLES));
            }
            Value::Flag(_) | Value::Number(_) => {
                let message = format!("`{path}` takes a password as text, not {}", node.kind());
                return Err(problem(message).hint("put it in quotes"));
            }
        };
        if password.is_empty() {
            return Err(problem(format!("`{path}` is an empty password")));
        }
        if password.contains(char::is_control) {
            let message = format!("`{path}` is a password with a line break or control character");
            return Err(problem(message));
        }
        Ok(Secret::new(match lookup {
            Lookup::Now => password,
            Lookup::Never => String::new(),
        }))
    }

    fn resolve(&self, reference: &Reference) -> Result<String, String> {
        let known = |passwords: &HashMap<_, Secret>| {
            passwords.get(reference).map(|secret| secret.expose().to_owned())
        };
        // A lock that a panic left behind still holds what was resolved.
        let mut passwords = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(password) = known(&passwords) {
            return Ok(password);
        }
        let mut password = match reference {
            Reference::Env(name) => read_env(name)?,
            Reference::File(path) => self.read_file(path)?,
            Reference::Command(words) => self.run_command(words)?,
        };
        let end = password.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
        if let Some(end) = end.map(str::len) {
            password.truncate(end);
        }
        passwords.insert(reference.clone(), Secret::new(password.clone()));
        Ok(password)
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        let file = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => self.folder.join(path),
        };
        let bytes = std::fs::read(file)
            .map_err(|error| format!("cannot read the file `{}`: {error}", shown(path)))?;
        String::from_utf8(bytes).map_err(|_| format!("the file `{}` is not text", shown(path)))
    }

    fn run_command(&self, words: &[String]) -> Result<String, String> {
        let name = shown(words.first().map_or("", String::as_str));
        let mut command = Command::new(words.first().map_or("", String::as_str));
        command.args(words.iter().skip(1)).stdin(Stdio::inherit());
        if !self.folder.as_os_str().is_empty() {
            command.current_dir(&self.folder);
        }
        let output = command
            .output()
            .map_err(|error| format!("cannot run the command `{name}`: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).map(shown);
            let last = last.map(|line| format!(": {line}")).unwrap_or_default();
            return Err(format!("the command `{name}` fails ({}){last}", output.status));
        }
        String::from_utf8(output.stdout)
            .map_err(|_| format!("the command `{name}` prints something that is not text"))
    }
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
fn reference(node: &Node, path: &str) -> Result<Reference, Problem> {
    let entries = node.entries().unwrap_or_default();
    let [entry] = entries else {
        let message = format!("`{path}` takes one of {}", quoted(&KINDS));
        return Err(Problem::at(&node.place, message).hint(EXAMPLES));
    };
    if !KINDS.contains(&entry.key.as_str()) {
        let message = format!("unknown key `{}` in `{path}`", shown(&entry.key));
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
            Ok(Reference::Env(name.to_owned()))
        }
        ("env", _) => wrong("the name of an environment variable"),
        ("file", Some(file)) if !file.is_empty() => Ok(Reference::File(file.to_owned())),
        ("file", _) => wrong("the path of a file"),
        // Split as a shell would, and run without one.
        (_, Some(line)) => match shlex::split(line) {
            Some(words) if !words.is_empty() => Ok(Reference::Command(words)),
            _ => wrong("a command whose quotes are closed"),
        },
        (_, None) => match words(&entry.node) {
            Some(words) if !words.is_empty() => Ok(Reference::Command(words)),
            _ => wrong("a list of words, such as [pass, show, vm1]"),
        },
    }
}

fn words(node: &Node) -> Option<Vec<String>> {
    let Value::List(nodes) = &node.value else { return None };
    let word = |node: &Node| match &node.value {
        Value::Text(text) | Value::Literal(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    nodes.iter().map(word).collect()
}
