//! `init`, `facts`, `render`, `completions` and `man`: what helps to begin and to look around.

use std::process::{Command, Output};

use crate::host::{Provisioned, failure};
use crate::inventory::vars_of;
use hwctl::inventory::schema::Users;
use hwctl::part::{Api, Sites};
use serde_json::Value;

crate::tests! {
    Lab: [a_host_tells_what_it_is_and_what_its_files_would_be],
    Nothing: [init_writes_an_inventory_that_loads_and_overwrites_nothing, init_makes_passwords_of_its_own, completions_and_man_pages_know_every_verb],
}

fn hwctl(folder: &std::path::Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hwctl")).current_dir(folder).args(args).output().unwrap()
}

fn init_writes_an_inventory_that_loads_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = hwctl(folder.path(), &["init", "site", "--templates"]);
    assert!(output.status.success(), "{output:?}");
    let inventory = folder.path().join("site/inventory.yaml");
    assert!(folder.path().join("site/templates/nginx/homework").is_file());
    let sources = hwctl::inventory::Sources::at(&inventory, vec![]);
    assert!(!hwctl::inventory::load(&sources).unwrap().hosts().unwrap().is_empty());
    hwctl::part::load_templates(&folder.path().join("site/templates")).unwrap();

    std::fs::write(&inventory, "mine").unwrap();
    let output = hwctl(folder.path(), &["init", "site"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("inventory.yaml` is there already"), "{told}");
    assert_eq!(std::fs::read_to_string(&inventory).unwrap(), "mine");
}

