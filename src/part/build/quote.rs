//! Values put into configuration files so that they stay one value, or are refused.

use crate::resource::hex;

/// A word of nginx's configuration. In quotes nginx still reads `$` as a variable and has no way
/// to write it, so it is refused.
pub(crate) fn nginx(value: &str) -> Result<String, String> {
    refuse(value, |c| c == '$')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+,=-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(value.to_owned());
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// The path of one of systemd's settings, where `%` begins a specifier.
pub(crate) fn systemd(value: &str) -> Result<String, String> {
    refuse(value, |c| "\"'\\$".contains(c))?;
    if value.trim() != value || !value.starts_with('/') {
        return Err(format!("`{value}` is not an absolute path"));
    }
    Ok(value.replace('%', "%%"))
}

/// A word of a POSIX shell.
pub(crate) fn shell(value: &str) -> Result<String, String> {
    if value.contains('\0') {
        return Err(format!("{value:?} has a character that no word of a shell can have"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+,=-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(value.to_owned());
    }
    Ok(format!("'{}'", value.replace('\'', r"'\''")))
}

/// A word of a command in a unit's `ExecStart`, where `%` begins a specifier and `$` a variable.
pub(crate) fn systemd_word(value: &str) -> Result<String, String> {
    if value.contains('\0') {
        return Err(format!("{value:?} has a character that no word of a command can have"));
    }
    let mut word = "\"".to_owned();
    for c in value.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' | '$' => word.extend([c, c]),
            '\n' => word.push_str("\\n"),
            '\t' => word.push_str("\\t"),
            c if c.is_ascii_control() => word.extend(["\\x", &hex(&[c as u8])]),
            c => word.push(c),
        }
    }
    word.push('"');
    Ok(word)
}

fn refuse(value: &str, also: impl Fn(char) -> bool) -> Result<(), String> {
    match value.chars().find(|c| c.is_control() || also(*c)) {
        Some(c) => Err(format!("{value:?} has the character {c:?}, which cannot stand here")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_one_value_or_is_refused() {
        assert_eq!(nginx("/open").unwrap(), "/open");
        assert_eq!(nginx("/a b;}{#'").unwrap(), "\"/a b;}{#'\"");
        assert_eq!(nginx("a\"; x \\").unwrap(), "\"a\\\"; x \\\\\"");
        assert_eq!(nginx("").unwrap(), "\"\"");
        assert_eq!(nginx("/ünï").unwrap(), "\"/ünï\"");
        for hostile in ["a\nb", "a\0", "$host", "a\rb", "\u{85}"] {
            assert!(nginx(hostile).is_err(), "{hostile:?}");
        }
        assert_eq!(shell("/srv/a-b.c").unwrap(), "/srv/a-b.c");
        assert_eq!(shell("a 'b' $(id) `x` \\").unwrap(), r"'a '\''b'\'' $(id) `x` \'");
        assert_eq!(shell("").unwrap(), "''");
        assert_eq!(shell("a\nb").unwrap(), "'a\nb'");
        assert!(shell("a\0").is_err());
        assert_eq!(systemd_word("a \"b\" 100% $x\n").unwrap(), r#""a \"b\" 100%% $$x\n""#);
        assert_eq!(systemd_word("").unwrap(), "\"\"");
        assert!(systemd_word("a\0").is_err());
        assert_eq!(systemd("/home/a b/100%").unwrap(), "/home/a b/100%%");
        for hostile in ["/a\nExecStart=/x", "/a\\", "a", "/a ", "/$HOME", "-/a", "/a\""] {
            assert!(systemd(hostile).is_err(), "{hostile:?}");
        }
    }
}
