//! Arguments of ssh in the inventory, such as `ansible_ssh_common_args: -J bastion`.

use crate::inventory::names::shown;
use crate::inventory::yaml::node::{Entry, Value};
use crate::inventory::yaml::problem::Problem;

/// Options of ssh that say how to connect and take a value.
const WITH_VALUE: &str = "BFJbcilmop";
/// Options of ssh that say how to connect and take none.
const ALONE: &str = "46ACKak";
/// Options that only change how much ssh prints. hwctl relies on its own setting.
const TALK: &str = "qv";

/// The words for ssh of all these variables.
pub(super) fn read(entries: &[Option<Entry>]) -> Result<Vec<String>, Problem> {
    let mut words = Vec::new();
    for entry in entries.iter().flatten() {
        words.extend(words_of(entry)?);
    }
    Ok(words)
}

fn words_of(entry: &Entry) -> Result<Vec<String>, Problem> {
    let problem = |message: String| Problem::at(&entry.place, message);
    let (Value::Text(text) | Value::Literal(text)) = &entry.node.value else {
        return Err(problem(format!("`{}` takes arguments of ssh as text", entry.key)));
    };
    let words = shlex::split(text)
        .filter(|_| !text.contains(|c: char| c.is_control() && c != '\n'))
        .ok_or_else(|| problem(format!("`{}` has a quote that is not closed", entry.key)))?;
    let mut checked = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let shown = if entry.node.place.is_sealed() { "***".to_owned() } else { shown(&word) };
        let refused = || {
            let message = format!("hwctl does not pass `{shown}` of `{}` to ssh", entry.key);
            problem(message).hint("it takes options that say how to connect, such as `-o` and `-J`")
        };
        // A word that is no option would become the host that ssh connects to.
        let letter = word.strip_prefix('-').and_then(|rest| rest.chars().next());
        let letter = letter.filter(char::is_ascii_alphanumeric).ok_or_else(refused)?;
        if WITH_VALUE.contains(letter) {
            let value = if word.len() > 2 { None } else { words.next() };
            if word.len() == 2 && value.is_none() {
                return Err(problem(format!("`{shown}` of `{}` lacks its value", entry.key)));
            }
            checked.push(word);
            checked.extend(value);
        } else if word.chars().skip(1).all(|letter| ALONE.contains(letter)) {
            checked.push(word);
        } else if !word.chars().skip(1).all(|letter| TALK.contains(letter)) {
            return Err(refused());
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use crate::inventory::yaml::load::parse;
    use crate::inventory::yaml::place::Source;

    fn words(text: &str) -> Result<Vec<String>, String> {
        let source = Source::file("inventory.yaml", format!("ansible_ssh_common_args: {text}"));
        let root = parse(&source).unwrap().unwrap();
        let entry = root.entries().unwrap().first().cloned();
        read(&[None, entry]).map_err(|problem| Failure::from(problem).what)
    }

    #[test]
    fn options_that_say_how_to_connect_are_passed_on() {
        for (text, expected) in [
            ("-J bastion", &["-J", "bastion"][..]),
            (
                r#"'-o ProxyCommand="ssh -W %h:%p -q bastion"'"#,
                &["-o", "ProxyCommand=ssh -W %h:%p -q bastion"],
            ),
            ("-oProxyJump=a,b -4A -vvv -q", &["-oProxyJump=a,b", "-4A"]),
            ("''", &[]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_would_make_ssh_do_something_else_is_refused() {
        for text in
            ["bastion", "-L 80:x:80", "-N", "-f", "-S none", "-J", "-o \"x", "-M", "--", "-", "5 "]
        {
            let text = &format!("'{text}'");
            let message = words(text).unwrap_err();
            assert!(message.contains("ansible_ssh_common_args"), "{text}: {message}");
        }
    }
}
