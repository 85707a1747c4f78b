//! Passwords are found where the inventory says, and are in no message.

use super::messages::all_wrong;
use super::{open, read};

crate::tests! {
    Nothing: [passwords_never_show, passwords_are_found_where_they_are_said_to_be, a_command_runs_once_for_all_hosts_and_not_for_others],
}

fn passwords_never_show() {
    shows!(all_wrong(&[
        "sites: { site1: { users: { 'hunter:2': hunter2, admin: hunter2 } } }",
        "sites: { site1: { users: { admin: 12345 } } }",
        "sites: { site1: { users: { admin: } } }",
        "sites: { site1: { users: { admin: \"hunter2\\n\" } } }",
        "sites: { site1: { users: { admin: '' } } }",
        "sites: { site1: { users: [admin, hunter2] } }",
        "sites: { site1: { users: { admin: { evn: hunter2 } } } }",
        "sites: { site1: { users: { admin: { env: HWCTL_IS_NOT_SET } } } }",
        "sites: { site1: { users: { admin: { file: nothing/there } } } }",
        "sites: { site1: { users: { admin: { command: [sh, -c, 'echo hunter2; echo no >&2; exit 3'] } } } }",
        "sites: { site1: { users: { admin: { command: 'not-a-program x' } } } }",
        "sites: { site1: { users: { admin: { command: \"sh 'x\" } } } }",
        "sites: { site1: { users: { admin: '{{ vault_password }}' } } }",
        "sites: { site1: { users: *u, hunter: 1 } }",
        "api: { users: { admin:hunter2 } }",
        "api: { users: { admin=hunter2 } }",
        "api: { users: { admin hunter2 } }",
        "api: { usres: { admin: hunter2 } }",
        "api: { people: { admin: hunter2 } }",
        "apo: { users: { admin: hunter2 } }",
        "ansible_sudo: hunter2",
        "sites: { site1: { users: { a: hunter2, a: hunter2, b: hunter2 } } }",
        "sites: { site1: { users: { a: hunter2, [b]: hunter2, c: hunter2 } } }",
        "x_password: hunter2\nsites: { site1: { users: { admin: hunter2 }, roots: 1 } }",
    ]));
}

fn passwords_are_found_where_they_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/one"), "from a file\n").unwrap();
    let text = "
all:
  hosts: { vm1: }
  vars:
    sites: { site2: { users: {} } }
    api:
      users:
        literal: 'it is: \"so\" $HOME'
        env: { env: CARGO_PKG_NAME }
        file: { file: secrets/one }
        list: { command: [printf, '%s', '$HOME; x'] }
        line: { command: \"printf '%s\\n' 'a b' \" }
        here: { command: cat secrets/one }
";
    std::fs::write(&path, text).unwrap();
    let (vars, warnings) = read(&path, &[]).unwrap();
    let found = vars.api.users.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            ("env", "hwctl"),
            ("file", "from a file"),
            ("here", "from a file"),
            ("line", "a b"),
            ("list", "$HOME; x"),
            ("literal", "it is: \"so\" $HOME"),
        ]
    );
    assert_eq!(warnings, []);
}

/// Twice asked for, once run: a command may have a person type something.
fn a_command_runs_once_for_all_hosts_and_not_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    let text = "
all:
  hosts: { 'vm[1:3]': }
  vars:
    sites: { site2: { users: {} } }
    api: { users: { admin: { command: [sh, -c, 'echo x >> runs; echo s3cret'] } } }
";
    std::fs::write(&path, text).unwrap();
    let inventory = open(&path, &[]).unwrap();
    let hosts = inventory.select(&[], None).unwrap();
    let runs = || std::fs::read_to_string(folder.path().join("runs")).unwrap_or_default();
    assert_eq!(runs(), "");
    for host in hosts {
        inventory.vars(&host).unwrap();
    }
    assert_eq!(runs(), "x\n");
}
