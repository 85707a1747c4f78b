//! Where a value was written, and what is said when it is wrong: file, line, column, the line itself.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::load::names_a_secret;
use super::node::Node;
use crate::failure::Failure;
use crate::inventory::Warning;

/// How many problems one failure lists.
const TOLD: usize = 10;
/// How many characters of a long line are shown: half as many before the place as from there on. With
/// its margin the line fits into 80 columns, so that the caret stays below what it points at.
const SHOWN: usize = 44;

/// One text that variables were read from.
#[derive(Debug)]
pub(in crate::inventory) struct Source {
    name: String,
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
    /// A file, shown as `name`.
    pub(in crate::inventory) fn file(name: impl Into<String>, text: String) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text,
            kind: Kind::File,
            secrets: OnceLock::new(),
            warnings: OnceLock::new(),
        })
    }

    /// The value of one `--set KEY=VALUE`. Its text is never shown: it may be a password.
    pub(in crate::inventory) fn argument(key: &str, text: &str) -> Arc<Self> {
        let name = format!("--set {key}");
        Arc::new(Self {
            name,
            text: text.into(),
            kind: Kind::Argument,
            secrets: OnceLock::new(),
            warnings: OnceLock::new(),
        })
    }

    /// The value of a variable of the environment. Its text is never shown.
    pub(in crate::inventory) fn variable(name: &str, text: &str) -> Arc<Self> {
        let (name, text) = (name.to_owned(), text.to_owned());
        Arc::new(Self {
            name,
            text,
            kind: Kind::Output,
            secrets: OnceLock::new(),
            warnings: OnceLock::new(),
        })
    }

    /// What was in an encrypted file, shown as `name`.
    pub(in crate::inventory) fn sealed(name: &str, text: String) -> Arc<Self> {
        let name = name.to_owned();
        Arc::new(Self {
            name,
            text,
            kind: Kind::Sealed,
            secrets: OnceLock::new(),
            warnings: OnceLock::new(),
        })
    }

    /// The same text for another reader, which finds secrets elsewhere in it.
    pub(in crate::inventory) fn again(&self) -> Arc<Self> {
        let (name, text, kind) = (self.name.clone(), self.text.clone(), self.kind);
        Arc::new(Self { name, text, kind, secrets: OnceLock::new(), warnings: OnceLock::new() })
    }

    /// What the program `name` printed. It is never shown.
    pub(in crate::inventory) fn output(name: &str) -> Arc<Self> {
        let (name, text) = (format!("output of {name}"), String::new());
        Arc::new(Self {
            name,
            text,
            kind: Kind::Output,
            secrets: OnceLock::new(),
            warnings: OnceLock::new(),
        })
    }

    /// A text of hwctl itself.
    pub(in crate::inventory) fn builtin(name: &str, text: &str) -> Arc<Self> {
        let (name, text) = (name.to_owned(), text.to_owned());
        Arc::new(Self {
            name,
            text,
            kind: Kind::Builtin,
            secrets: OnceLock::new(),
            warnings: OnceLock::new(),
        })
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
        Place { source: Arc::clone(self), extent, is_sealed: self.kind == Kind::Sealed }
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
    source: Arc<Source>,
    extent: Extent,
    /// Whether what stands here was encrypted.
    is_sealed: bool,
}

impl Place {
    /// The place of a value that came out of a vault, which no message shows.
    pub(in crate::inventory) fn sealed(self) -> Self {
        Self { is_sealed: true, ..self }
    }

