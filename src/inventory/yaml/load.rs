//! YAML text in, a tree of values with their places out; bounded, so that no file can exhaust us.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_yaml::granit_parser::{
    Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag,
};

use super::node::{Entry, Node, Value, put};
use super::place::{Extent, Place, Problem, Source};
use super::scalar;
use crate::inventory::Warning;
use crate::inventory::ansible::connection;
use crate::inventory::names::shown;

/// Maps and lists inside each other; more is a mistake or an attack.
const DEPTH: usize = 64;
/// Values that aliases may repeat, all together.
const REPEATED: usize = 100_000;

/// Reads the one document of a source that holds variables; `None` when it holds nothing.
pub(in crate::inventory) fn parse(source: &Arc<Source>) -> Result<Option<Node>, Problem> {
    parse_as(source, Level::Variables)
}

/// Reads the one document of a source that holds groups; `None` when it holds nothing.
pub(in crate::inventory) fn parse_inventory(source: &Arc<Source>) -> Result<Option<Node>, Problem> {
    parse_as(source, Level::Groups)
}

fn parse_as(source: &Arc<Source>, level: Level) -> Result<Option<Node>, Problem> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    // The loader below has its own bound and its own words.
    options.flow_nesting_limit = DEPTH * 64;
    options.block_nesting_limit = DEPTH * 64;
    let parser = Parser::new_from_str_with_options(source.text(), options);
    let mut loader = Loader {
        source,
        parser,
        anchors: HashMap::new(),
        repeated: 0,
        reached: (1, 1),
        secrets: Vec::new(),
        warnings: Vec::new(),
    };
    let result = loader.document(Inside { level, ..Inside::default() });
    if result.is_err() {
        // What comes after the error was not read: it may hold secrets.
        let (line, column) = loader.reached;
        let (end_line, end_column) = (usize::MAX, usize::MAX);
        loader.secrets.push(Extent { line, column, end_line, end_column });
    }
    source.hide(loader.secrets);
    source.warn(loader.warnings);
    result
}

struct Loader<'a> {
    source: &'a Arc<Source>,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    /// How many values aliases have repeated so far.
    repeated: usize,
    /// Line and column up to which the text was read.
    reached: (usize, usize),
    secrets: Vec<Extent>,
    warnings: Vec<Warning>,
}

/// Where in the document the loader is, and with that whether a message may show a value there.
///
/// An inventory is shared with other programs, so any value may be one of their secrets, whatever its name is.
/// Whoever knows a variable may show it after all, see [`Problem::showing`].
#[derive(Clone, Copy, Default)]
struct Inside {
    depth: usize,
    /// Below a key that names secrets, such as `users`.
    secret: bool,
    /// Directly below a key whose value is never a secret.
    shown: bool,
    level: Level,
}

/// What the keys of a map are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Level {
    /// Names of groups.
    Groups,
    /// `hosts`, `vars` and `children`.
    Group,
    /// Names of hosts.
    Hosts,
    #[default]
    Variables,
}

impl Level {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Groups, _) => Self::Group,
            (Self::Group, "hosts") => Self::Hosts,
            (Self::Group, "children") => Self::Groups,
            _ => Self::Variables,
        }
    }
}

impl Inside {
    fn hides_values(self) -> bool {
        self.secret || !self.shown
    }

    /// The place of what is below a key.
    fn below(self, key: &str) -> Self {
        Self {
            depth: self.depth + 1,
            secret: self.secret || names_a_secret(key),
            level: self.level.below(key),
            shown: connection::is_used(key) || NAMES.contains(&key),
        }
    }
}

/// Keys whose values are names of hosts and groups.
const NAMES: [&str; 2] = ["hosts", "children"];

