//! What a value in an INI inventory means: Python's literals, because Ansible reads by them.

use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::place::Place;

use super::numeral;

/// Lists and maps inside each other; what lies deeper is text.
const DEPTH: usize = 64;

/// The value of a text: a number, a flag, a list or the like if it is a literal of Python, else
/// the text itself.
pub(super) fn value(text: &str, place: &Place) -> Node {
    let mut reader = Reader { rest: text.trim_start_matches([' ', '\t']), place, depth: 0 };
    match reader.whole() {
        Some(value) => Node::new(value, place.clone()),
        None => Node::new(Value::Text(text.to_owned()), place.clone()),
    }
}

/// Reads one expression. None stands for text that is no literal.
struct Reader<'a> {
    rest: &'a str,
    place: &'a Place,
    depth: usize,
}

impl Reader<'_> {
    fn whole(&mut self) -> Option<Value> {
        let mut value = self.item()?;
        if self.take(',') {
            // Values with commas between them are a tuple.
            let mut nodes = vec![self.node(value)];
            while !self.is_over() {
                let item = self.item()?;
                nodes.push(self.node(item));
                if !self.take(',') {
                    break;
                }
            }
            value = Value::List(nodes);
        }
        self.is_over().then_some(value)
    }

    fn node(&self, value: Value) -> Node {
        Node::new(value, self.place.clone())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
    }

    /// Whether only space or a comment follows.
    fn is_over(&mut self) -> bool {
        self.space();
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    fn take(&mut self, token: char) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn item(&mut self) -> Option<Value> {
        self.space();
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let value = match self.rest.chars().next()? {
            '[' => self.bracketed('[', ']').map(|(nodes, _)| Value::List(nodes)),
            '(' => self.parenthesized(),
            '{' => self.map_or_set(),
            '+' | '-' => self.signed(),
            '0'..='9' | '.' => self.number(false),
            '"' | '\'' => self.strings(),
            _ => self.word(),
        };
        self.depth -= 1;
        value
    }

    /// A tuple, or one item alone.
    fn parenthesized(&mut self) -> Option<Value> {
        let (mut nodes, has_comma) = self.bracketed('(', ')')?;
        if nodes.len() == 1 && !has_comma {
            return nodes.pop().map(|only| only.value);
        }
        Some(Value::List(nodes))
    }

    /// The items between brackets, and whether a comma stands among them.
    fn bracketed(&mut self, open: char, close: char) -> Option<(Vec<Node>, bool)> {
        self.take(open);
        let (mut nodes, mut has_comma) = (Vec::new(), false);
        while !self.take(close) {
            let item = self.item()?;
            nodes.push(self.node(item));
            if self.take(',') {
                has_comma = true;
            } else if !self.rest.starts_with(close) {
                return None;
            }
        }
        Some((nodes, has_comma))
    }

    fn map_or_set(&mut self) -> Option<Value> {
        self.take('{');
        let (mut entries, mut members) = (Vec::new(), Vec::new());
        while !self.take('}') {
            let key = self.item()?;
            if self.take(':') {
                let item = self.item()?;
                let (key, node) = (key_name(key)?, self.node(item));
                entries.retain(|entry: &Entry| entry.key != key);
                entries.push(Entry { key, place: self.place.clone(), node });
            } else {
                let node = self.node(key);
                if !members.iter().any(|other: &Node| other.json() == node.json()) {
                    members.push(node);
                }
            }
            if !self.take(',') && !self.rest.starts_with('}') {
                return None;
            }
        }
        match (entries.is_empty(), members.is_empty()) {
            (_, true) => Some(Value::Map(entries)),
            (true, false) => Some(Value::List(members)),
            (false, false) => None,
        }
    }

    fn signed(&mut self) -> Option<Value> {
        let is_negative = self.rest.starts_with('-');
        self.rest = &self.rest[1..];
        self.space();
        match self.rest.chars().next()? {
            '0'..='9' | '.' => self.number(is_negative),
            _ => None,
        }
    }

    fn number(&mut self, is_negative: bool) -> Option<Value> {
        if let Some(rest) = self.rest.strip_prefix("...") {
            self.rest = rest;
            return (!is_negative).then(|| Value::Text("...".to_owned()));
        }
        let (digits, rest) = numeral::split(self.rest);
        let number = numeral::read(digits, is_negative)?;
        self.rest = rest;
        Some(number)
    }

    /// Strings beside each other are one.
    fn strings(&mut self) -> Option<Value> {
        let mut text = String::new();
        let mut is_bytes = None;
        loop {
            let prefix = self.rest.find(['"', '\''])?;
            let (letters, rest) = self.rest.split_at(prefix);
            let letters = letters.to_ascii_lowercase();
            let is_known = ["", "r", "u", "b", "br", "rb"].contains(&letters.as_str());
            let has_bytes = letters.contains('b');
            if !is_known || *is_bytes.get_or_insert(has_bytes) != has_bytes {
                return None;
            }
            self.rest = rest;
            text.push_str(&self.string(letters.contains('r'))?);
            self.space();
            let next = self.rest.trim_start_matches(|c| "rRuUbB".contains(c));
            if !next.starts_with(['"', '\'']) {
                return Some(Value::Text(text));
            }
        }
    }

    fn string(&mut self, is_raw: bool) -> Option<String> {
        let quote = &self.rest[..1];
        let triple = quote.repeat(3);
        let end = if self.rest.starts_with(&triple) { triple.as_str() } else { quote };
        self.rest = &self.rest[end.len()..];
        let mut text = String::new();
        while !self.rest.starts_with(end) {
            match self.next()? {
                '\\' if is_raw => text.extend(['\\', self.next()?]),
                '\\' => self.escape(&mut text)?,
                c => text.push(c),
            }
        }
        self.rest = &self.rest[end.len()..];
        Some(text)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// The character that a backslash stands for.
    fn escape(&mut self, text: &mut String) -> Option<()> {
        let c = self.next()?;
        let character = match c {
            '\\' | '"' | '\'' => c,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            '0'..='7' => {
                let digits = self.rest.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b));
                let (more, rest) = self.rest.split_at(digits.count());
                let code = u32::from_str_radix(&format!("{c}{more}"), 8).ok()?;
                self.rest = rest;
                char::from_u32(code)?
            }
            // The name of a character.
            'N' => return None,
            c => {
                text.push('\\');
                c
            }
        };
        text.push(character);
        Some(())
    }

    fn code(&mut self, digits: usize) -> Option<char> {
        let code = u32::from_str_radix(self.rest.get(..digits)?, 16).ok()?;
        self.rest = &self.rest[digits..];
        char::from_u32(code)
    }

    fn word(&mut self) -> Option<Value> {
        let length = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (word, rest) = self.rest.split_at(length.unwrap_or(self.rest.len()));
        let (value, rest) = match word {
            "True" => (Value::Flag(true), rest),
            "False" => (Value::Flag(false), rest),
            "None" => (Value::Null, rest),
            "set" if rest.starts_with("()") => (Value::List(Vec::new()), &rest[2..]),
            _ if rest.starts_with(['"', '\'']) => return self.strings(),
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }
}

