//! Inventories that a program prints as JSON: an executable, or `ansible-inventory` for Ansible's plugins.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::groups::{ALL, Graph};
use super::program::{self, Messages};
use super::vault::Vault;
use crate::failure::Failure;
use crate::inventory::names::shown;
use crate::inventory::program::Input;
use crate::inventory::trust::require_own;
use crate::inventory::yaml::integer;
use crate::inventory::yaml::node::{Entry, INTEGER_MARK, Node, Value};
use crate::inventory::yaml::place::{Place, Source};
use crate::inventory::yaml::problem::Problem;

/// What a group has. A map without any of these is the variables of a host.
const SECTIONS: [&str; 3] = ["hosts", "vars", "children"];
/// What is no group: the variables of all hosts.
const META: &str = "_meta";

/// Whether a file is a program, and not text that merely happens to be executable.
pub(super) fn is_program(path: &Path) -> Result<bool, Failure> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(false) };
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Ok(false);
    }
    require_own(path)?;
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
    Ok(read.is_ok() && (start.starts_with(b"#!") || start.starts_with(b"\x7fELF")))
}

/// Runs an executable inventory and reads what it prints.
pub(super) fn read_into(graph: &mut Graph, path: &Path) -> Result<(), Problem> {
    let name = path.display().to_string();
    let program = std::path::absolute(path)
        .map_err(|error| Problem::nowhere(format!("cannot run `{}`: {error}", shown(&name))))?;
    let printed = program::run(&program, &["--list"], Input::None, Messages::Shown)?;
    let mut reader = Reader::new(graph, &name);
    let variables = reader.read(&printed)?;
    for host in std::mem::take(&mut reader.hosts) {
        let vars = if let Some(variables) = &variables {
            variables.get(&host).cloned()
        } else {
            // The program is of an older kind, which is asked for each host.
            let printed = program::run(&program, &["--host", &host], Input::None, Messages::Shown)?;
            let is_empty = printed.trim().is_empty();
            if is_empty { None } else { Some(Json::Object(reader.parse(&printed)?)) }
        };
        reader.set_on_host(&host, vars)?;
    }
    Ok(())
}

/// Lets Ansible read an inventory of which only its plugins make something.
pub(super) fn read_plugin(
    graph: &mut Graph,
    path: &Path,
    place: &Place,
    vault: &Vault,
) -> Result<(), Problem> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs =
        std::env::split_paths(&on_path).map(|folder| folder.join("ansible-inventory"));
    let Some(program) = programs.find(|program| program.is_file()) else {
        let message = "only a plugin of Ansible reads this inventory, and there is no \
                       `ansible-inventory` on your PATH";
        return Err(Problem::at(place, message).hint("install Ansible, with the plugin"));
    };
    let mut arguments = vec!["--list".into(), "--export".into(), "-i".into(), path.into()];
    arguments.extend(vault.ids().flat_map(|id| [OsString::from("--vault-id"), id.into()]));
    let printed = program::run(&program, &arguments, Input::Terminal, Messages::Shown)
        .map_err(|problem| problem.or_at(place))?;
    let mut reader = Reader::new(graph, &format!("ansible-inventory for {}", path.display()));
    let variables = reader.read(&printed)?;
    if reader.hosts.is_empty() {
        return Err(Problem::at(place, "`ansible-inventory` finds no host in this inventory"));
    }
    for host in std::mem::take(&mut reader.hosts) {
        reader.set_on_host(&host, variables.as_ref().and_then(|all| all.get(&host).cloned()))?;
    }
    Ok(())
}

struct Reader<'a> {
    graph: &'a mut Graph,
    place: Place,
    /// The hosts that were named, each once, in that order.
    hosts: Vec<String>,
    seen: HashSet<String>,
}

impl<'a> Reader<'a> {
    fn new(graph: &'a mut Graph, name: &str) -> Self {
        let place = Source::output(&format!("`{}`", shown(name))).start();
        Self { graph, place, hosts: Vec::new(), seen: HashSet::new() }
    }

    fn parse(&self, printed: &str) -> Result<Map<String, Json>, Problem> {
        // What serde_json says of an error shows nothing of the text.
        let wrong = |error| Problem::at(&self.place, format!("this is not a map in JSON: {error}"));
        serde_json::from_str(&with_marked_integers(printed)).map_err(wrong)
    }

    fn wrong(&self, what: &str, expected: &str) -> Problem {
        Problem::at(&self.place, format!("`{}` is not {expected}", shown(what)))
    }

    /// Reads the groups. Returns the variables of all hosts if the program tells them.
    fn read(&mut self, printed: &str) -> Result<Option<Map<String, Json>>, Problem> {
        let mut variables = None;
        for (name, data) in self.parse(printed)? {
            if name != META {
                self.group(&name, data)?;
                continue;
            }
            let Json::Object(mut meta) = data else { return Err(self.wrong(META, "a map")) };
            variables = match meta.remove("hostvars") {
                None if meta.is_empty() => None,
                Some(Json::Object(variables)) => Some(variables),
                _ => return Err(self.wrong("_meta.hostvars", "a map")),
            };
        }
        Ok(variables)
    }