/// What is written first is what gets run first, so it must not be a known password.
fn init_makes_passwords_of_its_own() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let output = hwctl(folder.path(), &["init", "--host", "web.example.com", "--user", "root"]);
    assert!(output.status.success(), "{output:?}");

    let path = folder.path().join("inventory.yaml");
    let sources = hwctl::inventory::Sources::at(&path, vec![]);
    let inventory = hwctl::inventory::load(&sources).unwrap();
    let hosts = inventory.select(&[], None).unwrap();
    let (vars, warnings) = vars_of(&inventory, &hosts[0]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(
        (hosts[0].address.as_str(), hosts[0].user.as_deref()),
        ("web.example.com", Some("root"))
    );
    let password = |users: &Users| users.reveal().unwrap()["admin"].clone();
    let site = password(&vars.get::<Sites>().0["site2"].users);
    let api = password(&vars.get::<Api>().users);
    assert!(site.expose().len() >= 20 && site.expose() != api.expose());
    for file in ["secrets/site2", "secrets/api"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let output = hwctl(folder.path(), &["init", "x", "--host", "a b"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// What bash offers in a folder for the last of these words.
fn completed(folder: &std::path::Path, words: &[&str]) -> String {
    const COMPLETE: &str = r#"source <(hwctl completions bash)
        COMP_WORDS=(hwctl "$@") COMP_CWORD=$# COMP_TYPE=9
        $(complete -p hwctl | grep -o '[^ ]*clap[^ ]*') hwctl "${!#}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_hwctl")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-c", COMPLETE, "bash"]).args(words).current_dir(folder).env("PATH", path);
    String::from_utf8(bash.output().unwrap().stdout).unwrap()
}

fn completions_and_man_pages_know_every_verb() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = hwctl(folder.path(), &["completions", shell]);
        assert!(output.status.success() && output.stdout.len() > 100, "{shell}: {output:?}");
    }
    std::fs::write(
        folder.path().join("inventory.yaml"),
        "all: {children: {front: {hosts: {web1: , web2: }}}}",
    )
    .unwrap();
    for (words, expected, hidden) in [
        (
            &[""][..],
            &["provision", "rollback", "doctor", "deploy"][..],
            &["engine", "redis-cli"][..],
        ),
        (&["cert", "renew", "--if"], &["--if-expires-within"], &[]),
        (&["plan", "--only", ""], &["packages", "nginx"], &[]),
        (&["restart", ""], &["api", "nginx", "redis", "all"], &["web1"]),
        (&["logs", ""], &["site1", "flask", "api", "all"], &["web1"]),
        (&["status", ""], &["web1", "web2", "front"], &[]),
        (&["status", "web1,fr"], &["web1,front"], &["web1,web2"]),
        (&["plan", "--limit", "all:!w"], &["all:!web1"], &[]),
        (&["logs", "--host", "web"], &["web1", "web2"], &["all"]),
        (&["ssh", ""], &["web1", "web2"], &[]),
        (&["help", ""], &["plan", "review", "inventory", "topics"], &["engine"]),
        (&["help", "exit"], &["exit-codes"], &["plan"]),
    ] {
        let offered = completed(folder.path(), words);
        let is_offered = |word: &&str| offered.lines().any(|line| line.trim() == *word);
        assert!(expected.iter().all(is_offered), "{words:?}: {offered}");
        assert!(!hidden.iter().any(is_offered), "{words:?}: {offered}");
    }
    // A press of the Tab key runs no inventory, though a verb does.
    let program = folder.path().join("hosts");
    std::fs::write(&program, "#!/bin/sh\ntouch ran\necho '{\"all\": [\"made1\"]}'\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(folder.path().join("ansible.cfg"), "[defaults]\ninventory = hosts\n").unwrap();
    let offered = completed(folder.path(), &["status", ""]);
    assert!(!offered.contains("made1") && !folder.path().join("ran").exists(), "{offered}");
    let listed = hwctl(folder.path(), &["inventory", "--list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("made1") && folder.path().join("ran").exists(), "{listed}");

    assert!(hwctl(folder.path(), &["man", "man1"]).status.success());
    for page in ["hwctl", "hwctl-plan", "hwctl-cert-renew", "hwctl-secret-rotate"] {
        let page = std::fs::read_to_string(folder.path().join(format!("man1/{page}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{page}");
    }
    // A shell that there is none of, and a folder that cannot be made.
    let told = |args: &[&str]| {
        let output = hwctl(folder.path(), args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = told(&["completions", "tclsh"]);
    assert!(code == Some(2) && text.contains("[possible values: bash, "), "{text}");
    let (code, text) = told(&["man", "man1/hwctl.1/below"]);
    assert!(code == Some(1) && text.contains("cannot make `man1/hwctl.1/below`"), "{text}");
}

fn a_host_tells_what_it_is_and_what_its_files_would_be() {
    let host = Provisioned::fresh("trixie");
    let (code, events) = host.hwctl("facts", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let facts = &events.iter().find(|event| event["event"] == "facts").unwrap()["facts"];
    assert_eq!((&facts["os"], &facts["os_version"]), (&Value::from("debian"), &Value::from("13")));

    let (code, events) = host.hwctl("render", &["/etc/nginx", "/etc/hwctl/api"]);
    assert_eq!(code, 0, "{events:#?}");
    let file = |path: &str| {
        let found = events.iter().find(|event| event["path"] == path);
        found.unwrap_or_else(|| panic!("no {path}: {events:#?}"))["text"].as_str().unwrap()
    };
    assert!(file("/etc/nginx/sites-available/homework").contains("location ^~ /flask/"));
    assert!(file("/etc/nginx/.htpasswd").contains("<hash of admin's password>"));
    assert!(file("/etc/hwctl/api/env").contains("<secret jwt-key>"));
    assert!(!events.iter().any(|event| event["path"] == "/etc/logrotate.d/nginx"));
    let (code, _) = host.hwctl("render", &["--to", "out"]);
    assert_eq!(code, 0);
    assert!(host.folder().join("out/vm/etc/nginx/nginx.conf").is_file());
    let (code, events) = host.hwctl("render", &["/nowhere"]);
    assert!(code == 1 || code == 2, "{code}");
    assert!(failure(&events).contains("no such file"), "{events:#?}");
    assert!(host.is_untouched());
    // A host that is not there.
    let (code, events) = host.hwctl("facts", &["--host", "192.0.2.1", "--connect-timeout", "1"]);
    assert_eq!(code, 5, "{events:#?}");
}
