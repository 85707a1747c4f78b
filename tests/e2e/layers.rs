//! Holds the layers of `docs/architecture.md`: which part of `src/` may import which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

crate::tests! {
    Nothing: [
        every_layer_imports_only_what_it_may,
        a_violation_is_caught_however_it_is_written,
        what_is_allowed_is_left_alone,
        no_folders_import_each_other_in_a_circle,
        a_circle_is_found,
    ],
}

/// A layer, what it may import of ours, and why no more.
const LAYERS: [(&str, &[&str], &str); 19] = [
    ("resource", &[], "`resource` imports none of ours: it is what a host can have, and no more"),
    ("packed", &[], "`packed` is a leaf: texts that the build script has packed"),
    ("failure", &["resource"], "`failure` is a leaf: of `resource` it gives on the hints"),
    ("event", &["failure", "resource"], "`event` is a leaf: it gives on what events are made of"),
    (
        "inventory",
        &["failure", "resource"],
        "`inventory` reads files: it knows failures and secrets only",
    ),
    ("lab", &["failure", "resource"], "`lab` makes hosts and knows nothing of what they become"),
    ("spec", &["resource"], "`spec` is data about parts: it knows what resources are, and no code"),
    (
        "client",
        &["event", "resource", "spec"],
        "`client` asks a host as anybody could: it knows no protocol of ours",
    ),
    (
        "watch",
        &["event", "failure", "resource"],
        "`watch` decides who is told what: it knows faults and channels, and not how faults are found",
    ),
    (
        "engine",
        &["resource", "event", "failure", "client", "spec"],
        "`engine` runs on the host: it knows resources and specs, and what it tells of them",
    ),
    (
        "part",
        &[
            "client",
            "engine",
            "event",
            "failure",
            "inventory",
            "packed",
            "resource",
            "spec",
            "watch",
        ],
        "`part` makes resources and specs of vars and facts, and has the drivers",
    ),
    ("bundle", &["engine"], "`bundle` is the API's binary as the engine takes it"),
    (
        "remote",
        &["engine", "event", "failure", "client", "resource", "spec"],
        "`remote` speaks the protocol of `engine` and knows nothing of the stack",
    ),
    ("report", &["event"], "`report` draws events and sees nothing else"),
    ("cli", &["lab"], "`cli` is clap types only, with a few values from below"),
    ("command", ALL, ""),
    (
        "program",
        &["cli", "command", "failure", "part", "report"],
        "`program` only parses and calls the verb",
    ),
    ("main", &["part", "run"], "`main` only names the kinds of parts"),
    ("lib", &["program"], "`lib` only lists the layers"),
];

/// Input for the unit tests of all layers; no program has it in it.
const FOR_TESTS: &str = "src/damaged.rs";

const ALL: &[&str] = &[
    "bundle",
    "cli",
    "client",
    "engine",
    "event",
    "failure",
    "inventory",
    "lab",
    "packed",
    "part",
    "remote",
    "report",
    "resource",
    "spec",
    "watch",
];

/// Crates of the operator's side, and the layers that run on the host and never see them.
const OPERATOR_CRATES: [&str; 5] = ["openssh", "clap", "tera", "indicatif", "console"];
const HOST_LAYERS: [&str; 5] = ["resource", "spec", "client", "watch", "engine"];
/// What the host's half of a part, below `part/*/host`, may import of ours.
const DRIVER_LAYERS: [&str; 7] = ["client", "engine", "event", "part", "resource", "spec", "watch"];
const DRIVER_RULE: &str =
    "a driver runs on the host: it knows no inventory and nothing of the operator's side";
const HOST_RULE: &str = "what runs on the host never sees ssh, clap, Tera or a terminal";

/// The rooms of the layers that have some, from the top down. Each imports itself and what is below it.
const ROOMS: [(&str, &[&str]); 2] = [
    ("resource", &["compare", "registry", "kinds", "cache", "host", "model"]),
    ("engine", &["session", "run", "inspect", "plan", "record", "driver", "protocol"]),
];

