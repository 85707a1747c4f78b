//! Names of hosts, groups and keys: which of them are usable, and how messages show them.

/// Whether a host may have this name: it is shown, matched by patterns and given to ssh.
pub(super) fn usable(name: &str) -> Result<(), String> {
    let fits =
        |c: char| !c.is_control() && !c.is_whitespace() && !"*?![]&,;'\"`$\\|<>(){}".contains(c);
    if name.is_empty() {
        return Err("a host has no name".into());
    }
    if name.starts_with('-') || !name.chars().all(fits) {
        return Err(format!("`{}` is not usable as the name of a host", shown(name)));
    }
    Ok(())
}

/// A name for a message: short, and without control characters.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

/// A message of another program: up to 200 characters, none of them a control character.
pub(super) fn shown_long(message: &str) -> String {
    message.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `a`, `b` and `c`, for a message.
pub(super) fn quoted(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => "nothing".to_owned(),
    }
}
