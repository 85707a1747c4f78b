//! The law of the kinds that need a whole host: after a run a plan is empty, after a rollback the host is as it was
//! before, with hostile names and with things of others in their places.

use std::fs;

use crate::host::{Provisioned, changes, lab, outcome};

crate::tests! {
    Lab: [
        own_things_with_hostile_names_hold_the_law,
        own_things_over_those_of_others_hold_the_law,
    ],
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB a \"b\" $c";

/// Accounts, networks, jobs, units and files with names and values that a shell, systemd or a template would read
/// otherwise.
const HOSTILE: &str = r#"
    folders:
      /srv/-rf@-+_.: { mode: "1777" }
    files:
      /srv/-rf@-+_./--help: { content: "{{ '{{ y }}' }} %h $(id) 'q'\n\ttab\r\n", mode: "0600" }
      "/srv/empty": { content: "" }
    links:
      /srv/-link@: /srv/nowhere-.@+
    units:
      a-b_c.d:
        content: |
          [Service]
          Environment="A=it's 100%% \"$HOME\""
          ExecStart=/bin/sh -c 'echo "$$A"; exec sleep infinity'
          [Install]
          WantedBy=multi-user.target
    timers:
      j-0: { run: [touch, "/srv/-x %h $HOME 'q' \"d\" \\ ;*"], on: "Mon..Fri *-*-* 03:30:00", user: www-data }
    sysctl:
      net.ipv4.conf.lo.rp_filter: 2
    users:
      x-0_9: { keys: ['KEY'], groups: [adm, games], sudo: no-password, shell: /usr/sbin/nologin }
      abcdefghijklmnopqrstuvwxyz01234: { sudo: password }
    containers:
      c-0:
        image: redis:7-alpine
        image_archive: ARCHIVE
        command: [busybox, sleep, "1000000"]
        env: { A: "it's \"100%\" $HOME `id` \\ {{ '{{ x }}' }}" }
        volumes: ["v-0.x_y:/data"]
        networks: [n-0.x_y]
"#;

/// The same kinds, where the host has something by each of their names.
const OVER_OTHERS: &str = r#"
    folders:
      /srv/taken: { mode: "0755" }
    files:
      /srv/taken/file: { content: "ours\n" }
      /srv/taken/link: { content: "ours\n" }
    links:
      /srv/taken/target: /srv/taken/file
    timers:
      job: { run: [touch, /srv/taken/ran], on: daily }
    sysctl:
      net.ipv4.tcp_keepalive_time: 601
    users:
      bob: { keys: ['KEY'], groups: [adm], sudo: no-password, shell: /bin/bash }
      eve: { groups: [adm] }
      mallory: {}
    containers:
      c-0:
        image: redis:7-alpine
        image_archive: ARCHIVE
        command: [busybox, sleep, "1000000"]
        volumes: ["theirs:/data"]
        networks: [theirs]
"#;

/// What others have left by the names of [`OVER_OTHERS`].
const OTHERS: &str = "
    set -e
    mkdir -m 2711 /srv/taken && chown games:staff /srv/taken
    printf theirs >/srv/taken/file && chown games: /srv/taken/file && chmod 604 /srv/taken/file
    ln -s /etc/hostname /srv/taken/link
    ln -s /nowhere /srv/taken/target
    groupadd --gid 4242 bob
    useradd --create-home --gid bob --groups games --shell /bin/sh --comment 'Bob, of before' bob
    mkdir -m 700 ~bob/.ssh && echo '# keys of before' >~bob/.ssh/authorized_keys && chown -R bob: ~bob/.ssh
    echo 'bob:secret of before' | chpasswd
    useradd --create-home --expiredate 1 eve
    groupadd --gid 4243 mallory
    mkdir /home/mallory && echo theirs >/home/mallory/file
    sysctl -qw net.ipv4.tcp_keepalive_time=1234
    echo net.ipv4.tcp_keepalive_time=1234 >/etc/sysctl.d/99-theirs.conf
    docker network create theirs >/dev/null
    docker volume create theirs >/dev/null
";

/// All that the kinds may touch, a line each.
const STATE: &str = r#"
    find /srv /home /etc/systemd/system /etc/sysctl.d /etc/sudoers.d /etc/cron.d -printf '%p %M %U:%G %l ' -exec sh -c 'test -f "$0" && test ! -L "$0" && sha256sum <"$0" || echo' {} \; | sort
    cat /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/subuid /etc/subgid | sort
    sysctl net.ipv4.conf.lo.rp_filter net.ipv4.tcp_keepalive_time
    docker network ls --format '{{.Name}}' | sort
    docker volume ls --format '{{.Name}}' | sort
    docker ps --all --format '{{.Names}} {{.State}}' | sort
    systemctl list-units --all --plain --no-legend 'a-b_c*' 'j-0*' 'job*' | sort
    ls /var/lib/hwctl/stamps | sort
"#;

fn own_things_with_hostile_names_hold_the_law() {
    let host = Provisioned::ready("trixie");

    law(&host, HOSTILE);
}

fn own_things_over_those_of_others_hold_the_law() {
    let host = Provisioned::ready("trixie");
    host.sh(OTHERS);

    law(&host, OVER_OTHERS);

    assert_eq!(host.sh("cat /home/mallory/file"), "theirs");
}

fn with_own(host: &Provisioned, verb: &str, args: &[&str]) -> (i32, Vec<serde_json::Value>) {
    host.hwctl(verb, &[&["-i", "inventory.yaml", "-i", "own.yaml"], args].concat())
}

/// A run that fails leaves nothing. One that succeeds is done, goes back, and comes back.
fn law(host: &Provisioned, own: &str) {
    let archive = lab().redis_archive().unwrap().display().to_string();
    let own = format!("all:\n  vars:{}", own.replace("KEY", KEY).replace("ARCHIVE", &archive));
    fs::write(host.folder().join("own.yaml"), &own).unwrap();
    let before = host.sh(STATE);

    // Of the units the last one is started last, and a container later still.
    let fails = r#"{zz: {content: "[Service]\nExecStart=/bin/false\nType=oneshot\n[Install]\nWantedBy=multi-user.target"}}"#;
    let (code, events) = with_own(host, "provision", &["--set", &format!("units={fails}")]);
    assert_eq!(code, 4, "{events:#?}");
    assert_same(&host.sh(STATE), &before, "a failed run has left something");

    let (code, events) = with_own(host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let made = host.sh(STATE);
    let (code, events) = with_own(host, "provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    let now = host.sh(STATE);
    let accounts = new_accounts(&now, &before);
    let without = |state: &str| without_what_stays(state, &accounts);
    assert_same(&without(&now), &without(&before), "it is not as before");
    for account in accounts {
        assert!(host.sh(&format!("getent shadow {account}")).contains(":1:"), "{account} is open");
    }
    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");

    let (code, events) = with_own(host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_same(&host.sh(STATE), &made, "it does not come back");
}

/// The accounts that were not there before: they are locked and stay, with their homes.
fn new_accounts(now: &str, before: &str) -> Vec<String> {
    let names = |state: &str| -> Vec<String> {
        let homes = state.lines().filter(|line| line.contains(":x:") && line.contains(":/home/"));
        homes.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    };
    let known = names(before);
    names(now).into_iter().filter(|name| !known.contains(name)).collect()
}

/// A state without accounts, and without the volume of the test, whose data stays until somebody purges it.
fn without_what_stays(state: &str, accounts: &[String]) -> String {
    let is_theirs = |line: &&str| {
        *line == "v-0.x_y"
            || accounts.iter().any(|name| {
                line.starts_with(&format!("{name}:")) || line.starts_with(&format!("/home/{name}"))
            })
    };
    state.lines().filter(|line| !is_theirs(line)).collect::<Vec<_>>().join("\n")
}

/// Compares two states by their lines, so that a failure shows what differs alone.
fn assert_same(now: &str, before: &str, what: &str) {
    let missing: Vec<_> = before.lines().filter(|line| !now.lines().any(|l| l == *line)).collect();
    let added: Vec<_> = now.lines().filter(|line| !before.lines().any(|l| l == *line)).collect();
    assert!(missing.is_empty() && added.is_empty(), "{what}\n- {missing:#?}\n+ {added:#?}");
}
