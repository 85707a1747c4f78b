//! Inventories in Ansible's INI format: sections of hosts, of variables and of children.

use std::collections::HashMap;
use std::sync::Arc;

use super::groups::{Graph, UNGROUPED};
use super::{connection, literal, range, words};
use crate::inventory::yaml::node::Entry;
use crate::inventory::yaml::place::{Extent, Place, Source};
use crate::inventory::yaml::problem::Problem;

/// Characters that end a line for Python.
const LINE_ENDS: [char; 10] =
    ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

/// What the lines of a section hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hosts,
    Vars,
    Children,
}

/// A group that a section has named before any section declared it.
struct Pending {
    place: Place,
    /// The groups that it is a child of; none for a section of variables.
    parents: Vec<usize>,
}

/// Adds what a text says.
pub(super) fn read_into(graph: &mut Graph, source: &Arc<Source>) -> Result<(), Problem> {
    let mut reader = Reader {
        graph,
        source,
        pending: Vec::new(),
        pending_of: HashMap::new(),
        hidden: Vec::new(),
        group: UNGROUPED,
        kind: Kind::Hosts,
    };
    let read = reader.lines();
    let hidden = std::mem::take(&mut reader.hidden);
    source.hide(hidden);
    read
}

struct Reader<'a> {
    graph: &'a mut Graph,
    source: &'a Arc<Source>,
    /// In the order in which they were named. None stands for one that was declared since.
    pending: Vec<Option<Pending>>,
    pending_of: HashMap<String, usize>,
    /// Where values stand that no message may show.
    hidden: Vec<Extent>,
    group: usize,
    kind: Kind,
}

/// A line without the space around it.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    /// From 1.
    number: usize,
    /// The column of its first character, from 1.
    column: usize,
}

