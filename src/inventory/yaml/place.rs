//! Where a value was written: the text, the line and the column, and the line as a message shows it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::inventory::Warning;

/// How many characters of a long line are shown: half as many before the place as from there on. With
/// its margin the line fits into 80 columns, so that the caret stays below what it points at.
const SHOWN: usize = 44;

/// One text that variables were read from.
#[derive(Debug)]
pub(in crate::inventory) struct Source {
    pub(super) name: String,
    text: String,
    kind: Kind,
    /// Where secrets stand, so that no message shows them.
    secrets: OnceLock<Vec<Extent>>,
    /// What should not stay as it is, and is no error.
    warnings: OnceLock<Vec<Warning>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    /// The text of a file that was encrypted. No line of it is shown.
    Sealed,
    /// A value of the command line.
    Argument,
    /// What a program printed, or the environment holds. Nobody could look its lines up.
    Output,
    Builtin,
}

/// From a line and column (both from 1) up to, not including, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::inventory) struct Extent {
    pub(in crate::inventory) line: usize,
    pub(in crate::inventory) column: usize,
    pub(in crate::inventory) end_line: usize,
    pub(in crate::inventory) end_column: usize,
}

impl Source {
    fn new(name: String, text: String, kind: Kind) -> Arc<Self> {
        Arc::new(Self { name, text, kind, secrets: OnceLock::new(), warnings: OnceLock::new() })
    }

    /// A file, shown as `name`.
    pub(in crate::inventory) fn file(name: impl Into<String>, text: String) -> Arc<Self> {
        Self::new(name.into(), text, Kind::File)
    }

    /// The value of one `--set KEY=VALUE`. Its text is never shown: it may be a password.
    pub(in crate::inventory) fn argument(key: &str, text: &str) -> Arc<Self> {
        let name = format!("--set {key}=…");
        Self::new(name, text.into(), Kind::Argument)
    }

    /// The value of a variable of the environment. Its text is never shown.
    pub(in crate::inventory) fn variable(name: &str, text: &str) -> Arc<Self> {
        let (name, text) = (name.to_owned(), text.to_owned());
        Self::new(name, text, Kind::Output)
    }

    /// What was in an encrypted file, shown as `name`.
    pub(in crate::inventory) fn sealed(name: &str, text: String) -> Arc<Self> {
        let name = name.to_owned();
        Self::new(name, text, Kind::Sealed)
    }

    /// The same text for another reader, which finds secrets elsewhere in it.
    pub(in crate::inventory) fn again(&self) -> Arc<Self> {
        let (name, text, kind) = (self.name.clone(), self.text.clone(), self.kind);
        Self::new(name, text, kind)
    }

    /// What the program `name` printed. It is never shown.
    pub(in crate::inventory) fn output(name: &str) -> Arc<Self> {
        let (name, text) = (format!("output of {name}"), String::new());
        Self::new(name, text, Kind::Output)
    }

    /// A text of hwctl itself.
    pub(in crate::inventory) fn builtin(name: &str, text: &str) -> Arc<Self> {
        let (name, text) = (name.to_owned(), text.to_owned());
        Self::new(name, text, Kind::Builtin)
    }

    pub(in crate::inventory) fn text(&self) -> &str {
        &self.text
    }

    pub(in crate::inventory) fn name(&self) -> &str {
        &self.name
    }

    /// Says where secrets stand. The first call counts: a source is read once.
    pub(in crate::inventory) fn hide(&self, secrets: Vec<Extent>) {
        let _ = self.secrets.set(secrets);
    }

    /// Says what should not stay as it is. The first call counts.
    pub(in crate::inventory) fn warn(&self, warnings: Vec<Warning>) {
        let _ = self.warnings.set(warnings);
    }