    fn group(&mut self, name: &str, data: Json) -> Result<(), Problem> {
        if name.is_empty() {
            return Err(Problem::at(&self.place, "a group has no name"));
        }
        let group = self.graph.group(name);
        let mut data = match data {
            Json::Object(data) if SECTIONS.iter().any(|section| data.contains_key(*section)) => {
                data
            }
            // Forms from before groups had variables: a list of hosts, or one host's variables.
            Json::Object(vars) => Map::from_iter([
                ("hosts".to_owned(), Json::from(vec![name])),
                ("vars".to_owned(), Json::Object(vars)),
            ]),
            hosts => Map::from_iter([("hosts".to_owned(), hosts)]),
        };
        let wrong = |reader: &Self, section, expected| {
            Err(reader.wrong(&format!("{name}.{section}"), expected))
        };
        match data.remove("hosts") {
            None => {}
            Some(Json::Array(hosts)) => {
                for host in hosts {
                    let Json::String(host) = host else {
                        return wrong(self, "hosts", "a list of names");
                    };
                    self.graph.add_host(&host, group, None, &self.place)?;
                    if self.seen.insert(host.clone()) {
                        self.hosts.push(host);
                    }
                }
            }
            Some(_) => return wrong(self, "hosts", "a list"),
        }
        match data.remove("vars") {
            None => {}
            Some(Json::Object(vars)) => {
                for (key, value) in vars {
                    let var = self.entry(key, value);
                    self.graph.set_on_group(group, &var)?;
                }
            }
            Some(_) => return wrong(self, "vars", "a map"),
        }
        match data.remove("children") {
            None => {}
            Some(Json::Array(children)) => {
                for child in children {
                    let Json::String(child) = child else {
                        return wrong(self, "children", "a list of names");
                    };
                    let child = self.graph.group(&child);
                    // Every group comes to lie in `all` at the end, after those of other sources.
                    if group == ALL {
                        continue;
                    }
                    self.graph.put_in(child, group, &self.place)?;
                }
            }
            Some(_) => return wrong(self, "children", "a list"),
        }
        Ok(())
    }

    fn set_on_host(&mut self, name: &str, vars: Option<Json>) -> Result<(), Problem> {
        let vars = match vars {
            None => return Ok(()),
            Some(Json::Object(vars)) => vars,
            Some(_) => return Err(self.wrong(&format!("_meta.hostvars.{name}"), "a map")),
        };
        let Some(host) = self.graph.find_host(name) else { return Ok(()) };
        for (key, value) in vars {
            let var = self.entry(key, value);
            self.graph.set_on_host(host, &var)?;
        }
        Ok(())
    }

    fn entry(&self, key: String, value: Json) -> Entry {
        Entry { key, place: self.place.clone(), node: node(value, &self.place) }
    }
}

/// A value with the marks of Ansible's JSON.
fn node(value: Json, place: &Place) -> Node {
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Flag(flag),
        Json::Number(number) => Value::Number(number),
        Json::String(text) => {
            match text.strip_prefix(INTEGER_MARK).filter(|rest| integer::is_whole(rest)) {
                Some(digits) => Value::Integer(digits.to_owned()),
                None => Value::Text(text),
            }
        }
        Json::Array(values) => {
            Value::List(values.into_iter().map(|value| node(value, place)).collect())
        }
        Json::Object(map) => match marked(&map) {
            Some(value) => value,
            None => Value::Map(
                map.into_iter()
                    .map(|(key, value)| Entry {
                        key,
                        place: place.clone(),
                        node: node(value, place),
                    })
                    .collect(),
            ),
        },
    };
    Node::new(value, place.clone())
}

/// The same JSON with texts for the whole numbers that do not fit into 64 bits, which `serde_json` would round.
fn with_marked_integers(json: &str) -> Cow<'_, str> {
    let mut marked = String::new();
    // How much of the text stands in `marked`.
    let mut copied = 0;
    let (mut at, mut in_text) = (0, false);
    let bytes = json.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            b'-' | b'0'..=b'9' if !in_text => {
                let in_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let length = bytes[at..].iter().take_while(|byte| in_number(byte)).count();
                let number = &json[at..at + length];
                if integer::is_whole(number)
                    && number.parse::<u64>().is_err()
                    && number.parse::<i64>().is_err()
                {
                    marked.push_str(&json[copied..at]);
                    marked.push_str(&Json::from(format!("{INTEGER_MARK}{number}")).to_string());
                    copied = at + length;
                }
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return json.into();
    }
    marked.push_str(&json[copied..]);
    marked.into()
}

fn marked(map: &Map<String, Json>) -> Option<Value> {
    let (mark, Json::String(text)) = map.iter().next().filter(|_| map.len() == 1)? else {
        return None;
    };
    match mark.as_str() {
        "__ansible_unsafe" => Some(Value::Literal(text.clone())),
        "__ansible_vault" => Some(Value::Vault(text.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_that_do_not_fit_are_marked() {
        let kept = r#"{"a": [1, -2.5e3, 18446744073709551615, 1e400], "b": "1\"234567890123456789012345", "c": 0}"#;
        assert_eq!(with_marked_integers(kept), kept);

        let marked = with_marked_integers(
            r#"{"a": [-99999999999999999999, "x"], "b": 99999999999999999999}"#,
        );
        let read: Json = serde_json::from_str(&marked).unwrap();
        let mark = |digits: &str| Json::from(format!("{INTEGER_MARK}{digits}"));
        assert_eq!(read["a"][0], mark("-99999999999999999999"));
        assert_eq!(read["b"], mark("99999999999999999999"));
    }

    proptest::proptest! {
        #[test]
        fn damaged_json_is_marked_or_left(text in crate::damaged::text(&[
            r#"{"a": [-99999999999999999999, "x\"y\\"], "b": 1.5e-7, "é": 99999999999999999999}"#,
        ])) {
            let _ = with_marked_integers(&text);
        }
    }
}
