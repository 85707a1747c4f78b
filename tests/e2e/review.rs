//! Reviewed plans: carried out as they were reviewed, and else refused with the difference.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::host::{Provisioned, changes, failure, outcome};
use crate::python;

crate::tests! {
    Lab: [
        a_plan_that_was_reviewed_is_carried_out_and_another_is_refused_with_the_difference,
        a_digest_changes_with_a_password_and_tells_nothing_of_it,
        a_plan_for_other_hosts_or_parts_is_refused_before_a_host_is_contacted,
        hosts_of_a_reviewed_plan_are_changed_together_or_not_at_all,
        all_events_of_a_host_are_of_the_published_schema,
    ],
}

const SYSCTL: &str = "/etc/sysctl.d/60-hwctl.conf";

/// Changes a file of hwctl's by hand.
fn edit(host: &Provisioned, path: &str) {
    host.sh(&format!("echo '# edited' >> {path}"));
}

fn is_edited(host: &Provisioned, path: &str) -> bool {
    host.sh_ok(&format!("grep -q '# edited' {path}"))
}

fn digest(events: &[Value]) -> String {
    let told = events.iter().find(|event| event["event"] == "plan_digest").expect("a digest");
    told["digest"].as_str().expect("a text").to_owned()
}

/// The ids of the changes that came, went or differ.
fn difference(events: &[Value]) -> [Vec<&str>; 3] {
    let told = events.iter().find(|event| event["event"] == "plan_differs").expect("a difference");
    let ids = |field: &str, at: &str| {
        let changes = told[field].as_array().expect("changes").iter();
        changes.map(|change| change.pointer(at).unwrap().as_str().unwrap()).collect()
    };
    [ids("came", "/id"), ids("went", "/id"), ids("differ", "/now/id")]
}

fn logins(host: &Provisioned) -> usize {
    let lines = host.sh("journalctl --sync; journalctl -q -o cat | grep -c 'Accepted publickey'");
    lines.parse().unwrap()
}

fn a_plan_that_was_reviewed_is_carried_out_and_another_is_refused_with_the_difference() {
    let host = Provisioned::ready("trixie");
    let file = host.folder().join("plan.json");
    edit(&host, SYSCTL);

    let (exit, events) = host.hwctl("plan", &["--out", "plan.json"]);

    assert_eq!((exit, changes(&events)), (3, vec![&*format!("file {SYSCTL}")]));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let (_, again) = host.hwctl("plan", &[]);
    assert_eq!(digest(&events), digest(&again));

    // Another change by hand comes, and the reviewed one becomes another.
    edit(&host, "/etc/logrotate.d/nginx");
    edit(&host, SYSCTL);
    let (exit, events) = host.hwctl("provision", &["--plan", "plan.json"]);
    assert_eq!((exit, &*outcome(&events)), (3, "refused"), "{events:#?}");
    let [came, went, differ] = difference(&events);
    assert_eq!(came, ["file /etc/logrotate.d/nginx"]);
    assert!(went.is_empty(), "{went:?}");
    assert_eq!(differ, [&*format!("file {SYSCTL}")]);
    assert!(is_edited(&host, SYSCTL) && is_edited(&host, "/etc/logrotate.d/nginx"));
    let (exit, events) = host.hwctl("provision", &["--expect", &digest(&again)]);
    assert_eq!((exit, &*outcome(&events)), (3, "refused"), "{events:#?}");
    assert!(failure(&events).contains("the digest is"), "{events:#?}");
    assert!(is_edited(&host, SYSCTL));

    // As it was in the review.
    host.sh(&format!("sed -i '$d' {SYSCTL} /etc/logrotate.d/nginx"));
    let before = logins(&host);
    let (exit, events) = host.hwctl("provision", &["--plan", "plan.json"]);
    assert_eq!((exit, &*outcome(&events)), (0, "changed"), "{events:#?}");
    assert_eq!(logins(&host) - before, 1, "a login is for one connection");
    assert!(!is_edited(&host, SYSCTL));

    // Its change is not needed any more.
    let (exit, events) = host.hwctl("provision", &["--plan", "plan.json"]);
    assert_eq!(exit, 3);
    assert_eq!(difference(&events), [vec![], vec![&*format!("file {SYSCTL}")], vec![]]);
    edit(&host, SYSCTL);
    let (_, events) = host.hwctl("plan", &["--summary"]);
    let (exit, events) = host.hwctl("provision", &["--expect", &digest(&events)]);
    assert_eq!((exit, &*outcome(&events)), (0, "changed"), "{events:#?}");
}