    pub(in crate::inventory) fn warnings(&self) -> &[Warning] {
        self.warnings.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// A place in this source.
    pub(in crate::inventory) fn at(self: &Arc<Self>, extent: Extent) -> Place {
        let seal = if self.kind == Kind::Sealed { Seal::Secret } else { Seal::Open };
        Place { source: Arc::clone(self), extent, seal }
    }

    /// The place of its first character.
    pub(in crate::inventory) fn start(self: &Arc<Self>) -> Place {
        self.at(Extent { line: 1, column: 1, end_line: 1, end_column: 2 })
    }

    /// Whether this was never read, after an error.
    fn unread(&self, line: usize, column: usize) -> bool {
        let last = self.secrets.get().and_then(|all| all.last());
        last.is_some_and(|last| last.end_line == usize::MAX && covers(&[*last], line, column))
    }

    /// The line as shown, and the column and width to underline. Secrets and control characters
    /// are replaced.
    fn line(&self, extent: Extent, marks: &[(Extent, Mark)]) -> Option<(String, usize, usize)> {
        let line = self.text.lines().nth(extent.line.checked_sub(1)?)?;
        let first = extent.column;
        let last = if extent.end_line == extent.line { extent.end_column } else { usize::MAX };
        let (mut shown, mut column, mut width) = (String::new(), 0, 0);
        let mut in_secret = false;
        let is_long = line.chars().count() > SHOWN / 2 * 3;
        for (at, character) in line.chars().enumerate().map(|(n, c)| (n + 1, c)) {
            if is_long && (at + SHOWN / 2 < first || at > first + SHOWN) {
                continue;
            }
            let is_secret = self.secrets.get().is_some_and(|all| covers(all, extent.line, at));
            let is = |mark| {
                marks
                    .iter()
                    .any(|(extent_of, of)| *of == mark && covers(&[*extent_of], extent.line, at))
            };
            let secret = is(Mark::Hidden) || is_secret && !is(Mark::Visible);
            let piece = match (secret, in_secret, character) {
                (true, true, _) => String::new(),
                (true, false, _) if self.unread(extent.line, at) => " …".to_owned(),
                (true, false, _) => "***".to_owned(),
                (_, _, '\t') => " ".to_owned(),
                (_, _, c) if c.is_control() => "\u{fffd}".to_owned(),
                (_, _, c) => c.to_string(),
            };
            in_secret = secret;
            let wide = console::measure_text_width(&piece);
            if at < first {
                column += wide;
            } else if at < last {
                width += wide;
            }
            shown.push_str(&piece);
        }
        Some((shown.trim_end().to_owned(), column, width.max(1)))
    }
}

fn covers(extents: &[Extent], line: usize, column: usize) -> bool {
    extents.iter().any(|extent| {
        (extent.line, extent.column) <= (line, column)
            && (line, column) < (extent.end_line, extent.end_column)
    })
}

/// Where a key or value was written.
#[derive(Clone)]
pub(in crate::inventory) struct Place {
    pub(super) source: Arc<Source>,
    pub(super) extent: Extent,
    seal: Seal,
}

/// How secret a value may be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::inventory) enum Seal {
    /// It stands in the inventory as it is.
    Open,
    /// A template made it of other values, any of which may be secret.
    Made,
    /// It was encrypted or looked up outside of the inventory, or is of a variable that is called a secret.
    Secret,
}

impl Place {
    /// The place of a value that came out of a vault or a template.
    pub(in crate::inventory) fn sealed(self, seal: Seal) -> Self {
        Self { seal: self.seal.max(seal), ..self }
    }

    pub(in crate::inventory) fn seal(&self) -> Seal {
        self.seal
    }

    /// Whether no message shows what is here.
    pub(in crate::inventory) fn is_sealed(&self) -> bool {
        self.seal > Seal::Open
    }

    pub(in crate::inventory) fn extent(&self) -> Extent {
        self.extent
    }

    /// Whether nobody wrote this: it is of hwctl's defaults.
    pub(in crate::inventory) fn is_builtin(&self) -> bool {
        self.source.kind == Kind::Builtin
    }

    /// Whether this is a value of the command line.
    pub(in crate::inventory) fn is_argument(&self) -> bool {
        self.source.kind == Kind::Argument
    }

    /// The source line with the place underlined; nothing for an argument.
    pub(super) fn snippet(&self, marks: &[(Extent, Mark)]) -> Option<String> {
        if self.source.kind != Kind::File {
            return None;
        }
        let (line, column, width) = self.source.line(self.extent, marks)?;
        let width = width.min(console::measure_text_width(&line).saturating_sub(column).max(1));
        let number = self.extent.line.to_string();
        let (margin, indent) = (" ".repeat(number.len()), " ".repeat(column));
        Some(format!("{number} | {line}\n{margin} | {indent}{}", "^".repeat(width)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.kind {
            Kind::File | Kind::Sealed => {
                write!(f, "{}:{}:{}", self.source.name, self.extent.line, self.extent.column)
            }
            Kind::Argument | Kind::Output | Kind::Builtin => f.write_str(&self.source.name),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether something in a source line is shown. What is hidden by anyone stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Hidden,
    Visible,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_and_the_caret_still_points() {
        let source = Source::file("i.yaml", "{ admin: hunter2, wr: 1 }".into());
        source.hide(vec![Extent { line: 1, column: 10, end_line: 1, end_column: 17 }]);
        let place = source.at(Extent { line: 1, column: 19, end_line: 1, end_column: 21 });
        assert_eq!(place.snippet(&[]).unwrap(), "1 | { admin: ***, wr: 1 }\n  |               ^^");
    }

    #[test]
    fn a_wide_or_controlling_character_keeps_the_caret_in_place() {
        let source = Source::file("i.yaml", "日本\u{1b}[31m\tx: 1".into());
        let place = source.at(Extent { line: 1, column: 9, end_line: 1, end_column: 10 });
        assert_eq!(place.snippet(&[]).unwrap(), "1 | 日本\u{fffd}[31m x: 1\n  |           ^");
    }
}
