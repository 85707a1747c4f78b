//! Declarations of variables: everything that is said of one follows from them.

use std::fs;
use std::path::Path;
use std::process::Command;

use hwctl::inventory::schema::{Declared, Key, Map, Number, Variable, json_schema, table};
use hwctl::inventory::{Sources, load};
use hwctl::part::{Kinds, PartKind, Parts};
use serde_json::{Value, json};

use super::{open, told, vars_of};
use crate::python;

crate::tests! {
    Nothing: [the_published_schema_and_table_are_of_this_version, the_example_holds_every_variable, a_variable_that_is_declared_is_in_schema_table_and_errors, names_of_others_are_passed_over, names_that_clash_stand_below_hwctl, several_hosts_are_checked_one_by_one],
    Python: [editors_accept_the_example_and_refuse_mistakes, the_schema_refuses_the_texts_that_hwctl_refuses],
}

/// A file of the repository.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_default()
}

/// Writes a file of the repository anew if asked for, and compares.
fn is_of_this_version(name: &str, text: &str) {
    if std::env::var_os("HWCTL_UPDATE_DOCS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), text).unwrap();
    }
    assert!(
        file(name) == text,
        "{name} is not of this version: HWCTL_UPDATE_DOCS=1 cargo test --test e2e inventory::schema"
    );
}

fn the_published_schema_and_table_are_of_this_version() {
    const BEGIN: &str = "<!-- The table is made by `HWCTL_UPDATE_DOCS=1 cargo test --test e2e inventory::schema`. -->\n";
    let variables = Kinds::builtin().variables();

    let schema = serde_json::to_string_pretty(&json_schema(&variables)).unwrap();
    is_of_this_version("docs/schema/inventory.json", &format!("{schema}\n"));
    let page = file("docs/inventory.md");
    let (before, rest) = page.split_once(BEGIN).expect("the place of the table");
    let (_, after) = rest.split_once("\n\n").expect("what follows the table");
    let page = format!("{before}{BEGIN}{}\n{after}", table(&variables));
    is_of_this_version("docs/inventory.md", &page);
}

/// The paths of all keys, with `NAME` for what users name.
fn paths(keys: &[Key], prefix: &str, paths: &mut Vec<String>) {
    for key in keys {
        let path = format!("{prefix}{}", key.name);
        let each = key.shape.each().filter(|_| key.shape.keys().is_empty());
        match (key.shape.keys(), each) {
            ([], Some(each)) if !each.keys().is_empty() && !each.takes_scalar() => {
                self::paths(each.keys(), &format!("{path}.NAME."), paths);
            }
            ([], _) => paths.push(path),
            (keys, _) => self::paths(keys, &format!("{path}."), paths),
        }
    }
}

fn the_example_holds_every_variable() {
    let example: Value = serde_yaml::from_str(&file("inventory.yaml")).unwrap();
    let vars = &example["all"]["vars"];
    let keys: Vec<_> = Kinds::builtin().variables().iter().map(|declared| declared.key).collect();
    let mut all = Vec::new();
    paths(&keys, "", &mut all);
    assert!(all.len() > 20, "{all:?}");

    for path in all {
        // What most things do not need is explained in a comment.
        let of_sites = ["title", "path", "users", "users_file", "allow"];
        let is_there = path.strip_prefix("sites.NAME.").is_some_and(|key| of_sites.contains(&key));
        // So is what is `null` by default as a whole.
        let is_of_null = path.starts_with("monitoring.grafana.");
        if path.contains(".NAME.") && !is_there || is_of_null {
            let key = path.rsplit('.').next().unwrap();
            assert!(
                file("inventory.yaml").contains(key),
                "inventory.yaml says nothing of `{path}`"
            );
            continue;
        }
        let found = path.replace("NAME", "site2").split('.').try_fold(vars, |at, key| at.get(key));
        assert!(found.is_some(), "inventory.yaml lacks `{path}`");
    }
}

hwctl::vars! {
    /// A bell.
    pub(crate) struct Bell {
        /// how often the bell rings
        rings: u16 = "3", Number { min: 1, max: 12 };
    }
}

impl Variable for Bell {
    const NAME: &'static str = "bell";
    const DOC: &'static str = "a bell of the house";
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}

const BELLS: PartKind = PartKind {
    name: "bells",
    roles: &[],
    parts: Parts::One,
    vars: &[Declared::of::<Bell>()],
    takes: &[],
    driver: None,
    contribute: |_, _| (),
    describe: |_, _, _| (),
    declare: |_, _| Ok(()),
};

