//! Templates: embedded, each overridable by a file, rendered into text with places for secrets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use serde::Serialize;
use tera::{ErrorKind, Kwargs, ReportError, State, Tera, TeraResult};

use super::folder;
use super::quote;
use crate::failure::Failure;
use crate::inventory::require_own;
use crate::packed::{TEMPLATES, unpack};
use crate::resource::{HashScheme, Part, Secret};

/// hwctl's own templates: name and text.
static EMBEDDED: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| unpack(TEMPLATES));

/// Pages may be added to. Every other template of hwctl's folders has a place that only hwctl knows.
const OPEN_FOLDER: &str = "www";

/// Passwords by user name: they never stand in a template's context.
pub(crate) type Passwords = BTreeMap<String, Secret>;

/// Secrets that the operator gives to one template, by name, each as pieces of its text.
pub(crate) type Given = BTreeMap<String, Vec<Part>>;

/// What a template's call of `secret` or `password_hash` asks for.
enum Asked {
    HostSecret(String),
    Given(String),
    Hash { user: String, scheme: HashScheme },
}

/// The calls of the template that is being rendered.
#[derive(Default)]
struct Calls {
    asked: Vec<Asked>,
    /// The names of the secrets that it is given.
    given: Vec<String>,
}

/// All templates of one operator.
pub struct Templates {
    tera: Tera,
    /// Random, so that no value of the inventory can pass for a place of a secret.
    nonce: String,
    asked: Arc<Mutex<Calls>>,
    /// Held while a template is rendered, so that what it asks for is told from what others do.
    rendering: Mutex<()>,
    /// The operator's own templates that are broken, by name, each with its fault. It is reported where one is used.
    broken: BTreeMap<String, Failure>,
}

impl Templates {
    /// The embedded templates, with those of the folder `overrides` in the place of their
    /// namesakes. A folder that does not exist overrides nothing. `secrets` are the names of the host's
    /// secrets that a template may ask for.
    pub(crate) fn load(overrides: &Path, secrets: &'static [&'static str]) -> Result<Self> {
        let mut sources = EMBEDDED.clone();
        if overrides.is_dir() {
            read_overrides(overrides, &mut sources)?;
        }
        let nonce = format!("hwctl{:032x}", rand::random::<u128>());
        let asked = Arc::default();
        let mut tera = Tera::new();
        register(&mut tera, &nonce, &asked, secrets);
        let broken = add(&mut tera, sources)?;
        Ok(Self { tera, nonce, asked, rendering: Mutex::default(), broken })
    }

    /// The templates below `folder`, sorted.
    pub(crate) fn names_below(&self, folder: &str) -> Vec<String> {
        let broken = self.broken.keys().map(String::as_str);
        let names = self.tera.get_template_names().chain(broken);
        let names = names.filter(|name| name.starts_with(folder));
        let mut names: Vec<String> = names.map(ToOwned::to_owned).collect();
        names.sort();
        names
    }

    /// Renders a template. A name that the context lacks is an error with its place.
    pub(crate) fn render(
        &self,
        name: &str,
        context: &impl Serialize,
        passwords: &Passwords,
    ) -> Result<Vec<Part>> {
        self.render_with(name, context, (passwords, &Given::new()))
    }

    /// Renders a template that is given secrets of the operator's.
    pub(crate) fn render_with(
        &self,
        name: &str,
        context: &impl Serialize,
        (passwords, given): (&Passwords, &Given),
    ) -> Result<Vec<Part>> {
        if let Some(fault) = self.broken.get(name) {
            return Err(fault.clone().into());
        }
        let context = tera::Context::from_serialize(context).map_err(|e| broken(name, &e))?;
        let _turn = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.tera.get_template_names().any(|known| known == name) {
            return Err(self.unknown(name).into());
        }
        let calls = || self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        calls().given = given.keys().cloned().collect();
        let text = self.tera.render(name, &context);
        // Taken also when it fails, or the next template would find it.
        let Calls { asked, .. } = std::mem::take(&mut *calls());
        let text = text.map_err(|error| broken(name, &error))?;
        split(&text, &self.nonce, &asked, (passwords, given))
            .map_err(|failure| failure.why(format!("in template `{name}`")).into())
    }

    /// Says that the operator has no template of this name.
    fn unknown(&self, name: &str) -> Failure {
        let own = self.tera.get_template_names().filter(|known| !EMBEDDED.contains_key(*known));
        let nearest = own.min_by_key(|known| strsim::levenshtein(known, name));
        let failure = Failure::usage(format!("`templates/{name}` does not exist"))
            .not_done("nothing was changed");
        failure.hint(match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "templates of your own lie in `templates/` beside the inventory".to_owned(),
        })
    }

    /// Renders a template that has no place for a secret.
    pub(crate) fn render_text(&self, name: &str, context: &impl Serialize) -> Result<String> {
        match self.render(name, context, &Passwords::new())?.as_slice() {
            [] => Ok(String::new()),
            [Part::Text(text)] => Ok(text.clone()),
            _ => Err(Failure::usage(format!("template `{name}` puts a secret where others read"))
                .hint("secrets belong into `app/env`, `nginx/htpasswd` and `redis/redis.conf`")
                .into()),
        }
    }
}