    pub(in crate::inventory) fn is_sealed(&self) -> bool {
        self.is_sealed
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
    fn snippet(&self, marks: &[(Extent, Mark)]) -> Option<String> {
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

/// One thing that is wrong in the inventory.
#[derive(Clone, Debug)]
pub(in crate::inventory) struct Problem(Box<Details>);

#[derive(Clone, Debug, Default)]
struct Details {
    place: Option<Place>,
    message: String,
    /// What lies behind it, such as what a program said.
    why: Vec<String>,
    hint: Option<String>,
    /// Whether the source line may be shown.
    shown: bool,
    /// What in the line is shown or not, other than the source has it.
    marks: Vec<(Extent, Mark)>,
}

/// Whether something in a source line is shown. What is hidden by anyone stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Hidden,
    Visible,
}

impl Problem {
    pub(in crate::inventory) fn at(place: &Place, message: impl Into<String>) -> Self {
        let mut problem = Self::nowhere(message);
        problem.0.place = Some(place.clone());
        problem
    }

    /// A problem of something that is nowhere, such as a variable that is missing.
    pub(in crate::inventory) fn nowhere(message: impl Into<String>) -> Self {
        Self(Box::new(Details { message: message.into(), shown: true, ..Details::default() }))
    }

    /// Says where a problem is that was found without knowing that.
    pub(in crate::inventory) fn or_at(mut self, place: &Place) -> Self {
        if self.0.place.is_none() {
            self.0.place = Some(place.clone());
        }
        self
    }

    pub(in crate::inventory) fn because(mut self, why: String) -> Self {
        self.0.why.push(why);
        self
    }

    pub(in crate::inventory) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds another thing to do, to the hint that there may be.
    pub(in crate::inventory) fn or_hint(mut self, hint: &str) -> Self {
        self.0.hint = Some(match self.0.hint {
            Some(first) => format!("{first}; {hint}"),
            None => hint.to_owned(),
        });
        self
    }

    /// Keeps the value of a mistyped key out of the message, unless the key that was likely
    /// meant has no secrets.
    pub(in crate::inventory) fn hiding(mut self, value: &Node, meant: Option<&str>) -> Self {
        if meant.is_none_or(names_a_secret) {
            let hidden = value.extents().into_iter().map(|extent| (extent, Mark::Hidden));
            self.0.marks.extend(hidden);
        }
        self
    }

    /// Keeps what stands at the place itself out of the message.
    pub(in crate::inventory) fn hiding_place(mut self) -> Self {
        self.0.marks.extend(self.0.place.as_ref().map(|place| (place.extent, Mark::Hidden)));
        self
    }

    /// Lets the message show the values at these places.
    pub(in crate::inventory) fn showing(mut self, values: &[Place]) -> Self {
        if let Some(Place { source, .. }) = &self.0.place {
            let here = values.iter().filter(|value| Arc::ptr_eq(&value.source, source));
            self.0.marks.extend(here.map(|value| (value.extent, Mark::Visible)));
        }
        self
    }

    /// Keeps the source line out of the message: what it holds is not known yet.
    pub(in crate::inventory) fn without_line(mut self) -> Self {
        self.0.shown = false;
        self
    }

    fn headline(&self) -> String {
        match &self.0.place {
            Some(place) => format!("{place}: {}", self.0.message),
            None => self.0.message.clone(),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        failure(vec![problem])
    }
}

/// One failure of all that is wrong: the first problem exactly, the others by place and message.
pub(in crate::inventory) fn failure(mut problems: Vec<Problem>) -> Failure {
    problems.sort_by_key(|problem| {
        let place = problem.0.place.as_ref();
        let order = place.map(|place| (place.source.name.clone(), place.extent));
        (order.is_none(), order, problem.0.message.clone())
    });
    let mut told = HashSet::new();
    problems.retain(|problem| told.insert(problem.headline()));
    let mut problems = problems.into_iter();
    let Some(first) = problems.next() else {
        return Failure::usage("the inventory is wrong");
    };
    let mut failure = Failure::usage(first.headline());
    let place = first.0.place.as_ref().filter(|_| first.0.shown);
    if let Some(snippet) = place.and_then(|place| place.snippet(&first.0.marks)) {
        failure = failure.why(snippet);
    }
    failure = first.0.why.into_iter().fold(failure, Failure::why);
    let others: Vec<_> = problems.collect();
    for problem in others.iter().take(TOLD - 1) {
        failure = failure.why(format!("also {}", problem.headline()));
    }
    if others.len() >= TOLD {
        failure = failure.why(format!("and {} more", others.len() + 1 - TOLD));
    }
    match first.0.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The name that was likely meant, of those that are `known`.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase().replace('-', "_");
    let allowed = 1 + name.chars().count() / 4;
    known
        .into_iter()
        .map(|other| {
            let other_lower = other.to_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&lower, &other_lower), other)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
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

    #[test]
    fn nearest_forgives_a_few_letters() {
        assert_eq!(nearest("prot", ["image", "port"]), Some("port"));
        assert_eq!(nearest("Server-Names", ["server_names"]), Some("server_names"));
        assert_eq!(nearest("zebra", ["image", "port"]), None);
    }
}