/// One declaration, and nothing else, makes a variable.
fn a_variable_that_is_declared_is_in_schema_table_and_errors() {
    let kinds = Kinds::builtin().with(BELLS);
    let read = |vars: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        fs::write(&path, format!("all:\n  hosts: {{ h: }}\n  vars: {vars}\n")).unwrap();
        let inventory = open(&path, &[]).unwrap();
        let host = inventory.select(&[], None).unwrap().remove(0);
        kinds.vars(&inventory, &host)
    };

    let rings = &json_schema(&kinds.variables())["definitions"]["variables"]["bell"];
    let rings = &rings["anyOf"][0]["properties"]["rings"];
    assert_eq!(rings["anyOf"][0], json!({ "type": "integer", "minimum": 1, "maximum": 12 }));
    assert_eq!(
        (&rings["description"], &rings["default"]),
        (&json!("how often the bell rings"), &json!(3))
    );
    let row = "| `bell.rings` | `3` | how often the bell rings, 1 to 12 |\n";
    assert!(table(&kinds.variables()).contains(row), "{}", table(&kinds.variables()));
    assert_eq!(read("{}").unwrap().0.get::<Bell>().rings, 3);
    assert_eq!(read("{ bell: { rings: 5 } }").unwrap().0.get::<Bell>().rings, 5);
    for (vars, expected) in [
        (
            "{ bell: { rings: 13 } }",
            "inventory.yaml:3:26: `bell.rings` takes a whole number from 1 to 12, not `13`",
        ),
        ("{ bell: { ring: 1 } }", "did you mean `rings`?"),
        ("{ bell: 5 }", "`bell` takes a map of `rings`, not a number"),
    ] {
        let message = told(&read(vars).unwrap_err());
        assert!(message.contains(expected), "{vars}: {message}");
    }
    let (_, warnings) = read("{ bells: 1 }").unwrap();
    assert!(warnings[0].message.contains("did you mean `bell`?"), "{warnings:?}");
}

/// What is said of the first host of an inventory: its failure, or its warnings.
fn said(vars: &str, sets: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    fs::write(
        &path,
        format!("all:\n  hosts: {{ h: }}\n  vars:\n    {}\n", vars.replace('\n', "\n    ")),
    )
    .unwrap();
    let users = ["sites.site2.users={}", "api.users.admin=long-enough"];
    let inventory = open(&path, &[&users, sets].concat()).unwrap();
    let host = inventory.select(&[], None).unwrap().remove(0);
    let text = match vars_of(&inventory, &host) {
        Ok((vars, warnings)) => {
            let redis = vars.get::<hwctl::part::Redis>().port;
            let warnings = warnings.iter().map(|warning| format!("\nwarning: {warning}"));
            format!("taken, with Redis on {redis}{}", warnings.collect::<String>())
        }
        Err(failure) => told(&failure),
    };
    text.replace(&format!("{}/", folder.path().display()), "")
}

fn names_of_others_are_passed_over() {
    let cases = [
        "docker_users: [deploy]\nnode_exporter: { version: 1 }\nredis: { port: 7000 }\napi: {}",
        "mysql_root_password: hunter2\nserver_nmaes: [a]",
        "# A foreign value of a name that clashes.\ndocker_users: []\nredis: { version: 7 }",
        "docker_users: []\nfirewall: [ssh]",
        "docker_users: []\napp_dir: /opt/shop",
        "docker_users: []\nredis: { port: 7000 }",
        "x_mine: 1\nansible_python_interpreter: auto\nredis: { port: 7000 }",
        "nginx_version: 1\nroles: [redis]",
        "docker_users: []\ntls: { cert: /x }\napi: { url: x }",
        "apis: { users: {} }\nredis: { port: x }",
        "hwclt: { redis: { port: 7000 } }",
    ];
    let all = cases.map(|case| {
        let said = said(case, &[]);
        assert!(!said.contains("hunter2"), "{said}");
        format!("{case}\n---\n{said}")
    });
    shows!(all.join("\n\n"));
    for (set, expected) in [
        ("server_nmaes=[a.b]", "did you mean `server_names`?"),
        ("foo=1", "`x_…`"),
        ("redis_port=6380", "`x_…`"),
        ("nginx.port=1", "`x_…`"),
        ("logins.admin=x", "`x_…`"),
    ] {
        let said = said("x_a: 1", &[set]);
        assert!(said.contains("unknown variable `") && said.contains(expected), "{set}: {said}");
    }
    assert!(said("x_a: 1", &["x_own=1"]).starts_with("taken"));
}

