//! Passwords: text, or a reference to the environment, a file or a command of the operator. They are looked up when
//! something needs them, and each reference once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Local, Reader, UserList};
use crate::failure::Failure;
use crate::inventory::Warning;
use crate::inventory::ansible::connection::no_template;
use crate::inventory::names::{quoted, shown};
use crate::inventory::yaml::node::{Entry, Later, Node, Value};
use crate::inventory::yaml::place::Place;
use crate::inventory::yaml::problem::{Problem, nearest};
use crate::resource::Secret;

/// Where a password can be.
const KINDS: [&str; 3] = ["env", "file", "command"];
const EXAMPLES: &str =
    "write text, { env: NAME }, { file: PATH } or { command: [PROGRAM, ARGUMENT] }";
/// Passwords that everybody knows: those of the example.
const KNOWN_PASSWORDS: [&str; 2] = ["homework", "password"];
/// The least characters of a password, as NIST SP 800-63B has it.
const MIN_PASSWORD: usize = 8;

/// The most bytes that are read of a file or a program with a password in it.
const MAX_SOURCE_BYTES: u64 = 64 << 10;

/// Who may log in, with their passwords.
#[derive(Clone, Debug, PartialEq)]
pub struct Users {
    /// Where they are in the inventory, such as `api.users`.
    path: String,
    /// None where the inventory has to name them and does not.
    users: Option<BTreeMap<String, Password>>,
}

impl Users {
    pub(super) fn given(path: &str, users: BTreeMap<String, Password>) -> Self {
        Self { path: path.to_owned(), users: Some(users) }
    }

    pub(super) fn missing(path: &str) -> Self {
        Self { path: path.to_owned(), users: None }
    }

    /// Whether nobody is asked for a login. Users that are yet to be named are asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.as_ref().is_some_and(BTreeMap::is_empty)
    }

    /// The names of those who may log in. None where they are yet to be named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.users.iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The first user with its password, which is looked up. None where nobody may log in.
    pub fn first(&self) -> Result<Option<(&str, Secret)>, Failure> {
        let Some((name, password)) = self.users.iter().flatten().next() else { return Ok(None) };
        Ok(Some((name, password.reveal()?)))
    }

    /// All users with their passwords, which are looked up.
    pub fn reveal(&self) -> Result<BTreeMap<String, Secret>, Failure> {
        let Some(users) = &self.users else { return Err(missing(&self.path).into()) };
        users.iter().map(|(name, password)| Ok((name.clone(), password.reveal()?))).collect()
    }
}

fn missing(path: &str) -> Problem {
    let message = format!("`{path}` is not set: no password is built into hwctl");
    Problem::nowhere(message).hint(format!(
        "name who may log in: in an inventory (`hwctl init` writes one), or by `--set {path}.NAME=PASSWORD`"
    ))
}

/// A password of the inventory, which is looked up when something needs it.
#[derive(Clone)]
pub struct Password {
    given: Given,
    /// Where it is in the inventory, such as `api.users.admin`.
    path: String,
    place: Place,
    passwords: Arc<Passwords>,
}

#[derive(Clone, PartialEq)]
enum Given {
    Text(Secret),
    At(Origin),
    /// A template or a vault, whose value is one of the others.
    Later(Later),
}

