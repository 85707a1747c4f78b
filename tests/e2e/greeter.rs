//! A part from outside of hwctl: the example `greeter` is hwctl with one kind of part more.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::{Provisioned, action, causes, changes, failure, outcome, wait_until};
use serde_json::Value;

crate::tests! {
    Lab: [a_part_from_outside_is_one_of_the_hosts_own],
}

/// The example, which `cargo test` builds.
fn program() -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_hwctl")).parent().unwrap();
    let program = programs.join("examples/greeter");
    assert!(program.is_file(), "build it first: cargo build --example greeter");
    program
}

/// A verb of the example with `--json`; its exit code and events.
fn greeter(host: &Provisioned, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
    let plain = host.command(verb, args);
    let mut command = Command::new(program());
    command.args(plain.get_args()).current_dir(host.folder());
    Provisioned::read(&command.output().unwrap())
}

/// The names of the checks that `status` or `verify` of the example tells.
fn checks(host: &Provisioned, verb: &str) -> Vec<String> {
    let (code, documents) = greeter(host, verb, &[]);
    assert_eq!(code, 0, "{documents:#?}");
    let checks = documents[0]["hosts"][0]["checks"].as_array().unwrap();
    checks.iter().map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

fn greeting(host: &Provisioned) -> String {
    Provisioned::curl(&[&host.url("/greeter/")])
}

fn a_part_from_outside_is_one_of_the_hosts_own() {
    let host = Provisioned::fresh("trixie");

    it_is_provisioned_with_the_rest(&host);
    the_verbs_know_it_by_its_name(&host);
    it_is_provisioned_alone(&host);
    hwctl_without_its_kind_removes_it(&host);
    it_comes_back_and_is_taken_away_with_the_rest(&host);
}

fn it_is_provisioned_with_the_rest(host: &Provisioned) {
    let (code, events) = greeter(host, "provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"unit greeter.service"), "{events:#?}");
    assert_eq!(greeting(host), format!("Hello from {}\n", host.sh("hostname")));
    assert!(Provisioned::curl(&[&host.url("/open/")]).contains("<html"));
    let (code, events) = greeter(host, "provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    its_variable_is_one_of_the_inventory(host);
}

fn its_variable_is_one_of_the_inventory(host: &Provisioned) {
    let (code, events) = greeter(host, "provision", &["--set", "greeter.greeting=Good morning,"]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(greeting(host), format!("Good morning, {}\n", host.sh("hostname")));
    let (code, events) = greeter(host, "plan", &["--set", "greeter.greting=x"]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("unknown key `greting` in `greeter`"), "{events:#?}");
    let (code, events) = greeter(host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
}

fn the_verbs_know_it_by_its_name(host: &Provisioned) {
    let seen_inside = checks(host, "status");
    for name in ["greeter.socket", "greeter.service", "https://127.0.0.1/greeter/"] {
        assert!(seen_inside.iter().any(|check| check == name), "{name}: {seen_inside:?}");
    }
    let seen_outside = checks(host, "verify");
    assert!(seen_outside.iter().any(|check| check.contains("/greeter/")), "{seen_outside:?}");
    assert!(host.sh("check-flask").contains("greeter.service"));

    let (code, events) = greeter(host, "logs", &["greeter"]);
    assert_eq!(code, 0, "{events:#?}");
    let of_service = |event: &Value| {
        event["log"] == "greeter"
            && event["text"].as_str().is_some_and(|text| text.starts_with("GET /greeter/ HTTP"))
    };
    assert!(events.iter().any(of_service), "{events:#?}");

    let began = || host.sh("systemctl show greeter.service --property=MainPID --value");
    let before = began();
    let (code, events) = greeter(host, "restart", &["greeter"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "restarted"), "{events:#?}");
    assert_ne!(began(), before);

    host.sh("systemctl mask --runtime --now greeter.service greeter.socket");
    let (code, _) = greeter(host, "status", &[]);
    assert_eq!(code, 1);
    host.sh("systemctl unmask --runtime greeter.service greeter.socket");
    host.sh("systemctl start greeter.socket greeter.service");
    wait_until("the greeter answers again", || greeting(host).starts_with("Hello"));
}

fn it_is_provisioned_alone(host: &Provisioned) {
    host.sh(
        "echo Moin >/usr/local/lib/greeter/greeting.txt; echo '# by hand' >>/etc/nginx/nginx.conf",
    );

    let (code, events) = greeter(host, "provision", &["--only", "greeter"]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(causes(&events), ["file /usr/local/lib/greeter/greeting.txt"]);
    assert!(greeting(host).starts_with("Hello from "));
    let (code, events) = greeter(host, "plan", &["--skip", "greeter"]);
    assert_eq!((code, causes(&events)), (3, vec!["file /etc/nginx/nginx.conf"]));
    let (code, events) = greeter(host, "plan", &["--only", "greter"]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("did you mean `greeter`?"), "{events:#?}");
    let (code, events) =
        greeter(host, "plan", &["--set", "sites.docs={path: /greeter, root: /srv/docs}"]);
    assert_eq!(code, 2, "{events:#?}");
    for part in [
        "two routes have the path `/greeter`",
        "the part `greeter`",
        "the part `sites` (--set sites.docs",
        "no host was contacted",
    ] {
        assert!(failure(&events).contains(part), "{part}: {}", failure(&events));
    }
}

/// A build of hwctl without the kind takes the part for one that has left the inventory.
fn hwctl_without_its_kind_removes_it(host: &Provisioned) {
    for (verb, args) in [("provision", ["--only", "greeter"]), ("restart", ["greeter", "--wait=1"])]
    {
        let (code, events) = host.hwctl(verb, &args);
        assert_eq!(code, 2, "{events:#?}");
        assert!(failure(&events).contains("`greeter`"), "{events:#?}");
    }

    let (code, events) = host.hwctl("provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(action(&events, "unit greeter.service"), "stop");
    assert_eq!(action(&events, "file /usr/local/lib/greeter/greeter.pl"), "remove");
    is_gone(host);
    let code =
        Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", &host.url("/greeter/")]);
    assert_eq!(code, "404");
    for verb in ["status", "verify"] {
        let (code, events) = host.hwctl(verb, &[]);
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }
}

fn it_comes_back_and_is_taken_away_with_the_rest(host: &Provisioned) {
    let (code, events) = greeter(host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(greeting(host).starts_with("Hello from "));

    let (code, events) = greeter(host, "destroy", &["--yes"]);

    assert_eq!(code, 0, "{events:#?}");
    is_gone(host);
    assert!(!host.sh_ok("test -e /etc/nginx/sites-enabled/homework"));
}

fn is_gone(host: &Provisioned) {
    let left = "ls -d /usr/local/lib/greeter /etc/systemd/system/*greeter* /etc/systemd/system/*/*greeter* /run/greeter.sock";
    assert!(
        !host.sh_ok(&format!("{left} 2>/dev/null | grep .")),
        "{}",
        host.sh(&format!("{left}; true"))
    );
    assert!(!host.sh_ok("systemctl is-active greeter.service greeter.socket | grep -q '^active'"));
}