fn names_that_clash_stand_below_hwctl() {
    let cases = [
        "redis: { version: 7 }\napp_dir: /opt/shop\nhwctl: { redis: { port: 7001 } }",
        "firewall: [ssh]\nhwctl: {}",
        "hwctl: { redsi: { port: 7001 } }",
        "hwctl: { colour: red }",
        "hwctl: { redis: { prot: 7001 } }",
        "hwctl: [redis]",
        "hwctl: { redis: { port: 7001 } }\nredis: { port: 7002 }",
    ];
    let all = cases.map(|case| format!("{case}\n---\n{}", said(case, &[])));
    shows!(all.join("\n\n"));
    let set = said("hwctl: { redis: { port: 7001 } }", &["redis.port=7003"]);
    assert_eq!(set, "taken, with Redis on 7003");
}

/// A mistake of a host that nobody works on stops no other.
fn several_hosts_are_checked_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    fs::write(
        &path,
        "all:\n  hosts:\n    a: { redis: { port: x } }\n    b: { redis: { port: 7000 } }\n",
    )
    .unwrap();
    let inventory = load(&Sources::at(&path, Vec::new())).unwrap();
    let read = |name: &str| {
        let host = inventory.select(&[name.to_owned()], None).unwrap().remove(0);
        Kinds::builtin().vars(&inventory, &host)
    };

    assert!(read("b").is_ok());
    assert!(told(&read("a").unwrap_err()).contains("inventory.yaml:3:"));
}

/// An independent reader of schemas is of hwctl's opinion.
fn editors_accept_the_example_and_refuse_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/inventory.json");
    let validator = python::program("jsonschema", "jsonschema");
    let is_valid = |yaml: &str| {
        let inventory: Value = serde_yaml::from_str(yaml).unwrap();
        let path = folder.path().join("inventory.json");
        fs::write(&path, inventory.to_string()).unwrap();
        let output = Command::new(&validator).arg("-i").arg(path).arg(&schema).output().unwrap();
        output.status.success()
    };

    assert!(is_valid(&file("inventory.yaml")));
    for (vars, expected) in [
        ("{ docker_users: [a], redis: { port: 7000 }, roles: [web] }", true),
        ("{ redis: { port: '{{ redis_port }}' }, sites: { site1: null } }", true),
        ("{ firewall: { allow: [80/tcp, { port: 53/udp, from: 10.0.0.0/8 }] } }", true),
        ("{ api: { users: { admin: { env: X } }, workers: auto } }", true),
        ("{ hwctl: { tls: { days: 30 } } }", true),
        ("{ redis: { prot: 7000 } }", false),
        ("{ tls: { days: 400 } }", false),
        ("{ api: { workers: 1024 } }", false),
        ("{ api: { users: { admin: { evn: X } } } }", false),
        ("{ roles: [] }", false),
        ("{ hwctl: { colour: red } }", false),
    ] {
        let yaml = format!("all: {{ hosts: {{ h: }}, vars: {vars} }}");
        assert_eq!(is_valid(&yaml), expected, "{yaml}");
    }
}