/// The value is left out.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Password").field(&self.path).finish()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl Password {
    /// The password itself.
    pub fn reveal(&self) -> Result<Secret, Failure> {
        Ok(self.look_up()?)
    }

    fn look_up(&self) -> Result<Secret, Problem> {
        let Self { path, place, .. } = self;
        let given = match &self.given {
            Given::Later(later) => &given(&later.now()?, path)?,
            given => given,
        };
        let secret = match given {
            Given::Text(secret) => secret.clone(),
            Given::At(origin) => {
                let found = self.passwords.resolve(origin);
                found.map_err(|why| Problem::at(place, format!("`{path}`: {why}")))?
            }
            Given::Later(_) => {
                return Err(Problem::at(place, format!("`{path}` is a template of a template")));
            }
        };
        let password = secret.expose();
        if password.is_empty() {
            return Err(Problem::at(place, format!("`{path}` is an empty password")));
        }
        if password.contains(char::is_control) {
            let message = format!("`{path}` is a password with a line break or control character");
            return Err(Problem::at(place, message));
        }
        Ok(secret)
    }

    /// What should not stay so.
    fn weakness(&self, password: &Secret) -> Option<Warning> {
        let (path, password) = (&self.path, password.expose());
        let message = match password.chars().count() {
            _ if KNOWN_PASSWORDS.contains(&password) => {
                format!("`{path}` has the password of the example, which everybody knows")
            }
            length if length < MIN_PASSWORD => format!(
                "`{path}` has a password of {length} characters: use at least {MIN_PASSWORD}"
            ),
            _ => return None,
        };
        Some(Warning { place: self.place.to_string(), message })
    }
}

/// Something outside of the inventory that a variable refers to.
#[derive(Clone, Debug)]
pub(super) enum Reference {
    Password(Password),
    /// A file or folder of the operator's, at the path `field` of the inventory.
    Local {
        path: PathBuf,
        field: String,
        place: Place,
        rule: Local,
    },
    /// Users that the inventory has to name and does not.
    Missing(String),
}

impl Reference {
    /// Finds it. Paths begin at `folder`.
    pub(super) fn look_up(&self, folder: &Path) -> Result<Option<Warning>, Problem> {
        match self {
            Self::Password(password) => password.look_up().map(|secret| password.weakness(&secret)),
            Self::Local { path, field, place, rule } if !(rule.is)(&folder.join(path)) => {
                let shown = shown(&path.to_string_lossy());
                let message = format!("`{field}`: `{shown}` is not {}", rule.what);
                let problem = Problem::at(place, message).showing(std::slice::from_ref(place));
                Err(problem.hint("relative paths begin at the inventory's folder"))
            }
            Self::Local { .. } => Ok(None),
            Self::Missing(path) => Err(missing(path)),
        }
    }
}

impl Reader<'_> {
    /// Notes what the variable being read refers to.
    pub(super) fn refers_to(&mut self, reference: Reference) {
        if let Some(variable) = self.variable() {
            self.references.push((variable, reference));
        }
    }

    /// A user of the list at `path`, with its password. No problem shows its value.
    pub(super) fn password(
        &mut self,
        rule: &UserList,
        entry: &Entry,
        path: &str,
    ) -> Option<(String, Password)> {
        let path_of = format!("{path}.{}", entry.key);
        let read = named(rule, entry, path).and_then(|()| given(&entry.node, &path_of));
        let given = read.map_err(|problem| self.problem(problem)).ok()?;
        let (place, passwords) = (entry.node.place.clone(), Arc::clone(self.passwords));
        let password = Password { given, path: path_of, place, passwords };
        self.refers_to(Reference::Password(password.clone()));
        Some((entry.key.clone(), password))
    }
}

/// Checks that this is a user with a password. When it is not, the name may well be the password: of `admin:hunter2`
/// and `admin=hunter2` YAML makes a name alone.
fn named(rule: &UserList, entry: &Entry, path: &str) -> Result<(), Problem> {
    let (message, hint) = if !(rule.is_name)(&entry.key) {
        ("has a name that no user can have", rule.hint)
    } else if entry.node.is_null() {
        ("has a user without a password", "write `name: password`, with a space behind the colon")
    } else {
        return Ok(());
    };
    let problem = Problem::at(&entry.place, format!("`{path}` {message}"));
    Err(problem.hint(hint).hiding_place())
}