impl<'a> Loader<'a> {
    fn document(&mut self, inside: Inside) -> Result<Option<Node>, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(..) if root.is_some() => {
                    let message = "a second document starts here; an inventory is one";
                    return Err(Problem::at(&self.place(span), message));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => {
                    root = Some(self.node(event, span, inside)?);
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.reached = (span.end.line(), span.end.col() + 1);
                Ok((event, span))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// A syntax error. The line is kept out of it: nobody knows yet where its secrets stand.
    fn syntax(&self, error: &ScanError) -> Problem {
        let at = error.marker();
        let place = self.source.at(Extent {
            line: at.line(),
            column: at.col() + 1,
            end_line: at.line(),
            end_column: at.col() + 2,
        });
        let line = self.source.text().lines().nth(at.line().saturating_sub(1)).unwrap_or_default();
        let problem = Problem::at(&place, error.info()).without_line();
        if line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t') {
            return problem.hint("indent with spaces: YAML does not allow tabs there");
        }
        if line.contains(": {{") {
            return problem.hint("quote a value that starts with a brace");
        }
        problem
    }

    fn place(&self, span: Span) -> Place {
        self.source.at(Extent {
            line: span.start.line(),
            column: span.start.col() + 1,
            end_line: span.end.line(),
            end_column: span.end.col() + 1,
        })
    }

    fn node(&mut self, event: Event<'a>, span: Span, inside: Inside) -> Result<Node, Problem> {
        let place = self.place(span);
        if inside.depth > DEPTH {
            return Err(Problem::at(&place, format!("more than {DEPTH} levels inside each other")));
        }
        let (anchor, value) = match event {
            Event::Alias(id) => return self.alias(id, &place, inside),
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar_value(text, style, tag.as_deref(), &place)?;
                let says_nothing = matches!(value, Value::Null | Value::Flag(_));
                if inside.secret || inside.hides_values() && !says_nothing {
                    self.secrets.push(place.extent());
                }
                (anchor, value)
            }
            Event::SequenceStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), "seq", &place)?;
                (anchor, self.list(inside)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), "map", &place)?;
                (anchor, self.map(inside)?)
            }
            _ => return Err(Problem::at(&place, "expected a value")),
        };
        let node = Node::new(value, self.narrow(place));
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// A collection is pointed at by its first character alone.
    fn narrow(&self, place: Place) -> Place {
        let extent = place.extent();
        if extent.line != extent.end_line || extent.end_column <= extent.column {
            let end_column = extent.column + 1;
            return self.source.at(Extent { end_line: extent.line, end_column, ..extent });
        }
        place
    }

    fn alias(&mut self, id: usize, place: &Place, inside: Inside) -> Result<Node, Problem> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            return Err(Problem::at(place, "an alias inside the value that it names"));
        };
        self.repeated += size(&node);
        if self.repeated > REPEATED {
            let message = format!("aliases repeat more than {REPEATED} values");
            return Err(Problem::at(place, message));
        }
        if inside.depth + height(&node) > DEPTH {
            return Err(Problem::at(place, format!("more than {DEPTH} levels inside each other")));
        }
        if inside.hides_values() {
            self.secrets.extend(node.extents());
        }
        Ok(node)
    }

    fn list(&mut self, inside: Inside) -> Result<Value, Problem> {
        let inside = Inside { depth: inside.depth + 1, ..inside };
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(nodes)),
                (event, span) => nodes.push(self.node(event, span, inside)?),
            }
        }
    }

    fn map(&mut self, inside: Inside) -> Result<Value, Problem> {
        let mut entries = Vec::new();
        let mut brought = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merges =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            // A name is shown, also of a user; a key that is a map or a list is no name.
            let is_name = matches!(event, Event::Scalar(..));
            let depth = inside.depth + 1;
            let of_key = Inside { depth, secret: !is_name, shown: is_name, ..Inside::default() };
            let key = self.node(event, span, of_key)?;
            let name = key_name(&key)?;
            if matches!(inside.level, Level::Groups | Level::Hosts) {
                require_name(&key, inside.level)?;
            }
            let is_again = !merges && !seen.insert(name.clone());
            if is_again {
                let message = format!("`{}` is given twice; the last one counts", shown(&name));
                self.warnings.push(Warning { place: key.place.to_string(), message });
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, inside.below(&name))?;
            if merges {
                brought.push(node);
            } else if is_again {
                put(&mut entries, Entry { key: name, place: key.place, node });
            } else {
                entries.push(Entry { key: name, place: key.place, node });
            }
        }
        if brought.is_empty() {
            return Ok(Value::Map(entries));
        }
        let mut all = Vec::new();
        for node in &brought {
            merge_key(node, &mut all)?;
        }
        for entry in entries {
            put(&mut all, entry);
        }
        Ok(Value::Map(all))
    }
}