/// What a source file does that its layer may not; `path` is below `src/`.
fn violations(path: &Path, source: &str) -> Vec<String> {
    let parts: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .filter(|part| part != "mod")
        .collect();
    let layer = parts[0].as_str();
    let place = format!("src/{}", path.display());
    let Some((_, allowed, rule)) = LAYERS.iter().find(|(name, ..)| *name == layer) else {
        return vec![format!(
            "{place}: `{layer}` is no known layer: say in `tests/layers.rs` and \
             `docs/architecture.md` what it may import"
        )];
    };
    let code = without_comments(source);
    let mut found = room_violations(&parts, &code, &place);
    let is_driver = layer == "part" && parts.get(2).is_some_and(|folder| folder == "host");
    for other in imports(&code, parts.len()) {
        let known = LAYERS.iter().any(|(name, ..)| *name == other);
        if known && is_driver && !DRIVER_LAYERS.contains(&other.as_str()) {
            found.push(format!("{place} imports `{other}`, but {DRIVER_RULE}"));
        }
        if known && other != layer && !allowed.contains(&other.as_str()) {
            found.push(format!("{place} imports `{other}`, but {rule}"));
        }
    }
    if HOST_LAYERS.contains(&layer) || is_driver {
        for name in OPERATOR_CRATES {
            if names_crate(&code, name) {
                found.push(format!("{place} names `{name}`, but {HOST_RULE}"));
            }
        }
    }
    found
}

/// What a source file of a room imports from above, save for its unit tests.
fn room_violations(parts: &[String], code: &str, place: &str) -> Vec<String> {
    let layer = &parts[0];
    let Some((_, rooms)) = ROOMS.iter().find(|(name, _)| name == layer) else { return Vec::new() };
    let own = parts.get(1).and_then(|room| rooms.iter().position(|known| known == room));
    let is_tests = parts.last().is_some_and(|name| name == "tests");
    let Some(own) = own.filter(|_| !is_tests) else { return Vec::new() };
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let climb = "super::".repeat(parts.len() - 1);
    let names = imports_of(code, &[&format!("crate::{layer}::"), &climb]);
    let is_above = |name: &String| !rooms[own..].contains(&name.as_str());
    let above = names.into_iter().filter(is_above);
    above
        .map(|name| {
            format!("{place} imports `{name}` of `{layer}/`, whose rooms import downwards only")
        })
        .collect()
}

/// The lines of a source without those that are comments: docs may link anywhere.
fn without_comments(source: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    source.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// The modules of the crate's root that a source names; `depth` is how deep its own module lies.
fn imports(code: &str, depth: usize) -> Vec<String> {
    imports_of(code, &["crate::", "hwctl::", &"super::".repeat(depth)])
}

/// The names that follow one of the `roots` in a source.
fn imports_of(code: &str, roots: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| is_word(c) || c == ':') {
                names.extend(heads(&code[at + root.len()..]));
            }
        }
    }
    names
}

/// The first names of a path, or of each path in a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![head(rest)];
    };
    let mut names = vec![head(group)];
    let mut level = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => names.push(head(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|c| is_word(*c)).collect()
}

fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = &code[..at];
        let after = &code[at + name.len()..];
        let whole = !before.chars().next_back().is_some_and(|c| is_word(c) || c == ':');
        let in_use = before.ends_with("use ") && !after.starts_with(is_word);
        whole && (after.starts_with("::") || in_use)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src/ is readable") {
        let path = entry.expect("src/ is readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn every_layer_imports_only_what_it_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    files.retain(|file| !file.ends_with(FOR_TESTS));
    assert!(files.len() > 50, "only {} files are found", files.len());
    let mut found = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("sources are readable");
        found.extend(violations(file.strip_prefix(&src).expect("it lies there"), &source));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn a_violation_is_caught_however_it_is_written() {
    let caught = |path: &str, source: &str| violations(Path::new(path), source).len();
    assert_eq!(caught("resource/compare.rs", "use crate::engine::Engine;"), 1);
    assert_eq!(caught("resource/a/b.rs", "use super::super::super::command;"), 1);
    assert_eq!(caught("resource/host/fs.rs", "use crate::resource::kinds::file::File;"), 1);
    assert_eq!(caught("resource/model/id.rs", "use crate::resource::{Host, cache, model};"), 2);
    assert_eq!(caught("resource/kinds/user/mod.rs", "use super::super::registry::Resource;"), 1);
    assert_eq!(caught("engine/record/lock.rs", "use crate::engine::plan::Plan;"), 1);
    assert_eq!(caught("engine/plan/mod.rs", "use super::session::Session;"), 1);
    assert_eq!(caught("report/mod.rs", "fn f() { hwctl::lab::Lab::open(); }"), 1);
    assert_eq!(
        caught("engine/plan/mod.rs", "use crate::{\n    event::{A, B}, part::C, cli,\n};"),
        2
    );
    assert_eq!(caught("part/nginx/host/mod.rs", "use crate::inventory::Vars;\nuse tera::Tera;"), 2);
    assert_eq!(caught("part/tls/host.rs", "use crate::inventory::Vars;"), 1);
    assert_eq!(caught("remote/ssh.rs", "use crate::{command};"), 1);
    assert_eq!(caught("engine/plan/mod.rs", "let x = console::Term::stdout();"), 1);
    assert_eq!(caught("resource/compare.rs", "use tera as t;"), 1);
    assert_eq!(caught("newcomer.rs", ""), 1);
}

fn what_is_allowed_is_left_alone() {
    let caught = |path: &str, source: &str| violations(Path::new(path), source);
    let fine: [(&str, &str); 9] = [
        ("command/plan.rs", "use crate::{cli::Cli, engine, part};"),
        ("part/tls/mod.rs", "use crate::inventory::Vars;\nuse tera::Tera;"),
        ("resource/kinds/user/mod.rs", "use crate::resource::host::Host;\nuse super::link::Link;"),
        (
            "resource/host/fs.rs",
            "use super::super::model::id::Id;\npub(in crate::resource) fn f() {}",
        ),
        (
            "resource/host/fs.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::resource::kinds::file::File;\n}",
        ),
        ("resource/compare.rs", "/// Not [`crate::engine`].\nfn f() {}"),
        ("resource/mod.rs", "mod tests { use super::*; }"),
        ("engine/plan/mod.rs", "use crate::event::{Event, Sink};\nlet console = 1;"),
        ("remote/ssh.rs", "use openssh::Session;\nuse crate::engine::protocol;"),
    ];
    for (path, source) in fine {
        assert_eq!(caught(path, source), Vec::<String>::new());
    }
}

/// Layers whose folders import down only.
const LAYERS_WITH_FOLDERS: [&str; 2] = ["part", "resource"];

/// What each module below a layer imports of its siblings, by `crate::LAYER::…` or by climbing there.
/// `files` are paths below the layer with their sources.
fn siblings(layer: &str, files: &[(PathBuf, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let top =
        |path: &Path| path.with_extension("").iter().next().unwrap().to_string_lossy().into_owned();
    let names: BTreeSet<String> = files.iter().map(|(path, _)| top(path)).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, source) in files {
        let depth = path.with_extension("").iter().filter(|part| *part != "mod").count();
        let own = top(path);
        let code = without_comments(source.split("#[cfg(test)]\nmod ").next().unwrap_or_default());
        let below = imports_of(&code, &[&format!("crate::{layer}::"), &"super::".repeat(depth)]);
        let others = below.into_iter().filter(|name| names.contains(name) && *name != own);
        graph.entry(own.clone()).or_default().extend(others);
    }
    graph
}

/// The modules that lie on a circle.
fn on_circles(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&str> {
    let is_on_one = |name: &&str| reachable(graph, name).contains(*name);
    graph.keys().map(String::as_str).filter(is_on_one).collect()
}

/// The modules that one imports, and those that they import, and so on.
fn reachable<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = graph.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(name) = next.pop() {
        if seen.insert(name) {
            next.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    seen
}

fn no_folders_import_each_other_in_a_circle() {
    for layer in LAYERS_WITH_FOLDERS {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer);
        let mut files = Vec::new();
        sources(&root, &mut files);
        let is_test = |path: &PathBuf| path.to_string_lossy().contains("tests");
        let read = files.into_iter().filter(|path| !is_test(path)).map(|path| {
            let source = fs::read_to_string(&path).expect("sources are readable");
            (path.strip_prefix(&root).expect("it lies there").to_owned(), source)
        });
        // The layer's own file brings its modules together.
        let read: Vec<_> = read.filter(|(path, _)| path != Path::new("mod.rs")).collect();
        let graph = siblings(layer, &read);
        assert!(graph.values().any(|imported| !imported.is_empty()), "{layer}: nothing is found");
        assert_eq!(on_circles(&graph), BTreeSet::new(), "{layer}: {graph:#?}");
    }
}

fn a_circle_is_found() {
    let files = |sources: &[(&str, &str)]| {
        let files: Vec<_> =
            sources.iter().map(|(path, source)| ((*path).into(), (*source).to_owned())).collect();
        let graph = siblings("part", &files);
        on_circles(&graph).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let down = [
        ("sites/mod.rs", "use super::{PartKind, build};"),
        ("build/mod.rs", "mod quote;"),
        ("build/quote.rs", "use super::Builder;"),
    ];
    assert_eq!(files(&down), [""; 0]);
    let around = [
        ("sites/mod.rs", "use super::nginx::page;"),
        ("nginx/host/mod.rs", "use crate::part::{api};"),
        ("api/mod.rs", "fn f() { super::sites::f(); }"),
        ("tls/mod.rs", "use super::sites;"),
    ];
    assert_eq!(files(&around), ["api", "nginx", "sites"]);
}
