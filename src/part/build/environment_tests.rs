//! Environments from the inventory to the text of a file.

use std::fmt::Write as _;
use std::fs;

use super::*;
use crate::inventory::schema::{As, Declared, EnvMap, Variable};
use crate::inventory::{Sources, Vars, load};
use crate::resource::parse_environment;

#[derive(Clone, Debug, PartialEq)]
struct Program(Env);

impl Variable for Program {
    const NAME: &'static str = "program";
    const DOC: &'static str = "the environment of a program";
    type Rule = As<EnvMap, Self>;
    const RULE: &'static Self::Rule = &As { rule: EnvMap, make: Self };
}

/// Reads the variables of a host whose program has these lines of YAML. Files of the inventory's folder are `secrets`.
fn try_read(lines: &[&str], secrets: &[(&str, &str)]) -> Result<(Vars, Env), Failure> {
    let folder = tempfile::tempdir().unwrap();
    for (name, secret) in secrets {
        fs::write(folder.path().join(name), secret).unwrap();
    }
    let lines = lines.join("\n      ");
    let text = format!("all:\n  hosts: {{ vm1: }}\n  vars:\n    program:\n      {lines}\n");
    let path = folder.path().join("inventory.yaml");
    fs::write(&path, text).unwrap();
    let inventory = load(&Sources::at(&path, Vec::new()))?;
    let host = inventory.select(&["vm1".to_owned()], None)?.remove(0);
    let (vars, _) = inventory.vars(&host, &[Declared::of::<Program>()])?;
    let Program(env) = vars.get::<Program>().clone();
    vars.look_up(&["program"], folder.path())?;
    Ok((vars, env))
}

fn read(lines: &[&str]) -> Env {
    try_read(lines, &[("secret", "planted-file\n")]).unwrap().1
}

/// What is shown of a file, and what is in it if the host has made `secret-of-host`.
fn texts(env: &Env) -> (String, String) {
    let (mut shown, mut whole) = (String::new(), String::new());
    for part in parts(env, true).unwrap() {
        match part {
            Part::Text(text) => {
                shown.push_str(&text);
                whole.push_str(&text);
            }
            Part::HostSecret(name) => {
                write!(shown, "<{name}>").unwrap();
                whole.push_str("secret-of-host");
            }
            Part::Secret { name, value } => {
                write!(shown, "<{name}>").unwrap();
                whole.push_str(value.expose());
            }
            Part::Hash { .. } => panic!("no hash is asked for"),
        }
    }
    (shown, whole)
}

fn values(lines: &[&str]) -> Vec<(String, String)> {
    parse_environment(&texts(&read(lines)).1).unwrap()
}