/// Adds what a `<<` brings: a map, or a list of maps of which the earlier win.
fn merge_key(node: &Node, into: &mut Vec<Entry>) -> Result<(), Problem> {
    let wrong = |node: &Node| {
        Err(Problem::at(
            &node.place,
            format!("`<<` takes a map or a list of maps, not {}", node.kind()),
        ))
    };
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                put(into, entry.clone());
            }
        }
        Value::List(nodes) => {
            for node in nodes.iter().rev() {
                let Some(entries) = node.entries() else { return wrong(node) };
                for entry in entries {
                    put(into, entry.clone());
                }
            }
        }
        _ => return wrong(node),
    }
    Ok(())
}

/// Refuses a number or the like in the place of a name: YAML reads `no` as a flag, and `12:30` as
/// the number 750.
fn require_name(key: &Node, level: Level) -> Result<(), Problem> {
    if matches!(key.value, Value::Text(_) | Value::Literal(_)) {
        return Ok(());
    }
    let what = if level == Level::Hosts { "host" } else { "group" };
    let message = format!("the name of a {what} is text, not {}", key.kind());
    Err(Problem::at(&key.place, message).hint("put the name in quotes"))
}

/// A key as JSON spells it.
fn key_name(key: &Node) -> Result<String, Problem> {
    match &key.value {
        Value::Text(text) | Value::Literal(text) => Ok(text.clone()),
        Value::Null | Value::Flag(_) | Value::Number(_) => Ok(key.json().to_string()),
        _ => Err(Problem::at(&key.place, format!("a key is a word, not {}", key.kind()))),
    }
}

fn scalar_value(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
    place: &Place,
) -> Result<Value, Problem> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => scalar::resolve(&text),
            _ => Value::Text(text.into_owned()),
        });
    };
    match (tag.core_suffix(), tag.original().as_str()) {
        (Some("str"), _) | (_, "!") => Ok(Value::Text(text.into_owned())),
        (Some("int" | "float" | "bool" | "null"), _) => Ok(scalar::resolve(&text)),
        (_, "!unsafe") => Ok(Value::Literal(text.into_owned())),
        (_, "!vault" | "!vault-encrypted") => Ok(Value::Vault(text.into_owned())),
        (_, other) => Err(unknown_tag(other, place)),
    }
}

fn known_tag(tag: Option<&Tag>, expected: &str, place: &Place) -> Result<(), Problem> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) => {
            Err(unknown_tag(&tag.original(), place))
        }
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &str, place: &Place) -> Problem {
    Problem::at(place, format!("hwctl does not know the tag `{}`", shown(tag))).without_line()
}

/// Whether what is under this key must not be shown; also when the key has a typing error.
pub(in crate::inventory) fn names_a_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let near = |name| strsim::damerau_levenshtein(&key, name) <= 2;
    near("users")
        || near("password")
        || key.contains("pw")
        || key.ends_with("users")
        || key.contains("pass")
        || key.contains("secret")
        || key.contains("vault")
        || key.contains("cred")
        || key.ends_with("key")
        || key.ends_with("token")
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(nodes) => nodes.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum(),
        _ => 0,
    }
}

fn height(node: &Node) -> usize {
    match &node.value {
        Value::List(nodes) => 1 + nodes.iter().map(height).max().unwrap_or(0),
        Value::Map(entries) => {
            1 + entries.iter().map(|entry| height(&entry.node)).max().unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_damaged_inventory_is_read_or_refused(text in crate::damaged::text(&[
            include_str!("../../../inventory.yaml"),
            "all: {hosts: {a: &x {k: [1, 'two', !vault x]}, b: *x}, vars: {<<: *x}}\n",
        ])) {
            let source = Source::file("hosts.yaml", text);
            if let Err(problem) = parse(&source) {
                let _ = format!("{}", crate::failure::Failure::from(problem));
            }
        }
    }
}
