//! The daily verbs, end to end on one provisioned lab host: each where all is well, and where
//! something is broken.

#[path = "../host/mod.rs"]
mod host;
#[path = "../load/mod.rs"]
mod load;

mod commands;
mod logs;
mod redis;
mod restart;
mod status;
mod verify;

use std::process::Command;
use std::time::{Duration, Instant};

use host::{Provisioned, lab};
use serde_json::Value;

/// The host by two names, and one that does not answer.
const GROUP: &str = "group.yaml";

#[test]
fn the_daily_verbs() {
    let lab = lab();
    let host = Provisioned::fresh(&lab, "trixie");
    status::of_a_host_that_was_never_provisioned(&host);
    assert_eq!(host.hwctl("provision", &[]).0, 0);
    write_group(&host);

    status::of_a_healthy_host(&host);
    status::on_the_host_itself(&host);
    status::of_several_hosts(&host);
    status::is_watched_until_it_is_stopped(&host);
    verify::of_a_healthy_host(&host);
    logs::are_merged_by_time(&host);
    logs::are_followed(&host);
    logs::are_asked_for_rightly(&host);
    commands::run_with_their_words_as_they_are(&host);
    commands::fail_where_they_fail(&host);
    commands::a_login_has_the_exit_code_of_ssh(&host);
    redis::answers_and_its_password_is_not_seen(&host);
    redis::is_saved_and_put_back(&host);
    redis::a_damaged_copy_is_refused(&host);
    redis::what_cannot_be_loaded_is_put_back(&host);
    redis::that_is_stopped_is_told(&host);
    restart::of_nginx_and_the_api_loses_nothing(&host);
    restart::of_redis_and_of_all_keeps_the_count(&host);
    restart::that_fails_says_why(&host);
    status::of_a_broken_host(&host);
    verify::of_a_broken_host(&host);
    logs::of_a_broken_host(&host);
}

fn write_group(host: &Provisioned<'_>) {
    let inventory = std::fs::read_to_string(host.folder().join("inventory.yaml")).unwrap();
    let (head, vm) = inventory.split_once("    vm:\n").expect("the host");
    let twins = format!("{head}    web1:\n{vm}    web2:\n{vm}");
    std::fs::write(host.folder().join("twins.yaml"), &twins).unwrap();
    let gone = format!("{twins}    gone:\n      ansible_host: 127.0.0.1\n      ansible_port: 1\n");
    std::fs::write(host.folder().join(GROUP), gone).unwrap();
}

/// A verb as a person has it, without `--json`.
fn plain(host: &Provisioned<'_>, verb: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hwctl"));
    command.current_dir(host.folder()).arg(verb).arg("--known-hosts").arg(host.host.known_hosts());
    command.args(args);
    command
}

/// What it printed, and its exit code. No secret may be in it.
fn printed(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!text.contains(host::MARK) && !text.contains("panicked"), "{text}");
    assert!(!text.contains('\x1b'), "colours where nobody sees them: {text:?}");
    (output.status.code().unwrap_or(-1), text)
}

/// The checks of a document, by name: whether all is well, and what was seen.
fn check<'a>(host: &'a Value, name: &str) -> (bool, &'a str) {
    let found = host["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no `{name}` in {host:#}"));
    (found["ok"].as_bool().unwrap(), found["detail"].as_str().unwrap())
}

/// Breaks the host, does something, and mends it again.
fn while_broken<T>(
    host: &Provisioned<'_>,
    (broken, mended): (&str, &str),
    work: impl FnOnce() -> T,
) -> T {
    host.sh(broken);
    let done = work();
    host.sh(mended);
    done
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