/// Where a text of a variable stands, with texts that fit and texts that do not.
const TEXTS: [(&str, &[&str], &[&str]); 13] = [
    (
        "app_dir: TEXT",
        &["/home/ubuntu/Flask-app", "/srv/a_b-c.d/", "/srv/x@1+2"],
        &[
            "",
            "/",
            "home/x",
            "/srv/../x",
            "/srv//x",
            "/srv/a b",
            "/srv/a;b",
            "/srv/ä",
            "/srv/x\n",
            "/srv/.",
        ],
    ),
    ("sites: { n: { path: /n, root: TEXT } }", &["/srv/n"], &["srv/n", "/srv/$n", "/srv/./n"]),
    (
        "sites: { n: { path: TEXT, root: /srv/n } }",
        &["/n", "/a/b.c", "/~x", "/..a"],
        &["", "n", "/n/", "//", "/a b", "/..", "/a/./b", "/a;", "/é", "/n\n"],
    ),
    (
        "sites: { TEXT: { path: /n, root: /srv/n } }",
        &["n", "a-b_3"],
        &[
            "",
            "N",
            "-n",
            "a b",
            "n\n",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
    ),
    (
        "sites: { site1: { users: { TEXT: long-enough } } }",
        &["admin", "jürgen", "a#"],
        &["", "a b", "a:b", "#a", "a\tb", "a\n"],
    ),
    (
        "sites: { site1: { users: { admin: TEXT } } }",
        &["long-enough", " long enough "],
        &["long\nenough", "a\tb"],
    ),
    (
        "sites: { site1: { users_file: TEXT } }",
        &[".htpasswd", ".htpasswd-x.1"],
        &["htpasswd", ".htpasswd/x", ".htpasswd x", "x.htpasswd", ".htpasswd\n"],
    ),
    (
        "sites: { site1: { allow: [TEXT] } }",
        &[
            "10.0.0.5",
            "0.0.0.0/0",
            "192.168.1.0/24",
            "255.255.255.255/32",
            "::1",
            "2001:db8::/32",
            "::ffff:10.0.0.1",
        ],
        &[
            "",
            "10.0.0",
            "10.0.0.256",
            "10.0.0.0/33",
            "10.0.0.0.1",
            "10.0.0.1.",
            "10.0.0.0/",
            "::/129",
            "x",
            "10.0.0.5\n",
        ],
    ),
    (
        "server_names: [TEXT]",
        &["example.com", "a-b.c", "10.0.0.1", "::1", "host", "1.example"],
        &[
            "",
            "a_b",
            "-a.b",
            "a-.b",
            "a..b",
            "10.0.0.256",
            "*.x",
            "a b",
            "x;",
            "a.",
            "10.0.0",
            "a.1",
            "a\n",
        ],
    ),
    (
        "redis: { image: TEXT }",
        &[
            "redis:7-alpine",
            "redis",
            "localhost:5000/a/b:T",
            "ghcr.io/x/y",
            "a/b",
            "redis@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
        &[
            "",
            "Redis",
            "redis:",
            "redis:a b",
            "-r",
            "a//b",
            "redis@sha256:12",
            "r;x",
            "r:-x",
            "r:.x",
            "a/",
            "r\n",
        ],
    ),
    (
        "redis: { container: TEXT }",
        &["redis-flask", "r2", "R_.-"],
        &["", "r", "-x", "a b", ".x", "ä2", "r2\n"],
    ),
    (
        "firewall: { allow: [TEXT] }",
        &["80/tcp", "65535/udp"],
        &["", "0/tcp", "65536/tcp", "80/icmp", "80", "tcp/80", "080/xyz", "80/tcp\n"],
    ),
    (
        "api: { users: { TEXT: long-enough } }",
        &["admin", "a.b@c-d_e"],
        &["", "a b", "ä", "a:b", "a\n"],
    ),
];

/// An editor shows a mistake in a text before hwctl does.
fn the_schema_refuses_the_texts_that_hwctl_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/inventory.json");
    let mut validator = Command::new(python::program("jsonschema", "jsonschema"));
    validator.args(["--output", "pretty"]);
    let mut cases = Vec::new();
    for (vars, fitting, unfit) in TEXTS {
        let fitting = fitting.iter().map(|text| (text, true));
        for (text, fits) in fitting.chain(unfit.iter().map(|text| (text, false))) {
            let vars = vars.replace("TEXT", &Value::from(*text).to_string());
            let yaml = format!("all: {{ hosts: {{ h: }}, vars: {{ {vars} }} }}");
            let path = folder.path().join(format!("{}.json", cases.len()));
            let read: Value = serde_yaml::from_str(&yaml).unwrap();
            fs::write(&path, read.to_string()).unwrap();
            validator.arg("-i").arg(&path);
            cases.push((yaml, path, fits));
        }
    }
    let said = validator.arg(schema).output().unwrap();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();

    let mut wrong = Vec::new();
    for (yaml, path, fits) in &cases {
        let inventory = folder.path().join("inventory.yaml");
        fs::write(&inventory, yaml).unwrap();
        let mut sets = vec!["sites.site2.users={}"];
        if !yaml.contains("api:") {
            sets.push("api.users.admin=long-enough");
        }
        let inventory = open(&inventory, &sets).unwrap();
        let host = inventory.select(&[], None).unwrap().remove(0);
        let read = vars_of(&inventory, &host).map(|_| ()).map_err(|failure| told(&failure));
        let by_schema = !said.contains(&format!("Error]===({})", path.display()));
        if (read.is_ok(), by_schema) != (*fits, *fits) {
            wrong.push(format!("{yaml}: hwctl {read:?}, the schema takes it: {by_schema}"));
        }
    }
    assert!(said.contains("Error]===("), "{said}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