/// A key of a map as JSON spells it.
fn key_name(key: Value) -> Option<String> {
    match key {
        Value::Text(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Integer(digits) => Some(digits),
        Value::Flag(flag) => Some(flag.to_string()),
        Value::Null => Some("null".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::inventory::yaml::place::Source;

    fn read(text: &str) -> Json {
        value(text, &Source::argument("x", text).start()).json()
    }

    #[test]
    fn values_are_those_of_pythons_literals() {
        for (text, expected) in [
            ("5", json!(5)),
            ("-7", json!(-7)),
            ("0644", json!("0644")),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("1__0", json!("1__0")),
            ("1.", json!(1.0)),
            ("1e3", json!(1000.0)),
            ("1e-3", json!(0.001)),
            ("1e", json!("1e")),
            ("True", json!(true)),
            ("true", json!("true")),
            ("None", json!(null)),
            ("", json!("")),
            ("'a b'", json!("a b")),
            ("\"5\"", json!("5")),
            ("'a' 'b'", json!("ab")),
            ("u'a' r'\\n'", json!("a\\n")),
            ("b'a'", json!("a")),
            ("f'a'", json!("f'a'")),
            ("'a\\tb\\x41\\q'", json!("a\tbA\\q")),
            ("'''a'b'''", json!("a'b")),
            ("1 # one", json!(1)),
            ("a # b", json!("a # b")),
            ("[1, 'a', [2,],]", json!([1, "a", [2]])),
            ("[1 2]", json!("[1 2]")),
            ("(1)", json!(1)),
            ("(1,)", json!([1])),
            ("()", json!([])),
            ("80,443", json!([80, 443])),
            ("80,", json!([80])),
            ("{'a': 1, 2: {'b': None}}", json!({ "a": 1, "2": { "b": null } })),
            ("{1, 2, 1}", json!([1, 2])),
            ("{}", json!({})),
            ("{{ x }}", json!("{{ x }}")),
            ("{'a': x}", json!("{'a': x}")),
            ("1 + 2", json!("1 + 2")),
            ("--5", json!("--5")),
            ("10.0.0.0/8", json!("10.0.0.0/8")),
            ("...", json!("...")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_literal_is_read_as_something(text in crate::damaged::text(&[
            "[1, 'a', {'b': (1,), \"c\": -0x1F}, {1.5e+3, True}] # end",
            "u'\\x41\\u00e9\\101' r'''b''' b\"c\"",
        ])) {
            read(&text);
        }
    }
}