fn named(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn values_are_carried_exactly() {
    let found = values(&[
        r#"QUOTES: "a \"b\" 'c' `d` $E ${F} \\ \\\\""#,
        r##"HASH: "#no comment # at all""##,
        r#"SPACES: "  a  ""#,
        r#"LINES: "first\nSECOND=\"x\"\n""#,
        r#"TAB: "a\tb""#,
        "UNICODE: grüße 日本 🦀",
        r#"EMPTY: """#,
        "NUMBER: 5432",
        "FRACTION: 0.5",
        "FLAG: true",
        "GONE: null",
    ]);

    let expected = [
        named("EMPTY", ""),
        named("FLAG", "true"),
        named("FRACTION", "0.5"),
        named("HASH", "#no comment # at all"),
        named("LINES", "first\nSECOND=\"x\"\n"),
        named("NUMBER", "5432"),
        named("QUOTES", "a \"b\" 'c' `d` $E ${F} \\ \\\\"),
        named("SPACES", "  a  "),
        named("TAB", "a\tb"),
        named("UNICODE", "grüße 日本 🦀"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn secrets_come_from_each_of_their_places_and_are_never_shown() {
    let env = read(&[
        "BY_FILE: { file: secret }",
        "BY_COMMAND: { command: [printf, '%s', 'planted-\"$command`'] }",
        "DB_PASSWORD: planted-text",
        "MADE: { made: shop-db }",
        "URL: { text: 'postgres://shop:{}@127.0.0.1/\"shop\"', secret: { made: shop-db } }",
        "OTHER_URL: { text: 'http://{}@host', secret: { file: secret } }",
        "PLAIN: shown",
    ]);

    let (shown, whole) = texts(&env);

    let found = parse_environment(&whole).unwrap();
    let expected = [
        named("BY_COMMAND", "planted-\"$command`"),
        named("BY_FILE", "planted-file"),
        named("DB_PASSWORD", "planted-text"),
        named("MADE", "secret-of-host"),
        named("OTHER_URL", "http://planted-file@host"),
        named("PLAIN", "shown"),
        named("URL", "postgres://shop:secret-of-host@127.0.0.1/\"shop\""),
    ];
    assert_eq!(found, expected);
    assert!(!shown.contains("planted"), "{shown}");
    assert!(shown.contains("BY_FILE=\"<program.BY_FILE>\"\n"), "{shown}");
    assert!(shown.contains("postgres://shop:<shop-db>@127.0.0.1/\\\"shop\\\""), "{shown}");
    assert!(!format!("{env:?}").contains("planted"), "{env:?}");
    assert!(env.has_secrets());
    assert_eq!(env.made_secrets().collect::<Vec<_>>(), ["shop-db", "shop-db"]);
}

#[test]
fn secrets_that_are_not_looked_up_are_empty() {
    let env = try_read(&["A: { file: secret }"], &[("secret", "planted")]).unwrap().1;

    let parts = parts(&env, false).unwrap();

    let is_empty =
        |part: &Part| matches!(part, Part::Secret { value, .. } if value.expose().is_empty());
    assert!(parts.iter().any(is_empty), "{parts:?}");
}

#[test]
fn what_no_environment_carries_is_refused_with_its_place_and_without_the_value() {
    for (line, expected) in [
        (r#"A: "planted\0x""#, "5:10: `program.A` has the character U+0000"),
        (r#"A: "planted\rx""#, "5:10: `program.A` has the character U+000D"),
        (r#"A: "planted\x7fx""#, "5:10: `program.A` has the character U+007F"),
        (r#"A: "planted\uFFFEx""#, "5:10: `program.A` has the character U+FFFE"),
        ("A: [planted]", "5:10: `program.A` takes the value of a variable, not a list"),
        ("A: { made: Planted }", "5:18: `program.A.made` takes a name of small letters"),
        ("A: { made: x, env: planted }", "5:10: `program.A` takes one of"),
        ("A: { envv: PLANTED }", "5:12: unknown key `envv` in `program.A`"),
        ("A: { text: 'x{}' }", "5:10: `program.A` lacks `secret`"),
        ("A: { text: 'x', secret: planted }", "5:18: `program.A.text` has to have `{}` once"),
        ("A: { text: '{}{}', secret: planted }", "5:18: `program.A.text` has to have `{}` once"),
        ("A: { text: 'x{}', secret: planted, or: x }", "unknown key `or` in `program.A`"),
        ("A: { file: absent }", "5:10: `program.A`: cannot read the file `absent`"),
        ("A: { command: [printf, 'planted\\n2'] }", "`program.A` is a password with a line break"),
        ("A-B: planted", "5:7: `program` has a name that no environment variable can have"),
        ("1A: planted", "5:7: `program` has a name that no environment variable can have"),
        ("A=planted: ", "5:7: `program` has a name that no environment variable can have"),
    ] {
        let failure = try_read(&[line], &[]).map(drop).unwrap_err();

        let told = format!("{failure} {failure:?}");
        assert!(told.contains(expected), "{line}: {told}");
        assert!(!told.to_lowercase().contains("planted"), "{line}: {told}");
    }
}