/// hwctl's own templates: name and text.
#[must_use]
pub fn template_sources() -> BTreeMap<String, String> {
    EMBEDDED.clone()
}

fn read_overrides(overrides: &Path, sources: &mut BTreeMap<String, String>) -> Result<()> {
    require_own(overrides)?;
    for file in folder::files(overrides)? {
        require_own(&file.path)?;
        let shown = file.path.display();
        if !sources.contains_key(&file.name) && is_in_own_folder(&file.name) {
            let nearest = sources.keys().min_by_key(|name| strsim::levenshtein(name, &file.name));
            return Err(Failure::usage(format!("`{shown}` overrides no template"))
                .hint(format!("the nearest is `{}`", nearest.map_or("", String::as_str)))
                .into());
        }
        let text = std::fs::read_to_string(&file.path).map_err(|error| {
            anyhow!(
                Failure::usage(format!("template `{shown}` cannot be read")).why(error.to_string())
            )
        })?;
        sources.insert(file.name, text);
    }
    Ok(())
}

/// Whether a template lies in a folder of hwctl's own templates, where it can only take the place of another one. The
/// operator's own lie beside those folders.
fn is_in_own_folder(name: &str) -> bool {
    let Some((folder, _)) = name.split_once('/') else { return false };
    let is_there = |own: &String| own.split_once('/').is_some_and(|(other, _)| other == folder);
    folder != OPEN_FOLDER && EMBEDDED.keys().any(is_there)
}

/// Adds the templates. A template of the operator's own that is broken, or that needs a broken one, is left out: a plan
/// may not use it. Returns those, each with its fault. A broken template of hwctl's own folders is an error.
fn add(tera: &mut Tera, sources: BTreeMap<String, String>) -> Result<BTreeMap<String, Failure>> {
    let Err(error) = tera.add_raw_templates(sources.clone()) else { return Ok(BTreeMap::new()) };
    let is_own = |name: &String| !EMBEDDED.contains_key(name);
    let (mut left, inner): (BTreeMap<_, _>, BTreeMap<_, _>) =
        sources.into_iter().partition(|(name, _)| is_own(name));
    tera.add_raw_templates(inner).map_err(|_| broken("templates", &error))?;
    let mut faults = BTreeMap::new();
    // One that includes or extends another can be added only after it.
    loop {
        let before = left.len();
        left.retain(|name, text| match tera.add_raw_template(name, text) {
            Ok(()) => false,
            Err(error) => {
                faults.insert(name.clone(), Failure::from(broken(name, &error)));
                true
            }
        });
        if left.len() == before {
            faults.retain(|name, _| left.contains_key(name));
            return Ok(faults);
        }
    }
}

