//! Passwords are found where the inventory says, and are in no message.

use std::os::unix::fs::PermissionsExt as _;

use super::messages::all_wrong;
use super::{open, read, told, vars_of};
use hwctl::part::Api;

crate::tests! {
    Nothing: [values_of_others_never_show, passwords_never_show, passwords_are_found_where_they_are_said_to_be, a_command_runs_once_for_all_hosts_and_not_for_others, a_source_without_end_is_refused, a_program_that_leaves_a_process_behind_is_heard],
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
        "sites: { site1: { users: { admin: { command: [sh, -c, 'echo hunter2; echo hunter2 >&2; exit 3'] } } } }",
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

/// Other programs read the same files, and any of their values may be a secret.
fn values_of_others_never_show() {
    let inventories = [
        "h1 ansible_password=hunter2\n",
        "h1 ansible_password=hunter2\nh2 ansible_password=hunter2\n",
        "[web]\nh1 ansible_password=hunter2\n",
        "h1: ansible_password=hunter2\n",
        "[h1, hunter2]\n",
        "- h1 ansible_password=hunter2\n",
        "web: { hosts: { h1: hunter2 } }\n",
        "web: { vars: hunter2 }\n",
        "web: { vars: { stripe_key: hunter2, redis: { prot: 1 } } }\n",
        "web: { vars: { admin_token: hunter2, admin_token: hunter2 } }\n",
        "web: { vars: { x_smtp: { login: hunter2, root: hunter2 }, radis: {} } }\n",
        "web: { vars: { x: [hunter2], redis: { port: a } } }\n",
        "web: { vars: { api: { stripe: hunter2, workers: a } } }\n",
        "web: { vars: { x_a: &a hunter2, x_b: *a, redis: 7 } }\n",
        "web: { vars: { ansible_become_exe: hunter2, ansible_port: x } }\n",
        "web: { vars: { ansible_ssh_private_key: hunter2, ansible_port: x } }\n",
        "web: { vars: { ? [hunter2] : 1, redis: { port: a } } }\n",
    ];
    for text in inventories {
        let failure = super::vars_with(text.as_bytes(), &[]).unwrap_err();
        assert!(!told(&failure).contains("hunter2"), "{text}{}", told(&failure));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::write(&path, "web: { hosts: { h1: } }").unwrap();
    for text in
        ["DB_PASSWORD=hunter2\n", "A: hunter2\n", "# env\nexport A=hunter2\n", "- hunter2\n"]
    {
        std::fs::create_dir_all(folder.path().join("group_vars/web")).unwrap();
        std::fs::write(folder.path().join("group_vars/web/env"), text).unwrap();

        let failure = read(&path, &[]).unwrap_err();

        assert!(!told(&failure).contains("hunter2"), "{text}{}", told(&failure));
    }
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
    let found = vars.get::<Api>().users.reveal().unwrap();
    let found = found.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
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
    let weak: Vec<_> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        weak,
        [
            "`api.users.env` has a password of 5 characters: use at least 8",
            "`api.users.line` has a password of 3 characters: use at least 8",
        ]
    );
}

/// What never ends is read up to a bound.
fn a_source_without_end_is_refused() {
    for source in ["file: /dev/zero", "command: \"yes\"", "command: [sh, -c, 'yes >&2']"] {
        let users = format!("api.users={{ admin: {{ {source} }} }}");

        let failure = super::vars_with(b"all: { hosts: { vm1: } }", &[&users]).unwrap_err();

        let told = told(&failure);
        assert!(
            told.contains("longer than a password") || told.contains("more than a password"),
            "{told}"
        );
    }
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
        vars_of(&inventory, &host).unwrap();
    }
    assert_eq!(runs(), "x\n");
}

/// The process that stays keeps the pipe open.
fn a_program_that_leaves_a_process_behind_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hosts");
    std::fs::write(&program, "#!/bin/sh\nsleep 60 &\necho '{\"web\": [\"h1\"]}'\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let sets = [
        "sites.site2.users={}",
        "api.users={ admin: { command: [sh, -c, 'echo long-enough; sleep 60 &'] } }",
    ];
    let began = std::time::Instant::now();

    let (vars, _) = read(&program, &sets).unwrap();

    let found = vars.get::<Api>().users.reveal().unwrap();
    assert_eq!(found["admin"].expose(), "long-enough");
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
}