fn a_digest_changes_with_a_password_and_tells_nothing_of_it() {
    let host = Provisioned::ready("trixie");
    let plan = |password: &str| {
        let set = format!("api.users={{admin: {password}}}");
        let (exit, events) = host.hwctl("plan", &["--set", &set, "--out", "plan.json"]);
        assert_eq!(exit, 3);
        let shown: Vec<_> = changes(&events).into_iter().map(str::to_owned).collect();
        (digest(&events), shown, fs::read_to_string(host.folder().join("plan.json")).unwrap())
    };

    let (first, shown, file) = plan("correct-horse");
    let (other, shown_again, _) = plan("battery-staple");
    let (same, ..) = plan("correct-horse");

    assert_eq!(shown, shown_again);
    assert_ne!(first, other);
    assert_eq!(first, same);
    assert!(!file.contains("correct-horse"), "{file}");
    // Who has the file, but not the host's key, cannot try passwords: the seals are made with it.
    host.sh("rm /var/lib/hwctl/seal-key");
    assert_ne!(plan("correct-horse").0, first);
    assert_eq!(host.sh("stat -c '%a %U' /var/lib/hwctl/seal-key"), "600 root");
}

fn a_plan_for_other_hosts_or_parts_is_refused_before_a_host_is_contacted() {
    let host = Provisioned::ready("trixie");
    edit(&host, SYSCTL);
    host.hwctl("plan", &["--only", "host,redis", "--out", "plan.json"]);
    let refused = |args: &[&str], message: &str| {
        let (exit, events) = host.hwctl("provision", &[&["--plan", "plan.json"], args].concat());
        assert_eq!(exit, 2, "{events:#?}");
        assert!(failure(&events).contains(message), "{events:#?}");
        assert!(failure(&events).contains("no host was contacted"), "{events:#?}");
    };

    refused(&[], "is for `--only host,redis`");
    refused(&["--only", "nginx"], "is for `--only host,redis`");
    refused(&["--host", "127.0.0.1", "--only", "redis,host"], "has no host `127.0.0.1`");
    let inventory = host.folder().join("inventory.yaml");
    let text = fs::read_to_string(&inventory).unwrap();
    let address = host.host.address.to_string();
    fs::write(&inventory, text.replace(&address, "127.0.0.1")).unwrap();
    refused(&["--only", "redis,host"], "is for another `vm`");
    fs::write(&inventory, text).unwrap();

    let (exit, events) =
        host.hwctl("provision", &["--plan", "plan.json", "--only", "redis", "--only", "host"]);
    assert_eq!((exit, &*outcome(&events)), (0, "changed"), "{events:#?}");
    let twice = fs::read_to_string(&inventory).unwrap().replace("    vm:\n", "    vm2:\n");
    fs::write(host.folder().join("twice.yaml"), twice).unwrap();
    let digest = "00".repeat(32);
    let (exit, events) =
        host.hwctl("provision", &["-i", "inventory.yaml", "-i", "twice.yaml", "--expect", &digest]);
    assert_eq!(exit, 2, "{events:#?}");
    assert!(failure(&events).contains("are one host"), "{events:#?}");
    for args in [
        ["--plan", "/dev/zero"],
        ["--plan", "none.json"],
        ["--plan", "inventory.yaml"],
        ["--expect", "1f"],
    ] {
        let output = host.command("provision", &args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

fn hosts_of_a_reviewed_plan_are_changed_together_or_not_at_all() {
    let (one, two) = (Provisioned::ready("trixie"), Provisioned::ready("trixie"));
    let inventory = one.folder().join("inventory.yaml");
    let mut text = fs::read_to_string(&inventory).unwrap();
    let entry = text.split_once("    vm:\n").unwrap().1.to_owned();
    let address = (one.host.address.to_string(), two.host.address.to_string());
    text.push_str("    vm2:\n");
    text.push_str(&entry.replace(&address.0, &address.1));
    fs::write(&inventory, &text).unwrap();
    let known = [one.host.known_hosts(), two.host.known_hosts()];
    let keys = known.map(|path| fs::read_to_string(path).unwrap()).concat();
    let known_hosts = one.folder().join("known_hosts");
    fs::write(&known_hosts, keys).unwrap();
    let known = ["--known-hosts", known_hosts.to_str().unwrap()];
    let hwctl = |verb: &str, args: &[&str]| one.hwctl(verb, &[&known, args].concat());
    let outcomes = |events: &[Value]| -> Vec<String> {
        let hosts = events.last().unwrap()["hosts"].as_array().unwrap().iter();
        hosts.map(|host| host["outcome"].as_str().unwrap().to_owned()).collect()
    };
    edit(&one, SYSCTL);
    edit(&two, SYSCTL);
    let (_, planned) = hwctl("plan", &["--out", "plan.json"]);

    // One differs.
    edit(&two, "/etc/logrotate.d/nginx");
    for args in [["--plan", "plan.json"], ["--expect", &digest(&planned)]] {
        let (exit, events) = hwctl("provision", &[&args, &["--parallel", "1"][..]].concat());
        assert_eq!((exit, outcomes(&events)), (3, vec!["refused".to_owned(); 2]), "{events:#?}");
    }
    assert!(is_edited(&one, SYSCTL) && is_edited(&two, SYSCTL));
    // In batches the first is as reviewed.
    let (exit, events) = hwctl("provision", &["--plan", "plan.json", "--serial", "1"]);
    assert_eq!((exit, outcomes(&events)), (3, vec!["changed".into(), "refused".into()]));
    assert!(failure(&events).contains("in this batch and after it"), "{events:#?}");
    assert!(!is_edited(&one, SYSCTL) && is_edited(&two, SYSCTL));

    // One cannot be reached.
    two.sh("sed -i '$d' /etc/logrotate.d/nginx");
    edit(&one, SYSCTL);
    let nowhere = "ansible_host: 127.0.0.1\n      ansible_port: 1";
    let unreachable = text.replace(&format!("ansible_host: {}", address.1), nowhere);
    fs::write(&inventory, unreachable).unwrap();
    let (exit, events) = hwctl("provision", &["--expect", &digest(&planned)]);
    assert_eq!((exit, outcomes(&events)), (5, vec!["refused".into(), "unreachable".into()]));
    let (exit, events) = hwctl("plan", &["--out", "other.json"]);
    assert_eq!(exit, 5);
    assert!(failure_of_all(&events).contains("`other.json` was not written"), "{events:#?}");
    assert!(!one.folder().join("other.json").exists());
    fs::write(&inventory, &text).unwrap();

    // All are as reviewed, one at a time and by their digest, too.
    let args = ["--expect", &digest(&planned), "--parallel", "1"];
    let (exit, events) = hwctl("provision", &args);
    assert_eq!((exit, outcomes(&events)), (0, vec!["changed".to_owned(); 2]), "{events:#?}");
}

/// What the failure of the whole verb says.
fn failure_of_all(events: &[Value]) -> String {
    let mut failed = events.iter().filter(|event| event["event"] == "failed");
    failed.find(|event| event["host"].is_null()).expect("a failure").to_string()
}

fn all_events_of_a_host_are_of_the_published_schema() {
    let host = Provisioned::ready("trixie");
    edit(&host, SYSCTL);
    let verbs: [(&str, &[&str]); 14] = [
        ("plan", &["--out", "plan.json"]),
        ("provision", &["--plan", "plan.json", "--only", "redis"]),
        ("provision", &["--expect", &"0".repeat(64)]),
        ("provision", &["--plan", "plan.json"]),
        ("provision", &["--plan", "plan.json"]),
        ("history", &[]),
        ("facts", &[]),
        ("doctor", &["--url", "/close"]),
        ("cert show", &[]),
        ("logs", &["--since", "1h"]),
        ("exec", &["--", "ls", "/nowhere"]),
        ("restart", &[]),
        ("rollback", &["--yes"]),
        ("backup", &["visits"]),
    ];

    let mut events: Vec<Value> =
        verbs.iter().flat_map(|(verb, args)| host.hwctl(verb, args).1).collect();

    let kinds: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    assert!(kinds.len() > 15, "{kinds:?}");
    is_valid(&events, host.folder()).unwrap();
    events.push(json!({ "event": "plan", "host": "vm" }));
    assert!(is_valid(&events, host.folder()).is_err(), "a plan has changes");
}

/// Whether all events are of the published schema, for an independent reader of schemas.
fn is_valid(events: &[Value], folder: &Path) -> Result<(), String> {
    let published = include_str!("../../docs/schema/events.json");
    let mut schema: Value = serde_json::from_str(published).unwrap();
    let mut kinds = schema["$defs"].take();
    schema.as_object_mut().unwrap().remove("$defs");
    kinds["Event"] = schema;
    let all = json!({ "$defs": kinds, "items": { "$ref": "#/$defs/Event" } });
    let write = |name: &str, value: &Value| {
        let path = folder.join(name);
        fs::write(&path, value.to_string()).unwrap();
        path
    };
    let (schema, instance) = (write("schema", &all), write("events", &json!(events)));
    let validator = python::program("jsonschema", "jsonschema");
    let output = Command::new(validator).arg("-i").arg(instance).arg(schema).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(told)
}