fn register(
    tera: &mut Tera,
    nonce: &str,
    calls: &Arc<Mutex<Calls>>,
    secrets: &'static [&'static str],
) {
    let place = {
        let (nonce, calls) = (nonce.to_owned(), Arc::clone(calls));
        move |what: Asked| {
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.asked.push(what);
            format!("{nonce}x{}x", calls.asked.len() - 1)
        }
    };
    let place_of_hash = place.clone();
    let is_given = {
        let calls = Arc::clone(calls);
        move |name: &String| {
            calls.lock().unwrap_or_else(PoisonError::into_inner).given.contains(name)
        }
    };
    tera.register_function("secret", move |named: Kwargs, _: &State| -> TeraResult<String> {
        let name = named.must_get::<String>("name")?;
        if is_given(&name) {
            return Ok(place(Asked::Given(name)));
        }
        if !secrets.contains(&name.as_str()) {
            return Err(tera::Error::message(format!("there is no secret `{name}`")));
        }
        Ok(place(Asked::HostSecret(name)))
    });
    tera.register_function(
        "password_hash",
        move |named: Kwargs, _: &State| -> TeraResult<String> {
            let user = named.must_get::<String>("user")?;
            let scheme = match named.must_get::<&str>("scheme")? {
                "sha512-crypt" => HashScheme::Sha512Crypt,
                "argon2id" => HashScheme::Argon2id,
                other => {
                    return Err(tera::Error::message(format!(
                        "there is no scheme `{other}`: use `sha512-crypt` or `argon2id`"
                    )));
                }
            };
            Ok(place_of_hash(Asked::Hash { user, scheme }))
        },
    );
    tera.register_filter("nginx", |value: &str, _: Kwargs, _: &State| -> TeraResult<String> {
        quote::nginx(value).map_err(tera::Error::message)
    });
    tera.register_filter("shell", |value: &str, _: Kwargs, _: &State| -> TeraResult<String> {
        quote::shell(value).map_err(tera::Error::message)
    });
    tera.register_filter(
        "json",
        |value: tera::Value, _: Kwargs, _: &State| -> TeraResult<String> {
            serde_json::to_string(&value).map_err(tera::Error::message)
        },
    );
    tera.register_filter("systemd", |value: &str, _: Kwargs, _: &State| -> TeraResult<String> {
        quote::systemd(value).map_err(tera::Error::message)
    });
}

/// Cuts a rendered text at the places of secrets.
fn split(
    text: &str,
    nonce: &str,
    asked: &[Asked],
    (passwords, given): (&Passwords, &Given),
) -> Result<Vec<Part>, Failure> {
    let mut pieces = text.split(nonce);
    let mut parts = vec![Part::Text(pieces.next().unwrap_or_default().to_owned())];
    for piece in pieces {
        let mut fields = piece.strip_prefix('x').unwrap_or_default().splitn(2, 'x');
        let asked = fields.next().and_then(|index| asked.get(index.parse::<usize>().ok()?));
        let (Some(asked), Some(rest)) = (asked, fields.next()) else { return Err(mangled()) };
        match asked {
            Asked::HostSecret(name) => parts.push(Part::HostSecret(name.clone())),
            Asked::Given(name) => parts.extend(given.get(name).into_iter().flatten().cloned()),
            Asked::Hash { user, scheme } => {
                let password = passwords.get(user).ok_or_else(|| {
                    Failure::usage(format!("there is no password of `{user}` here"))
                })?;
                let password = password.clone();
                parts.push(Part::Hash { user: user.clone(), password, scheme: *scheme });
            }
        }
        parts.push(Part::Text(rest.to_owned()));
    }
    parts.retain(|part| *part != Part::Text(String::new()));
    let unseen = |part: &Part| matches!(part, Part::Text(t) if t.to_lowercase().contains(nonce));
    if parts.iter().any(unseen) { Err(mangled()) } else { Ok(parts) }
}

fn mangled() -> Failure {
    Failure::usage("a filter has changed what `secret` or `password_hash` gave")
        .hint("use their value as it is")
}

/// A broken template, with its place.
fn broken(name: &str, error: &tera::Error) -> anyhow::Error {
    let place = |report: &ReportError| {
        let span = report.span();
        let (line, column) = (span.start_line, span.start_col + 1);
        format!("template `{}:{line}:{column}` is broken: {}", report.filename(), report.message())
    };
    let failure = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            Failure::usage(place(report)).why(error.to_string())
        }
        other => Failure::usage(format!("template `{name}` is broken: {other}")),
    };
    failure
        .not_done("nothing was changed")
        .hint("mend the template beside the inventory, or remove it there to have hwctl's own")
        .into()
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
