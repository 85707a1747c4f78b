//! Files of environment variables, in a form that systemd's `EnvironmentFile=` and hwctl read in the same way: a
//! variable a line, each value between double quotes.

use anyhow::{Result, anyhow};

/// The characters before which systemd takes a backslash away in double quotes, and only before these
/// (`parse_env_file_internal` in its sources).
const ESCAPED: &str = "\"\\`$";

/// What stands between the double quotes for a value. Line breaks stand as they are.
#[must_use]
pub fn quote_variable(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for c in value.chars() {
        if ESCAPED.contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// The variables of a file. Errors show nothing of it but the number of a line.
pub fn parse_environment(text: &str) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let wrong = |what: &str| anyhow!("line {line} {what}");
        if rest.starts_with(['\n', '#']) {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let (name, value) = rest.split_once("=\"").ok_or_else(|| wrong("has no `NAME=\"`"))?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(wrong("has no name of a variable"));
        }
        let (value, after) = unquote(value).ok_or_else(|| wrong("has a value without an end"))?;
        variables.push((name.to_owned(), value));
        rest = match after.strip_prefix('\n') {
            Some(rest) => rest,
            None if after.is_empty() => "",
            None => return Err(wrong("goes on behind its value")),
        };
    }
    Ok(variables)
}

/// The value up to its closing quote, and what follows that.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => match chars.next()?.1 {
                '\n' => {}
                next if ESCAPED.contains(next) => value.push(next),
                next => value.extend(['\\', next]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(variables: &[(String, String)]) -> String {
        let line =
            |(name, value): &(String, String)| format!("{name}=\"{}\"\n", quote_variable(value));
        format!("# A comment with \"quotes\".\n{}", variables.iter().map(line).collect::<String>())
    }

    proptest! {
        #[test]
        fn every_value_comes_back_as_it_was(values in prop::collection::vec(any::<String>(), 0..5)) {
            let named = values.into_iter().enumerate().map(|(at, value)| (format!("V{at}"), value));
            let variables: Vec<_> = named.collect();
            prop_assert_eq!(parse_environment(&file(&variables)).unwrap(), variables);
        }
    }

    #[test]
    fn hostile_values_come_back_as_they_were() {
        for value in [
            "",
            "\"",
            "\\",
            "\\\\\"",
            "$HOME `id` ${X}",
            "# no comment",
            " a ",
            "ü\t€",
            "a\nB=\"c\"\n",
            "'",
        ] {
            let variables =
                vec![("A".to_owned(), value.to_owned()), ("B".to_owned(), "1".to_owned())];
            assert_eq!(parse_environment(&file(&variables)).unwrap(), variables, "{value:?}");
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused_without_a_word_of_it() {
        for (text, expected) in [
            ("A=\"1\"\nplanted", "line 2 has no `NAME=\"`"),
            ("A B=\"planted\"", "line 1 has no name of a variable"),
            ("A=\"planted\\\"", "line 1 has a value without an end"),
            ("A=\"planted\" B", "line 1 goes on behind its value"),
        ] {
            let error = format!("{:#}", parse_environment(text).unwrap_err());
            assert_eq!(error, expected);
        }
    }
}
