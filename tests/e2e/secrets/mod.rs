//! No secret shows: planted ones are looked for wherever others can look, and the looking itself
//! is tested by leaking them.

mod traces;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::host::{self, Provisioned};
use traces::Traces;

crate::tests! {
    Lab: [no_secret_shows_and_a_leak_would_be_found],
}

/// Of the user `ubuntu`, whose sudo asks for it.
const SUDO: &str = "planted-sudo-password";
const ENV: &str = "HWCTL_TEST_PASSWORD";

fn no_secret_shows_and_a_leak_would_be_found() {
    let host = Provisioned::fresh("trixie");
    want_sudo_password(&host);
    let temporary = host.folder().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut traces = Traces::begin(&host, &temporary);
    traces.plant("the password of sudo", SUDO, false);

    let first = Passwords::new(&mut traces, "first");
    first.write(&host, &host::lab().redis_archive().unwrap());
    let runs: [(&str, &[&str], i32); 4] = [
        ("plan", &["plan"], 3),
        ("plan --json", &["plan", "--json"], 3),
        ("provision --diff", &["provision", "--diff"], 0),
        ("a run without changes", &["provision"], 0),
    ];
    for (name, args, code) in runs {
        run(&mut traces, &host, &first, name, args, code);
    }
    plant_what_the_host_made(&mut traces, &host);
    use_them(&host, &first);

    // Each of them changed by hand, then by the inventory.
    for file in ["/etc/hwctl/api/env", "/etc/nginx/.htpasswd", "/etc/hwctl/redis/redis.conf"] {
        host.sh(&format!("sed -i 's/^/ /' {file}"));
    }
    let second = Passwords::new(&mut traces, "second");
    second.write(&host, &host::lab().redis_archive().unwrap());
    let runs: [(&str, &[&str], i32); 3] = [
        ("plan of changes", &["plan"], 3),
        ("plan of changes --json", &["plan", "--json"], 3),
        ("provision --json", &["provision", "--json"], 0),
    ];
    for (name, args, code) in runs {
        run(&mut traces, &host, &second, name, args, code);
    }
    plant_what_the_host_made(&mut traces, &host);
    use_them(&host, &second);
    only_root_reads_the_environment_of_the_api(&host);

    // Secrets are made anew and come back.
    run(&mut traces, &host, &second, "secret rotate", &["secret", "rotate"], 0);
    plant_what_the_host_made(&mut traces, &host);
    let runs: [(&str, &[&str], i32); 4] = [
        ("rollback --check", &["rollback", "--check"], 3),
        ("rollback --json", &["rollback", "--yes", "--json"], 0),
        ("history", &["history"], 0),
        ("history --json", &["history", "--json"], 0),
    ];
    for (name, args, code) in runs {
        run(&mut traces, &host, &second, name, args, code);
    }

    // A run that fails and is undone tells the last words of what failed.
    let third = Passwords::new(&mut traces, "third");
    third.write(&host, &host::lab().redis_archive().unwrap());
    break_the_service(&host);
    run(&mut traces, &host, &third, "a failing run", &["provision", "--diff"], 4);
    run(&mut traces, &host, &third, "a failing run --json", &["provision", "--json"], 4);

    assert_eq!(traces.leaks(), std::collections::BTreeSet::new());
    drop(traces);
    leaks_are_found(&host, &temporary);
}

/// Passwords of the inventory, in each way that it takes them.
struct Passwords {
    literal: String,
    env: String,
    file: String,
    command: String,
}

impl Passwords {
    fn new(traces: &mut Traces<'_>, round: &str) -> Self {
        let mut plant = |how: &str| {
            let text = format!("planted-{round}-{how}");
            traces.plant(&format!("the {round} password by {how}"), text.clone(), false);
            text
        };
        Self {
            literal: plant("literal"),
            env: plant("env"),
            file: plant("file"),
            command: plant("command"),
        }
    }

