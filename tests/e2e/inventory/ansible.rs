//! The merged variables of each host equal what Ansible's own `ansible-inventory --list` prints.

use std::path::{Path, PathBuf};
use std::process::Command;

use hwctl::inventory::{Sources, load};
use serde_json::{Map, Value};

use crate::python;

crate::tests! {
    Python: [merged_variables_are_ansibles, random_graphs_merge_as_ansibles, folders_of_variables_are_ansibles, patterns_choose_ansibles_hosts_in_its_order, endings_in_a_folder_are_ansibles],
}

/// Inventories that are hard to merge, by name.
const CASES: [(&str, &str); 10] = [
    (
        "nested groups, the deeper wins",
        "
all:
  vars: { who: all, only_all: 1 }
  children:
    outer:
      vars: { who: outer, map: { a: 1, b: 2 } }
      children:
        inner:
          vars: { who: inner, map: { b: 3 } }
          hosts: { h1: , h2: { who: h2 } }
      hosts: { h3: }
",
    ),
    (
        "the same depth: by name, then by priority",
        "
all:
  children:
    zeta: { hosts: { h1: , h2: }, vars: { a: zeta, b: zeta, c: zeta } }
    alpha: { hosts: { h1: }, vars: { a: alpha, b: alpha, ansible_group_priority: 10 } }
    mid: { hosts: { h1: , h2: }, vars: { a: mid, b: mid, ansible_group_priority: '2' } }
    last: { hosts: { h2: }, vars: { c: last, ansible_group_priority: -1 } }
",
    ),
    (
        "a group in two others, at two depths, named before it is filled",
        "
all:
  children:
    b: { children: { shared: } , vars: { x: b, y: b } }
    a: { children: { deep: { children: { shared: } , vars: { x: deep, z: deep } } }, vars: { z: a } }
    shared: { hosts: { h1: }, vars: { x: shared } }
    other: { hosts: { h1: , h2: }, vars: { x: other, y: other, z: other } }
",
    ),
    (
        "ranges, ports and hosts in several groups",
        "
all:
  hosts:
    web[01:03].example.com: { role: web }
    db[a:c]: { role: db }
    n[0:10:5]-[x:y]:
    p[1:2]:2222:
    '[2001:db8::1]:2200': { six: true }
    2001:db8::2:
  children:
    first: { hosts: { 'web[02:03].example.com': { role: first } } }
    second: { hosts: { web03.example.com: { extra: 1 }, p1: { ansible_port: 22 } } }
",
    ),
    (
        "ungrouped",
        "
ungrouped: { hosts: { lone: , both: { v: host } }, vars: { v: ungrouped, u: 1 } }
all: { hosts: { loner: }, vars: { v: all } }
named: { hosts: { both: }, vars: { n: 1 } }
",
    ),
    (
        "nothing in many places",
        "
all:
  vars:
  hosts:
  children:
    empty:
    vars_only: { vars: { a: 1 } }
    g: { hosts: { h1: , h2: {} }, vars: { a: null, b: , c: {}, d: [] }, children: }
    s: { hosts: h3, children: empty }
",
    ),
    (
        "the same group and host twice, and null over a value",
        "
all:
  children:
    g: { hosts: { h1: { a: 1, m: { x: 1 } } }, vars: { k: 1, l: 1, m: { y: 2 } } }
    h: { children: { g: { hosts: { h1: { b: 2, m: { z: 3 } } }, vars: { k: 2, m: null } } } }
g: { vars: { l: null } }
",
    ),
    (
        "anchors, aliases and merge keys",
        "
all:
  vars:
    base: &base { x: 1, y: 2 }
    more: &more { y: 3, z: 4 }
    one: { <<: *base, y: 9 }
    two: { <<: [*more, *base], w: 0 }
    list: &list [1, *base]
    again: *list
  hosts: { h: { <<: *base } }
",
    ),
    (
        "words of YAML 1.1",
        "
all:
  hosts:
    h:
      bools: [yes, No, on, OFF, true, y, n]
      numbers: [0644, 0o644, 0999, 0x1F, 0b101, 1_000, +5, -0, 22:22, 1:30.5]
      floats: [1e3, 1.0e+3, .5, 6., 1_000.5, 1.0e-5, 12345678901234567890.5]
      nulls: [~, null, '']
      words: [., 1.2.3.4, 10.0.0.0/8, 80/tcp, 2026-11-24, 2026-11-24 10:00:00, 'yes', \"0644\"]
      tags: [!!str 5, !!int '7', !!float '1.5']
      keys: { 1: a, false: b, 2.5: c, null: d }
      jinja: '{{ lookup(\"env\", \"HOME\") }}'
      unsafe: !unsafe '{{ x }}'
      uni: \"\\u00fc 😀\"
      folded: >-
        two
        lines
      kept: |
        one

        two
",
    ),
    (
        "the order of mention does not matter, depth does",
        "
z: { children: { y: { children: { x: { hosts: { h: }, vars: { a: x } } }, vars: { a: y, b: y } } }, vars: { c: z } }
a: { hosts: { h: }, vars: { a: a, b: a, c: a, d: a } }
b: { children: { a: }, vars: { d: b, e: b } }
all: { vars: { e: all, f: all } }
",
    ),
];

fn merged_variables_are_ansibles() {
    let ansible = ansible_inventory();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in CASES {
        let path = folder.path().join("inventory.yaml");
        std::fs::write(&path, text).unwrap();
        assert_eq!(ours(&path), theirs(&ansible, &path), "{name}");
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory.yaml");
    assert_eq!(ours(&example), theirs(&ansible, &example), "the example");
}

/// Groups in each other at random, all with some of the same variables.
fn random_graphs_merge_as_ansibles() {
    let ansible = ansible_inventory();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    for seed in 1..=12 {
        let text = random_inventory(seed);
        std::fs::write(&path, &text).unwrap();
        assert_eq!(ours(&path), theirs(&ansible, &path), "seed {seed}:\n{text}");
    }
}

/// Every group is written at the top, in no order; its children have higher numbers: no circles.
fn random_inventory(seed: u64) -> String {
    const GROUPS: u64 = 9;
    let mut state = seed;
    let mut below = |bound: u64| {
        // Knuth's MMIX generator: the same graphs on every machine.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut groups = Vec::new();
    // Names whose order says nothing about depth.
    let name = |at: u64| format!("g{}", (at * 7 + seed) % GROUPS);
    for at in 0..GROUPS {
        let vars: Vec<_> = (0..6).filter(|_| below(3) > 0).map(|k| format!("k{k}: {at}")).collect();
        let priority = match below(4) {
            0 => format!("ansible_group_priority: {}, ", below(5)),
            _ => String::new(),
        };
        let children: Vec<_> = (at + 1..GROUPS)
            .filter(|_| below(4) == 0)
            .map(|child| format!("{}: ", name(child)))
            .collect();
        let hosts: Vec<_> =
            (0..5).filter(|_| below(4) == 0).map(|host| format!("h{host}: ")).collect();
        groups.push(format!(
            "{}: {{vars: {{{priority}{}}}, children: {{{}}}, hosts: {{{}}}}}\n",
            name(at),
            vars.join(", "),
            children.join(", "),
            hosts.join(", ")
        ));
    }
    for at in (1..groups.len()).rev() {
        let other = below(at as u64 + 1);
        groups.swap(at, usize::try_from(other).unwrap());
    }
    groups.concat() + "ungrouped: {hosts: {h0: , h1: {k0: host}, h9: }, vars: {k1: ungrouped}}\n"
}

fn folders_of_variables_are_ansibles() {
    let ansible = ansible_inventory();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "one.yaml",
        "{all: {vars: {a: all, b: all}, hosts: {h1: {e: host}}}, g: {hosts: {h1: }, vars: {b: g, c: g}}}",
    );
    write("two.yml", "g: {hosts: {h2: {d: host}}, vars: {c: two}}");
    write("notes.txt", "not an inventory");
    write("group_vars/all.yml", "{b: folder all, x: 1}");
    write("group_vars/g/1.yml", "{c: folder g, x: 2}");
    write("group_vars/g/2.yaml", "x: 3");
    write("group_vars/g/.hidden.yml", "x: 4");
    write("group_vars/g/deeper/3.json", "{\"y\": 1}");
    write("group_vars/g/old.yml~", "x: 5");
    write("group_vars/empty.yml", "");
    write("host_vars/h1", "e: folder host");
    write("host_vars/h2.json", "{\"d\": \"folder host\"}");
    write("host_vars/h2.yaml", "d: this one is looked for first");
    for path in [folder.path().to_owned(), folder.path().join("one.yaml")] {
        assert_eq!(ours(&path), theirs(&ansible, &path), "{}", path.display());
    }
}

/// Inventories whose groups have another order than the inventory as a whole.
const ORDERS: [&str; 4] = [
    "all: {hosts: {n2: , n1: }, children: {shop: {hosts: {n1: , n2: }}}}",
    "
b: { hosts: { b2: , b1: , shared: } }
a: { hosts: { shared: , a1: , b1: } }
all: { hosts: { lone: , a1: }, children: { parent: { children: { a: , b: }, hosts: { p1: } } } }
ungrouped: { hosts: { u1: , b2: } }
",
    "
parent: { children: { late: , early: }, hosts: { p2: , p1: } }
early: { hosts: { e2: , e1: } }
late: { children: { deep: }, hosts: { l2: , l1: } }
deep: { hosts: { d9: , d1: , e1: } }
",
    "
w1: { hosts: { 'web[2:3]': , web9: } }
w2: { hosts: { 'web[1:3]': , web2: , db1: } }
all: { hosts: { db1: , web3: } }
",
];
/// Patterns that are tried on each of [`ORDERS`]; some match nothing there.
const PATTERNS: [&str; 49] = [
    "~.*1",
    "~(a|b)",
    "~n[0-9]+$",
    "~sh",
    "all:!~.*2",
    "all",
    "*",
    "all[0]",
    "*[0]",
    "*[1]",
    "*[2:4]",
    "all[-1]",
    "all[1:]",
    "all[1:2]",
    "!shop",
    "shop",
    "shop[0]",
    "shop[-1]",
    "shop[0:1]",
    "shop[0:0]",
    "shop[1:0]",
    "n*",
    "n*[0]",
    "?1[0]",
    "parent",
    "parent[0]",
    "parent[1:3]",
    "parent[2:]",
    "parent:&b",
    "a",
    "a[0]",
    "a,b",
    "b,a",
    "a[0:1]:b[0]",
    "ungrouped",
    "ungrouped[0]",
    "p*[0]",
    "late",
    "late[0]",
    "early[0],late[0]",
    "[dl]*[0]",
    "e*[1]",
    "w*",
    "w*[3]",
    "w2[0]",
    "w2[1:2]",
    "all:!w2[0]",
    "all:&*1",
    "deep[0],lone",
];

fn patterns_choose_ansibles_hosts_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    for (at, text) in ORDERS.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{at}.yaml")), text).unwrap();
    }
    let theirs = their_choices(folder.path());
    for (file, choices) in theirs.as_object().unwrap() {
        let inventory = load(&Sources::at(&folder.path().join(file), Vec::new())).unwrap();
        for pattern in PATTERNS {
            let chosen = match inventory.select(&[], Some(pattern)) {
                Ok(chosen) => chosen,
                // Ansible only warns of a part that matches nothing, so a misspelled exclusion
                // chooses too many hosts. hwctl refuses it.
                Err(failure) if failure.what.starts_with("no host or group matches") => continue,
                Err(_) => Vec::new(),
            };
            let names: Vec<_> = chosen.into_iter().map(|host| host.name).collect();
            assert_eq!(serde_json::json!(names), choices[pattern], "{file}: `{pattern}`");
        }
    }
}

