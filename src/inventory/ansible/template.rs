//! Jinja as Ansible has it: the syntax, and those filters and lookups that need nothing but their input.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use minijinja::value::{Kwargs, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use super::filters;
use crate::inventory::yaml::place::Seal;

/// How many instructions a template may take.
const FUEL: u64 = 1_000_000;

/// What evaluates templates. `seal` rises to [`Seal::Secret`] when one asks for what only the operator's machine knows.
pub(super) fn environment(seal: Arc<AtomicU8>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_recursion_limit(50);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(write);
    environment.add_function("lookup", move |plugin: &str, name: &str, options: Kwargs| {
        seal.fetch_max(Seal::Secret as u8, Relaxed);
        lookup(plugin, name, &options)
    });
    filters::add_to(&mut environment);
    environment
}

/// The most bytes of a template that is evaluated: deeper nesting than fits would exhaust the stack.
const MAX_BYTES: usize = 4 << 10;

/// Evaluates a text. One that is a single expression gives the value of it, any other gives text.
pub(super) fn render(
    environment: &Environment<'static>,
    text: &str,
    context: Jinja,
) -> Result<Jinja, Error> {
    if text.len() > MAX_BYTES {
        let message = format!("a template of more than {} KiB is not evaluated", MAX_BYTES >> 10);
        return Err(Error::new(ErrorKind::SyntaxError, message));
    }
    if let Some(expression) = single_expression(text)
        && let Ok(expression) = environment.compile_expression(expression)
    {
        let value = expression.eval(context)?;
        if value.is_undefined() {
            return Err(Error::new(ErrorKind::UndefinedError, "the expression is undefined"));
        }
        return Ok(value);
    }
    // Jinja drops a line break at the end of a text, which Ansible puts back.
    let end = if text.ends_with('\n') { "\n" } else { "" };
    environment.render_str(text, context).map(|rendered| Jinja::from(rendered + end))
}

/// What stands in the braces of a text that is nothing else.
fn single_expression(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    (!inner.contains("{{") && !inner.contains("{%")).then_some(inner)
}

/// Writes a value into a text as Python spells it.
fn write(output: &mut Output, _: &mut State, value: &Jinja) -> Result<(), Error> {
    let written = output.write_str(&filters::text_of(value)?);
    written.map_err(|_| Error::new(ErrorKind::WriteFailure, "the text cannot be written"))
}

/// `lookup('env', NAME)`. Other plugins of Ansible are not here.
fn lookup(plugin: &str, name: &str, options: &Kwargs) -> Result<Jinja, Error> {
    if !["env", "ansible.builtin.env"].contains(&plugin) {
        let message = format!("there is no lookup `{plugin}`");
        return Err(Error::new(ErrorKind::UnknownFunction, message));
    }
    let default: Option<Jinja> = options.get("default")?;
    options.assert_all_used()?;
    match (std::env::var(name), default) {
        (Ok(value), _) => Ok(Jinja::from(value)),
        (Err(_), Some(default)) => Ok(default),
        (Err(_), None) => Ok(Jinja::from("")),
    }
}