    fn write(&self, host: &Provisioned, archive: &Path) {
        let at = |name: &str| host.folder().join(name);
        fs::write(at("secret"), &self.file).unwrap();
        fs::write(at("printed"), &self.command).unwrap();
        let inventory = format!(
            "all:\n  vars:\n    redis: {{ image_archive: {} }}\n    api:\n      users:\n        \
             admin: {}\n        other: {{ env: {ENV} }}\n    sites:\n      site2:\n        \
             allow: []\n        users:\n          admin: {{ file: secret }}\n          \
             other: {{ command: [cat, printed] }}\n  hosts:\n    vm:\n      ansible_host: {}\n      \
             ansible_user: {}\n      ansible_ssh_private_key_file: {}\n",
            archive.display(),
            self.literal,
            host.host.address,
            host.host.ssh_user(),
            host.host.identity().display(),
        );
        fs::write(at("inventory.yaml"), inventory).unwrap();
    }
}

fn want_sudo_password(host: &Provisioned) {
    let input = host.host.root().join("root/password");
    fs::write(&input, format!("ubuntu:{SUDO}\n")).unwrap();
    host.sh("chpasswd </root/password && rm /root/password");
    host.sh("sed -i s/NOPASSWD:// /etc/sudoers.d/*");
}

/// Runs hwctl on a terminal, as a person does who gives the password of sudo.
fn run(
    traces: &mut Traces<'_>,
    host: &Provisioned,
    passwords: &Passwords,
    name: &str,
    args: &[&str],
    expected: i32,
) {
    let known = host.host.known_hosts().display().to_string();
    let hwctl = env!("CARGO_BIN_EXE_hwctl");
    let command = format!("{hwctl} {} --ask-become-pass --known-hosts {known}", args.join(" "));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"])
        .current_dir(host.folder())
        .env("TMPDIR", host.folder().join("tmp"))
        .env(ENV, &passwords.env)
        // Nobody is there to leave a pager.
        .env("HWCTL_PAGER", "cat")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut printed = Vec::new();
    // Before it asks, the terminal would show what is typed.
    while !printed.ends_with(b"sudo password: ") {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&printed));
        printed.push(byte[0]);
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    writeln!(stdin, "{SUDO}").unwrap();
    stdout.read_to_end(&mut printed).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(expected), "{name}: {}", String::from_utf8_lossy(&printed));
    traces.printed(name, printed);
}

/// The secrets that never leave the host, and the hashes of the others.
fn plant_what_the_host_made(traces: &mut Traces<'_>, host: &Provisioned) {
    let secrets =
        host.sh("cd /var/lib/hwctl/secrets && for s in *; do echo \"$s $(cat \"$s\")\"; done");
    assert!(secrets.contains("jwt-key ") && secrets.contains("redis-password "));
    for (name, text) in secrets.lines().filter_map(|line| line.split_once(' ')) {
        traces.plant(&format!("the host's {name}"), text, true);
    }
    let key = host.sh("sed -n 2p /etc/nginx/ssl/homework.key");
    traces.plant("the TLS key", key, true);
    let hashes = host.sh("grep -oE '[$][^: ]{20,}' /home/ubuntu/Flask-app/.env");
    for hash in hashes.lines() {
        traces.plant("a hash of a password", hash.trim_matches('\''), true);
    }
}