/// What Ansible's own code chooses in each inventory of a folder, by file and pattern. One process
/// asks for all of them, since starting Ansible takes half a second.
fn their_choices(folder: &Path) -> Value {
    const SCRIPT: &str = "
import json, os, sys
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
folder, patterns = sys.argv[1], json.loads(sys.argv[2])
chosen = {}
for name in sorted(os.listdir(folder)):
    inventory = InventoryManager(loader=DataLoader(), sources=[os.path.join(folder, name)])
    chosen[name] = {}
    for pattern in patterns:
        try:
            hosts = [host.name for host in inventory.get_hosts(pattern)]
        except Exception:
            hosts = []
        chosen[name][pattern] = hosts
print(json.dumps(chosen))
";
    // The program's first line names the Python that has Ansible's modules.
    let program = std::fs::read_to_string(ansible_inventory()).unwrap();
    let python = program.lines().next().unwrap().trim_start_matches("#!").trim();
    let mut words = python.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(["-c", SCRIPT])
        .arg(folder)
        .arg(serde_json::to_string(&PATTERNS.as_slice()).unwrap())
        .env("ANSIBLE_DEPRECATION_WARNINGS", "false")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Ansible's code fails: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A copy that somebody keeps beside the inventory is not part of it.
fn endings_in_a_folder_are_ansibles() {
    let ansible = ansible_inventory();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    write("hosts.yml", "all: {hosts: {h1: {x: right}}}");
    write("more", "all: {hosts: {h2: {x: right}}}");
    write("last.json", "{\"all\": {\"hosts\": {\"h3\": {\"x\": \"right\"}}}}");
    for ending in ["old", "example", "disabled", "dist", "j2", "template", "save", "orig", "bak"] {
        let text = format!("all: {{hosts: {{h1: {{x: {ending}}}, extra-{ending}: {{x: 1}}}}}}");
        write(&format!("hosts.yml.{ending}"), &text);
    }

    let hosts = ours(folder.path());

    assert_eq!(hosts, theirs_though(&ansible, folder.path(), "false"));
    assert_eq!(hosts.keys().collect::<Vec<_>>(), ["h1", "h3", "h2"]);
}

fn ours(path: &Path) -> Map<String, Value> {
    let sources = Sources::at(path, Vec::new());
    let inventory = load(&sources).unwrap();
    let hosts = inventory.hosts().unwrap();
    hosts
        .into_iter()
        .map(|host| (host.name.clone(), host.raw()))
        .filter(|(_, vars)| !vars.is_empty())
        .map(|(name, vars)| (name, Value::Object(vars)))
        .collect()
}

fn theirs(ansible: &Path, path: &Path) -> Map<String, Value> {
    theirs_though(ansible, path, "true")
}

/// The same; `strict` tells Ansible whether a file that it cannot read is an error.
fn theirs_though(ansible: &Path, path: &Path, strict: &str) -> Map<String, Value> {
    // Nobody's own settings of Ansible count here.
    let config = tempfile::Builder::new().suffix(".cfg").tempfile().unwrap();
    let output = Command::new(ansible)
        .args(["--list", "-i"])
        .arg(path)
        .env("ANSIBLE_CONFIG", config.path())
        .env("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", strict)
        .env("ANSIBLE_DEPRECATION_WARNINGS", "false")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ansible-inventory fails: {said}");
    let mut list: Value = serde_json::from_slice(&output.stdout).unwrap();
    match list["_meta"]["hostvars"].take() {
        Value::Object(hosts) => hosts,
        other => panic!("ansible-inventory gives {other}"),
    }
}

fn ansible_inventory() -> PathBuf {
    python::program("ansible-inventory", "ansible-core")
}
