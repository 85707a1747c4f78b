//! Which characters a terminal obeys or hides, and how they are written so that it does neither.
//!
//! What hosts, logs, templates and files say reaches the terminal and programs that read `--json`.
//! Each function here is the last thing that happens to a text before it leaves the process: what is
//! decoded later could bring such characters back.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The styles that hwctl itself prints (Select Graphic Rendition), without `ESC [` and `m`.
const STYLES: [&str; 9] = ["0", "1", "2", "31", "31;1", "32", "35", "35;1", "36"];

/// Characters that change the terminal or the order of others, or that cannot be seen: format
/// characters (Unicode's category Cf), separators of lines and paragraphs, and fillers.
const UNSEEN: [(char, char); 23] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character has to be escaped. Line feeds and tabs do not.
fn is_unsafe(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() && c != '\n' && c != '\t';
    }
    c.is_control() || UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// The text with every unsafe character written as `\u{9b}`.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    escape_if(text, is_unsafe)
}

/// The same as one line: line feeds are escaped, too.
pub(super) fn escape_line(text: &str) -> Cow<'_, str> {
    escape_if(text, |c| c == '\n' || is_unsafe(c))
}

/// Lines after the first are indented, so that none of them looks like a line of hwctl's own.
pub(super) fn indent(text: &str) -> String {
    text.replace('\n', "\n    ")
}

fn escape_if(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_unsafe(c) {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Text for the screen: hwctl's own styles stay, every other unsafe character is escaped.
pub(super) fn for_screen(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut rest = text;
    let mut shown = String::with_capacity(text.len() + 8);
    while let Some(at) = rest.find('\x1b') {
        shown += &escape(&rest[..at]);
        let style = style_at(&rest[at..]);
        match style {
            Some(style) => shown += style,
            None => shown += "\\u{1b}",
        }
        rest = &rest[at + style.map_or(1, str::len)..];
    }
    shown += &escape(rest);
    Cow::Owned(shown)
}

/// The style that the text begins with, if it is one of hwctl's own.
fn style_at(text: &str) -> Option<&str> {
    let (code, _) = text.strip_prefix("\x1b[")?.split_once('m')?;
    STYLES.contains(&code).then(|| &text[..code.len() + 3])
}

/// A JSON document for programs: the same value, with every unsafe character as `\u009b`. JSON has
/// such characters in its strings only.
#[must_use]
pub fn for_json(document: &str) -> Cow<'_, str> {
    if !document.contains(is_unsafe) {
        return Cow::Borrowed(document);
    }
    let mut escaped = String::with_capacity(document.len() + 8);
    for c in document.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// What a terminal may get besides visible characters.
    fn is_left_alone(text: &str) -> bool {
        let mut text = text.to_owned();
        for style in STYLES {
            text = text.replace(&format!("\x1b[{style}m"), "");
        }
        !text.contains(is_unsafe)
    }

    /// Texts of all that is dangerous, in any order: sequences, single characters, raw bytes.
    fn hostile_texts() -> impl Iterator<Item = String> {
        let mut random = StdRng::seed_from_u64(7);
        let parts = ["\x1b[", "31m", "\x1b]0;", "\x07", "\u{9b}", "m", "\\x9b", "\\u009b", "\r"];
        (0..2000).map(move |_| {
            let mut bytes = Vec::new();
            for _ in 0..random.random_range(0..24) {
                match random.random_range(0..4) {
                    0 => bytes.extend(parts[random.random_range(0..parts.len())].bytes()),
                    1 => bytes.push(random.random()),
                    2 => {
                        let c: char = random.random();
                        bytes.extend(c.to_string().bytes());
                    }
                    _ => {
                        let (first, last) = UNSEEN[random.random_range(0..UNSEEN.len())];
                        let c = if random.random() { first } else { last };
                        bytes.extend(c.to_string().bytes());
                    }
                }
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    #[test]
    fn nothing_unsafe_reaches_the_screen() {
        for text in hostile_texts() {
            let shown = for_screen(&text);
            assert!(is_left_alone(&shown), "{text:?} is shown as {shown:?}");
            let escaped = escape(&text);
            assert!(!escaped.contains(is_unsafe), "{text:?} is escaped as {escaped:?}");
            assert_eq!(escape(&escaped), escaped, "what is escaped stays so");
            assert!(!escape_line(&text).contains('\n'));
        }
    }

    #[test]
    fn json_says_the_same_with_nothing_unsafe_in_it() {
        for text in hostile_texts() {
            let value = serde_json::json!({ &text: [&text] });
            let escaped = for_json(&value.to_string()).into_owned();
            assert!(!escaped.contains(is_unsafe), "{text:?} is written as {escaped:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        }
    }

    #[test]
    fn own_styles_stay_and_others_do_not() {
        let text = "\x1b[31;1merror:\x1b[0m \x1b[8mhidden\x1b[0m \x1b[2J\x1b";
        let shown = "\x1b[31;1merror:\x1b[0m \\u{1b}[8mhidden\x1b[0m \\u{1b}[2J\\u{1b}";
        assert_eq!(for_screen(text), shown);
        assert_eq!(for_screen("a\tb\nd é✓ 語"), "a\tb\nd é✓ 語");
    }
}
