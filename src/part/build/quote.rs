//! Values put into configuration files so that they stay one value, or are refused.

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
        assert_eq!(systemd("/home/a b/100%").unwrap(), "/home/a b/100%%");
        for hostile in ["/a\nExecStart=/x", "/a\\", "a", "/a ", "/$HOME", "-/a", "/a\""] {
            assert!(systemd(hostile).is_err(), "{hostile:?}");
        }
    }
}
