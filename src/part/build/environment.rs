//! Environments as the text of files. The form is that of systemd's `EnvironmentFile=`, and the same for all programs.

use anyhow::Result;

use super::template::Given;
use crate::failure::Failure;
use crate::inventory::schema::{Env, EnvSecret, EnvValue};
use crate::resource::{Part, Secret, quote_variable};

const HEAD: &str = "# Made by hwctl: changes by hand are put back by the next run.\n";

/// The text of the file, a variable a line. Secrets that are not looked up (`are_known`) are empty.
pub(super) fn parts(env: &Env, are_known: bool) -> Result<Vec<Part>, Failure> {
    let mut text = HEAD.to_owned();
    let mut parts = Vec::new();
    for (name, value) in env.variables() {
        text.extend([name, "=\""]);
        match value {
            EnvValue::Plain(value) => text.push_str(&quote_variable(value)),
            EnvValue::Secret { before, secret, after } => {
                text.push_str(&quote_variable(before));
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(part(secret, are_known, quote_variable)?);
                text.push_str(&quote_variable(after));
            }
        }
        text.push_str("\"\n");
    }
    parts.push(Part::Text(text));
    Ok(parts)
}

/// The values by their names, as the pieces of a text. None of them is shown.
pub(super) fn secrets(env: &Env, are_known: bool) -> Result<Given, Failure> {
    let pieces = |name: &str, value: &EnvValue| -> Result<Vec<Part>, Failure> {
        match value {
            EnvValue::Plain(text) => {
                let value = Secret::new(text.to_owned());
                Ok(vec![Part::Secret { name: name.to_owned(), value }])
            }
            EnvValue::Secret { before, secret, after } => {
                let secret = part(secret, are_known, str::to_owned)?;
                Ok(vec![Part::Text(before.clone()), secret, Part::Text(after.clone())])
            }
        }
    };
    env.variables().map(|(name, value)| Ok((name.to_owned(), pieces(name, value)?))).collect()
}

fn part(
    secret: &EnvSecret,
    is_known: bool,
    quoted: impl Fn(&str) -> String,
) -> Result<Part, Failure> {
    Ok(match secret {
        EnvSecret::Made(name) => Part::HostSecret(name.clone()),
        EnvSecret::Given(password) => {
            let value = match is_known {
                true => Secret::new(quoted(password.reveal()?.expose())),
                false => Secret::new(String::new()),
            };
            Part::Secret { name: password.path().to_owned(), value }
        }
    })
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