impl Reader<'_> {
    fn lines(&mut self) -> Result<(), Problem> {
        let text = self.source.clone();
        let text = text.text().replace("\r\n", "\n");
        for (at, whole) in text.split(LINE_ENDS).enumerate() {
            let text = whole.trim();
            let column = 1 + whole.chars().take_while(|c| c.is_whitespace()).count();
            if !text.is_empty() && !text.starts_with([';', '#']) {
                self.line(Line { text, number: at + 1, column })?;
            }
        }
        match self.pending.iter().flatten().next() {
            Some(Pending { place, parents }) => {
                let message = match parents.is_empty() {
                    true => "this section has the variables of a group that is not declared",
                    false => "this line names a group that is not declared",
                };
                let hint = "add a section `[GROUP]` with its name";
                Err(Problem::at(place, message).without_line().hint(hint))
            }
            None => Ok(()),
        }
    }

    /// The place of some columns of a line, counted from 0.
    fn place(&self, line: Line, start: usize, end: usize) -> Place {
        let (number, column) = (line.number, line.column);
        self.source.at(Extent {
            line: number,
            column: column + start,
            end_line: number,
            end_column: column + end,
        })
    }

    /// A problem of a whole line. The file may be none of Ansible's, so nothing that the line holds is shown.
    fn wrong(&self, line: Line, message: impl Into<String>) -> Problem {
        Problem::at(&self.place(line, 0, 1), message).without_line()
    }

    fn line(&mut self, line: Line) -> Result<(), Problem> {
        if let Some((name, kind)) = section(line.text) {
            return self.section(line, name, kind);
        }
        if line.text.starts_with('[') && line.text.ends_with(']') {
            let problem = self.wrong(line, "this is not the name of a section");
            return Err(
                problem.hint("a section is `[GROUP]`, `[GROUP:vars]` or `[GROUP:children]`")
            );
        }
        match self.kind {
            Kind::Hosts => self.hosts(line),
            Kind::Vars => self.variable(line),
            Kind::Children => self.child(line),
        }
    }

    fn section(&mut self, line: Line, name: &str, kind: Option<&str>) -> Result<(), Problem> {
        self.kind = match kind {
            None | Some("hosts") => Kind::Hosts,
            Some("vars") => Kind::Vars,
            Some("children") => Kind::Children,
            Some(_) => {
                let problem = self.wrong(line, "this section is of an unknown kind");
                return Err(problem.hint("use `hosts`, `vars` or `children`"));
            }
        };
        let is_new = self.graph.find_group(name).is_none() && !self.pending_of.contains_key(name);
        if is_new && self.kind == Kind::Vars {
            let place = self.place(line, 0, line.text.chars().count());
            self.wait_for(name, Pending { place, parents: Vec::new() });
        }
        self.group = self.graph.group(name);
        if self.kind != Kind::Vars {
            self.declare(name)?;
        }
        Ok(())
    }

    fn wait_for(&mut self, name: &str, pending: Pending) {
        self.pending_of.insert(name.to_owned(), self.pending.len());
        self.pending.push(Some(pending));
    }

    fn pending_mut(&mut self, name: &str) -> Option<&mut Pending> {
        self.pending[*self.pending_of.get(name)?].as_mut()
    }

    /// Puts a group into the parents that have waited for it.
    fn declare(&mut self, name: &str) -> Result<(), Problem> {
        let pending = self.pending_of.remove(name).and_then(|at| self.pending[at].take());
        let Some(Pending { place, parents }) = pending else { return Ok(()) };
        let child = self.graph.group(name);
        for parent in parents {
            self.put_in(child, parent, &place)?;
            // A section of children declares the parent as well.
            let parent = self.graph.groups[parent].name.clone();
            if self.pending_mut(&parent).is_some_and(|other| !other.parents.is_empty()) {
                self.declare(&parent)?;
            }
        }
        Ok(())
    }

    fn hosts(&mut self, line: Line) -> Result<(), Problem> {
        let words = words::split(line.text)
            .ok_or_else(|| self.wrong(line, "a quote in this line is not closed"))?;
        let Some((first, words)) = words.split_first() else { return Ok(()) };
        let is_assignment = first.text.contains('=');
        let expanded = range::expand(&first.text).ok().filter(|_| !is_assignment);
        let (names, port) = expanded.ok_or_else(|| {
            let problem = self.wrong(line, "this line does not begin with the name of a host");
            problem.hint(
                "write a name, an address or a range such as `web[01:12]`, with `:PORT` or without",
            )
        })?;
        let mut vars = Vec::new();
        for word in words {
            let Some((key, value)) = word.text.split_once('=') else {
                let place = self.place(line, word.start, word.end);
                let problem = Problem::at(&place, "a variable of a host is written `KEY=VALUE`");
                return Err(problem.without_line());
            };
            let start = word.start + (key.chars().count() + 1).min(word.end - word.start - 1);
            vars.push(self.entry(line, key, value, (word.start, start, word.end)));
        }
        let place = self.place(line, first.start, first.end);
        for name in names {
            let host = self.graph.add_host(&name, self.group, port, &place);
            let host = host.map_err(Problem::without_line)?;
            for var in &vars {
                self.graph.set_on_host(host, var)?;
            }
        }
        Ok(())
    }

    fn variable(&mut self, line: Line) -> Result<(), Problem> {
        let Some((key, value)) = line.text.split_once('=') else {
            return Err(self.wrong(line, "a variable of a group is written `KEY=VALUE`"));
        };
        let end = line.text.chars().count();
        let space = value.chars().take_while(|c| c.is_whitespace()).count();
        let start = (key.chars().count() + 1 + space).min(end);
        let var = self.entry(line, key.trim(), value.trim(), (0, start, end));
        self.graph.set_on_group(self.group, &var)
    }

    /// A variable. `columns` are where its key begins, where its value does and where it ends.
    fn entry(
        &mut self,
        line: Line,
        key: &str,
        value: &str,
        (start, value_start, end): (usize, usize, usize),
    ) -> Entry {
        let place = self.place(line, value_start, end.max(value_start + 1));
        if !connection::is_used(key) {
            self.hidden.push(place.extent());
        }
        let node = literal::value(value, &place);
        let end_of_key = start + key.chars().count();
        Entry { key: key.to_owned(), place: self.place(line, start, end_of_key), node }
    }

    fn put_in(&mut self, child: usize, parent: usize, place: &Place) -> Result<(), Problem> {
        let wrong = |_| Problem::at(place, "a group cannot lie in itself").without_line();
        self.graph.put_in(child, parent, place).map_err(wrong)
    }

    fn child(&mut self, line: Line) -> Result<(), Problem> {
        let Some(name) = group_name(line.text) else {
            return Err(self.wrong(line, "expected the name of a group, one in each line"));
        };
        let place = self.place(line, 0, name.chars().count());
        if let Some(child) = self.graph.find_group(name) {
            return self.put_in(child, self.group, &place);
        }
        let group = self.group;
        match self.pending_mut(name) {
            Some(pending) => pending.parents.push(group),
            None => self.wait_for(name, Pending { place, parents: vec![group] }),
        }
        Ok(())
    }
}

