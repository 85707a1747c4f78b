//! Passwords: text, or a reference to the environment, a file or a command of the operator. They are looked up when
//! something needs them, and each reference once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::origin::{EXAMPLES, Origin, Passwords, origin};
use super::{Local, Reader, UserList};
use crate::failure::Failure;
use crate::inventory::Warning;
use crate::inventory::ansible::connection::no_template;
use crate::inventory::check;
use crate::inventory::names::shown;
use crate::inventory::yaml::node::{Entry, Later, Node, Value};
use crate::inventory::yaml::place::Place;
use crate::inventory::yaml::problem::Problem;
use crate::resource::Secret;

/// Passwords that everybody knows: those of the example.
const KNOWN_PASSWORDS: [&str; 2] = ["homework", "password"];
/// The least characters of a password, as NIST SP 800-63B has it.
const MIN_PASSWORD: usize = 8;

/// Who may log in, with their passwords.
#[derive(Clone, Debug, PartialEq)]
pub struct Users {
    /// Where they are in the inventory, such as `api.users`.
    path: String,
    /// None where the inventory has to name them and does not.
    users: Option<BTreeMap<String, Password>>,
}

impl Users {
    /// Of what asks nobody for a login.
    #[must_use]
    pub fn nobody() -> Self {
        Self::given("", BTreeMap::new())
    }

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
    purpose: Purpose,
    passwords: Arc<Passwords>,
}

/// What a password is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Somebody logs in with it, so a template that gives a number is a mistake, and a short one is weak.
    Login,
    /// A program gets it as text, whatever it is.
    Program,
    /// It is a URL that something is sent to.
    Url,
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

    /// Where it is in the inventory, such as `api.users.admin`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn look_up(&self) -> Result<Secret, Problem> {
        let Self { path, place, purpose, .. } = self;
        let given = match &self.given {
            Given::Later(later) => &match (later.now()?, purpose) {
                (Node { value: Value::Number(number), .. }, Purpose::Program) => {
                    Given::Text(Secret::new(number.to_string()))
                }
                (Node { value: Value::Flag(flag), .. }, Purpose::Program) => {
                    Given::Text(Secret::new(flag.to_string()))
                }
                (node, _) => given(&node, path)?,
            },
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
        if *purpose == Purpose::Url && !check::web_url(password) {
            let message = format!("`{path}` is no URL that something can be sent to");
            let hint = "write `https://HOST/PATH` without spaces; the value is not shown, because it is a secret";
            return Err(Problem::at(place, message).hint(hint));
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
            length if length < MIN_PASSWORD && self.purpose == Purpose::Login => format!(
                "`{path}` has a password of {length} characters: use at least {MIN_PASSWORD}"
            ),
            _ => return None,
        };
        Some(Warning { place: self.place.to_string(), message })
    }
}

impl Passwords {
    /// The password that a variable gives, which is looked up here.
    pub(in crate::inventory) fn find(this: &Arc<Self>, entry: &Entry) -> Result<Secret, Problem> {
        let given = given(&entry.node, &entry.key)?;
        let (path, place) = (entry.key.clone(), entry.node.place.clone());
        let (purpose, passwords) = (Purpose::Login, Arc::clone(this));
        Password { given, path, place, purpose, passwords }.look_up()
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

impl Reference {
    /// The local file or folder, for a machine that finds all the rest out for itself: it has none of the operator's
    /// files, variables and vaults. Paths begin at `folder`.
    pub(super) fn portable(&self, folder: &Path) -> Result<Option<PathBuf>, Problem> {
        match self {
            Self::Password(Password {
                given: Given::At(Origin::Command(words)),
                path,
                place,
                ..
            }) => {
                let program = words.first().map_or("", String::as_str);
                if program.contains('/') && !program.starts_with('/') {
                    let message = format!(
                        "`{path}`: the machine does not have the program `{}`",
                        shown(program)
                    );
                    let hint = "name a program that is on its PATH, or its whole path there";
                    return Err(Problem::at(place, message).hint(hint));
                }
                Ok(None)
            }
            Self::Password(Password { path, place, .. }) => {
                let message =
                    format!("`{path}` is a secret that the machine cannot find out for itself");
                let hint = "write `{ command: [PROGRAM, ARGUMENT] }`, which the machine runs at its first boot; a text that is no secret may stand there without a template";
                Err(Problem::at(place, message).hint(hint))
            }
            Self::Local { path, field, place, .. } => {
                if path.is_absolute() || path.starts_with("~") {
                    let message = format!(
                        "`{field}`: a path that goes to a machine begins at the inventory's folder"
                    );
                    return Err(Problem::at(place, message).hint("write a relative path"));
                }
                self.look_up(folder)?;
                Ok(Some(path.clone()))
            }
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
        let path_of = format!("{path}.{}", entry.shown_key());
        named(rule, entry, path).map_err(|problem| self.problem(problem)).ok()?;
        let password = self.password_at(&entry.node, path_of, Purpose::Login)?;
        Some((entry.key.clone(), password))
    }

    /// A secret at `path` that a program gets. No problem shows its value.
    pub(super) fn secret(&mut self, node: &Node, path: &str) -> Option<Password> {
        self.password_at(node, path.to_owned(), Purpose::Program)
    }

    /// A URL at `path` that something is sent to. No problem shows its value.
    pub(super) fn secret_url(&mut self, node: &Node, path: &str) -> Option<Password> {
        self.password_at(node, path.to_owned(), Purpose::Url)
    }

    fn password_at(&mut self, node: &Node, path: String, purpose: Purpose) -> Option<Password> {
        let given = given(node, &path).map_err(|problem| self.problem(problem)).ok()?;
        let (place, passwords) = (node.place.clone(), Arc::clone(self.passwords));
        let password = Password { given, path, place, purpose, passwords };
        self.refers_to(Reference::Password(password.clone()));
        Some(password)
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
        Value::Flag(_) | Value::Number(_) | Value::Integer(_) => {
            let message = format!("`{path}` takes a password as text, not {}", node.kind());
            Err(problem(message).hint("put it in quotes"))
        }
    }
}