/// The password at `path` as the inventory gives it.
fn given(node: &Node, path: &str) -> Result<Given, Problem> {
    no_template(node)?;
    let problem = |message: String| Problem::at(&node.place, message);
    match &node.value {
        Value::Text(text) | Value::Literal(text) => Ok(Given::Text(Secret::new(text.clone()))),
        Value::Map(_) => origin(node, path).map(Given::At),
        Value::Later(later) => Ok(Given::Later(later.clone())),
        Value::Null | Value::List(_) | Value::Vault(_) => {
            let message = format!("`{path}` takes a password, not {}", node.kind());
            Err(problem(message).hint(EXAMPLES))
        }
        Value::Flag(_) | Value::Number(_) => {
            let message = format!("`{path}` takes a password as text, not {}", node.kind());
            Err(problem(message).hint("put it in quotes"))
        }
    }
}

/// The passwords that were looked up. A reference that was resolved once is not resolved again for the next host: a
/// command may ask the operator something.
pub(in crate::inventory) struct Passwords {
    folder: PathBuf,
    known: Mutex<HashMap<Origin, Secret>>,
}

/// Where a password is.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Origin {
    Env(String),
    File(String),
    Command(Vec<String>),
}

impl Passwords {
    /// Files are relative to this folder, and commands run there.
    pub(in crate::inventory) fn new(folder: PathBuf) -> Self {
        Self { folder, known: Mutex::new(HashMap::new()) }
    }

    /// The password that a variable gives, which is looked up here.
    pub(in crate::inventory) fn find(this: &Arc<Self>, entry: &Entry) -> Result<Secret, Problem> {
        let given = given(&entry.node, &entry.key)?;
        let (path, place) = (entry.key.clone(), entry.node.place.clone());
        Password { given, path, place, passwords: Arc::clone(this) }.look_up()
    }

    fn resolve(&self, origin: &Origin) -> Result<Secret, String> {
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
            .and_then(|file| file.take(MAX_SOURCE_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|error| format!("cannot read {name}: {error}"))?;
        text_of(bytes, &name)
    }

    fn run_command(&self, words: &[String]) -> Result<String, String> {
        let name = shown(words.first().map_or("", String::as_str));
        let mut command = Command::new(words.first().map_or("", String::as_str));
        command.args(words.iter().skip(1)).stdin(Stdio::inherit());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if !self.folder.as_os_str().is_empty() {
            command.current_dir(&self.folder);
        }
        let (status, printed, said) = run_bounded(&mut command)
            .map_err(|error| format!("cannot run the command `{name}`: {error}"))?;
        if printed.len() as u64 > MAX_SOURCE_BYTES || said.len() as u64 > MAX_SOURCE_BYTES {
            return Err(format!("the command `{name}` prints more than a password"));
        }
        if !status.success() {
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).map(shown);
            let last = last.map(|line| format!(": {line}")).unwrap_or_default();
            return Err(format!("the command `{name}` fails ({status}){last}"));
        }
        text_of(printed, &format!("the output of the command `{name}`"))
    }
}

/// The text of a password's source that was read up to the bound.
fn text_of(bytes: Vec<u8>, what: &str) -> Result<String, String> {
    if bytes.len() as u64 > MAX_SOURCE_BYTES {
        return Err(format!("{what} is longer than a password"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{what} is not text"))
}

/// Runs a program and reads what it prints on standard output and standard error, both up to the bound and a byte. A
/// program that prints more is ended.
fn run_bounded(command: &mut Command) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let mut child = command.spawn()?;
    let said = child.stderr.take();
    let said = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What a failing program says is for the message alone.
        let _ = said.map(|stream| stream.take(MAX_SOURCE_BYTES + 1).read_to_end(&mut bytes));
        bytes
    });
    let mut printed = Vec::new();
    if let Some(stream) = child.stdout.take() {
        stream.take(MAX_SOURCE_BYTES + 1).read_to_end(&mut printed)?;
    }
    if printed.len() as u64 > MAX_SOURCE_BYTES {
        child.kill()?;
    }
    Ok((child.wait()?, printed, said.join().unwrap_or_default()))
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
fn origin(node: &Node, path: &str) -> Result<Origin, Problem> {
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
        _ => None,
    };
    nodes.iter().map(word).collect()
}