/// The name and the kind of `[name:kind]`, with a comment behind it or not.
fn section(line: &str) -> Option<(&str, Option<&str>)> {
    let (inner, rest) = line.strip_prefix('[')?.split_once(']')?;
    is_comment(rest).then_some(())?;
    let (name, kind) = match inner.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (inner, None),
    };
    let is_word =
        |kind: &str| !kind.is_empty() && kind.chars().all(|c| c.is_alphanumeric() || c == '_');
    let fits = !name.is_empty() && !name.contains(char::is_whitespace);
    (fits && kind.is_none_or(is_word)).then_some((name, kind))
}

/// The name of a group, with a comment behind it or not.
fn group_name(line: &str) -> Option<&str> {
    let end = line.find(|c: char| c.is_whitespace() || c == ':' || c == ']');
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    (!name.is_empty() && is_comment(rest)).then_some(name)
}

/// Whether there is nothing, or only a comment.
fn is_comment(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use crate::inventory::ansible::merge::Merging;

    fn problem(text: &str) -> Option<String> {
        let mut graph = Graph::new(Merging::Replace);
        let source = Source::file("hosts", text.to_owned());
        let failure = Failure::from(read_into(&mut graph, &source).err()?);
        assert!(failure.why.is_empty(), "a line is shown: {failure:?}");
        Some(failure.what)
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_without_the_line() {
        for (text, expected) in [
            ("h1 a='x\n", "hosts:1:1: a quote in this line is not closed"),
            ("h1 hunter2\n", "hosts:1:4: a variable of a host is written `KEY=VALUE`"),
            (
                "[web:vars]\nx=1\n",
                "hosts:1:1: this section has the variables of a group that is not declared",
            ),
            ("[all:children]\nweb\n", "hosts:2:1: this line names a group that is not declared"),
            (
                "[web]\n[web:vars]\nhunter2\n",
                "hosts:3:1: a variable of a group is written `KEY=VALUE`",
            ),
            ("[web:more]\n", "hosts:1:1: this section is of an unknown kind"),
            ("[web one]\n", "hosts:1:1: this is not the name of a section"),
            ("[a:children]\na\n", "hosts:2:1: a group cannot lie in itself"),
            ("  h[1:\n", "hosts:1:3: this line does not begin with the name of a host"),
        ] {
            assert_eq!(problem(text).as_deref(), Some(expected), "{text}");
        }
    }

    /// A file of any kind may lie where inventories are looked for.
    #[test]
    fn nothing_of_a_file_that_is_no_inventory_is_shown() {
        for text in [
            "DB_PASSWORD=hunter2\n",
            "export DB_PASSWORD='hunter2\n",
            "password: hunter2\n",
            "hunter2[5:1]\n",
            "hunter2:port\n",
            "[hunter2:x]\n",
            "[hunter2:vars]\n",
            "[all:children]\nhunter2\n",
            "[hunter2:children]\nhunter2\n",
            "[all:children]\nhunter2 x\n",
            "[web:vars]\nhunter2\n",
            "{\"password\": \"hunter2\"}\n",
            "-----BEGIN hunter2 KEY-----\nhunter2==\n",
            "user:hunter2:1000\n",
        ] {
            let mut graph = Graph::new(Merging::Replace);
            let source = Source::file("hosts", text.to_owned());
            let read = read_into(&mut graph, &source);

            let failure = Failure::from(read.expect_err(text));
            assert!(!format!("{failure:?}").contains("hunter2"), "{text}{failure:?}");
        }
    }

    #[test]
    fn a_group_may_be_declared_after_it_is_named() {
        let text = "[all:children]\nouter\n[outer:children]\ninner # last\n[inner]\nh1\n[outer:vars]\nx=1\n";

        assert_eq!(problem(text), None);
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_inventory_is_read_or_refused(text in crate::damaged::text(&[
            "h1:22 a=1 b='x y'\n[web]\nw[1:3] c=[1,2]\n[web:vars]\nd = {'x': 1}\n[all:children]\nweb\n",
        ])) {
            problem(&text);
        }
    }
}
