//! The daily verbs, end to end on provisioned lab hosts: each where all is well, and where something
//! is broken.

pub(crate) mod commands;
pub(crate) mod logs;
pub(crate) mod redis;
pub(crate) mod restart;
pub(crate) mod status;
pub(crate) mod verify;

use std::process::Command;

use crate::host::{self, Provisioned, wait_until};
use serde_json::Value;

/// The host by two names, and one that does not answer.
const GROUP: &str = "group.yaml";

/// A provisioned host, with an inventory of a group beside its own.
fn ready() -> Provisioned {
    let host = Provisioned::ready("trixie");
    write_group(&host);
    host
}

fn write_group(host: &Provisioned) {
    let inventory = std::fs::read_to_string(host.folder().join("inventory.yaml")).unwrap();
    let (head, vm) = inventory.split_once("    vm:\n").expect("the host");
    let twins = format!("{head}    web1:\n{vm}    web2:\n{vm}");
    std::fs::write(host.folder().join("twins.yaml"), &twins).unwrap();
    let gone = format!("{twins}    gone:\n      ansible_host: 127.0.0.1\n      ansible_port: 1\n");
    std::fs::write(host.folder().join(GROUP), gone).unwrap();
}

/// A verb as a person has it, without `--json`.
fn plain(host: &Provisioned, verb: &str, args: &[&str]) -> Command {
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
    host: &Provisioned,
    (broken, mended): (&str, &str),
    work: impl FnOnce() -> T,
) -> T {
    host.sh(broken);
    let done = work();
    host.sh(mended);
    done
}