/// Clients log in, so that what serves has seen the passwords.
fn use_them(host: &Provisioned, passwords: &Passwords) {
    let url = host.url("/flask/auth/login");
    for (user, password) in [("admin", &passwords.literal), ("other", &passwords.env)] {
        let body = format!(r#"{{"username":"{user}","password":"{password}"}}"#);
        let answer = client(&["-H", "Content-Type: application/json", "--data", "@-", &url], &body);
        assert!(answer.contains("token"), "{answer}");
    }
    let credentials = format!("user = \"admin:{}\"\n", passwords.file);
    let site = host.url("/close/");
    let told =
        client(&["--config", "-", "-o", "/dev/null", "-w", "%{http_code}", &site], &credentials);
    assert_eq!(told, "200");
}

/// curl, with what is secret on its standard input.
/// systemd hands the API its settings in its environment, which the kernel shows to its own user and to root.
fn only_root_reads_the_environment_of_the_api(host: &Provisioned) {
    let read = "cat /proc/$(systemctl show -P MainPID flask-app)/environ";
    assert!(host.sh(&format!("{read} | tr '\\0' '\\n'")).contains("SECRET_KEY="));
    for user in ["nobody", "www-data", "ubuntu"] {
        let answer = host.sh(&format!("runuser -u {user} -- sh -c '{read}' 2>&1 || true"));
        assert!(answer.contains("Permission denied"), "{user}: {answer}");
    }
}

fn client(args: &[&str], input: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sk", "-m", "10"]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = curl.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

/// The operator's own template of a service that does not start.
fn break_the_service(host: &Provisioned) {
    let name = "templates/systemd/flask-app.service";
    let template = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let broken = template.replace("ExecStart={{ binary | systemd }}", "ExecStart=/bin/false");
    assert_ne!(broken, template);
    fs::create_dir_all(host.folder().join("templates/systemd")).unwrap();
    fs::write(host.folder().join(name), broken).unwrap();
}

/// A secret in each kind of place, and each is told.
fn leaks_are_found(host: &Provisioned, temporary: &Path) {
    let mut traces = Traces::begin(host, temporary);
    let mut expected = Vec::new();
    let mut number = 0;
    let mut leak = |traces: &mut Traces<'_>, place: &str| {
        number += 1;
        let (name, text) = (format!("leak {number:02}"), format!("leaking-secret-{number:02}"));
        traces.plant(&name, text.clone(), true);
        expected.push(format!("{name} is {place}"));
        text
    };
    let text = leak(&mut traces, "printed by hwctl");
    traces.printed("hwctl", text.into_bytes());
    let text = leak(&mut traces, "in the journal");
    host.host.ssh(&format!("logger {text}")).unwrap();
    let text = leak(&mut traces, "in /var/log");
    host.sh(&format!("umask 077; echo {text} >/var/log/leak.log"));
    let text = leak(&mut traces, "in a process that nobody sees");
    host.sh(&format!("sh -c 'sleep 0.5; :' {text}"));
    let text = leak(&mut traces, "in a process that ubuntu sees");
    fs::write(host.host.root().join("srv/env"), text).unwrap();
    host.host.ssh("export LEAK=$(cat /srv/env); exec sleep 0.5").unwrap();
    let text = leak(&mut traces, "shown to nobody");
    host.sh(&format!(
        "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nEnvironment=A={text}\\nExecStart=/bin/true\\n' >/run/systemd/system/leak.service; \
         systemctl daemon-reload; systemctl start leak"
    ));
    let text = leak(&mut traces, "told by docker");
    host.sh(&format!("docker create --label leak={text} redis:7-alpine >/dev/null"));
    let text = leak(&mut traces, "in /srv/leak, which nobody reads");
    host.sh(&format!("echo {text} >/srv/leak"));
    let text = leak(&mut traces, "in /home/ubuntu/leak, which ubuntu reads");
    host.sh(&format!("umask 077; echo {text} >/home/ubuntu/leak; chown ubuntu: /home/ubuntu/leak"));
    let text = leak(&mut traces, "on a command line of the operator's machine");
    Command::new("sh").args(["-c", "sleep 0.2; :", &text]).status().unwrap();
    let text = leak(&mut traces, "in a temporary file of the operator");
    fs::write(temporary.join("leak"), text).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    fs::remove_file(temporary.join("leak")).unwrap();
    // Of the inventory: not even root's own files have it.
    traces.plant("leak of the inventory", "leaking-from-inventory", false);
    fs::write(host.host.root().join("var/lib/hwctl/runs/leak"), "leaking-from-inventory").unwrap();
    host.sh("chmod 600 /var/lib/hwctl/runs/leak");
    expected
        .push("leak of the inventory is in /var/lib/hwctl/runs/leak, which root reads".to_owned());

    let found = traces.leaks();
    for expected in expected {
        assert!(found.contains(&expected), "not found: {expected}: {found:#?}");
    }
}
