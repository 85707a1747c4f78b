//! Login shells and sudo, as they are on hosts that people have used for years.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::host::{Provisioned, failure};

crate::tests! {
    Lab: [
        sudo_alone_gets_the_password_and_gets_it_once,
        the_inventory_says_what_sudo_is_and_where_its_password_is,
        sudo_rs_is_understood,
        noise_of_the_login_shell_is_skipped,
        words_pass_through_tcsh_untouched,
        a_forced_command_names_the_user_to_log_in_as,
    ],
}

const PASSWORD: &str = "right-horse";

/// Runs hwctl on a terminal of its own, types a password, and returns the exit code and what the
/// terminal showed.
fn typed(vm: &Provisioned, password: &str, arguments: &[&str]) -> (i32, String) {
    let mut words = vec![env!("CARGO_BIN_EXE_hwctl"), arguments[0], "--ask-become-pass"];
    let known_hosts = vm.host.known_hosts().to_str().unwrap();
    words.extend(["--known-hosts", known_hosts]);
    words.extend(&arguments[1..]);
    let line = shlex::try_join(words).unwrap();
    let mut script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(vm.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = script.stdin.take().unwrap();
    // What is typed before the prompt is shown would be echoed and then thrown away.
    std::thread::sleep(std::time::Duration::from_millis(700));
    writeln!(keyboard, "{password}").unwrap();
    let output = script.wait_with_output().unwrap();
    drop(keyboard);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), shown)
}

/// A host whose user has a password, which sudo wants.
fn with_password() -> Provisioned {
    let vm = Provisioned::fresh("trixie");
    vm.sh(&format!("echo ubuntu:{PASSWORD} | chpasswd"));
    vm
}

fn sudo_alone_gets_the_password_and_gets_it_once() {
    let vm = with_password();

    // Here sudo asks nothing, so nobody may get the password.
    let (code, shown) = typed(&vm, PASSWORD, &["exec", "--sudo", "--", "cat"]);
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    let (code, shown) = typed(&vm, PASSWORD, &["facts"]);
    assert_eq!(code, 0, "{shown}");

    vm.sh("sed -i 's/NOPASSWD://' /etc/sudoers.d/*; rm -r /usr/local/lib/hwctl");
    let (code, shown) = typed(&vm, PASSWORD, &["facts"]);
    assert_eq!(code, 0, "the binary is not put on the host: {shown}");
    let script = "cat; id -un; echo $0 $1 >&2";
    let (code, shown) =
        typed(&vm, PASSWORD, &["exec", "--sudo", "--", "sh", "-c", script, "a b", "!"]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("root\r\n") && shown.contains("a b !\r\n"), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("hwctl-sudo"), "{shown}");

    for verb in [&["facts"][..], &["exec", "--sudo", "--", "true"]] {
        let failures = "journalctl --no-pager | grep -c 'sudo.*authentication failure' || true";
        let before: u32 = vm.sh(failures).parse().unwrap();

        let (code, shown) = typed(&vm, "wrong-horse", verb);

        assert_eq!(code, 1, "{shown}");
        assert!(shown.contains("does not accept the password"), "{shown}");
        let after: u32 = vm.sh(failures).parse().unwrap();
        assert_eq!(after - before, 1, "{verb:?}: so often the password was tried");
    }
}

/// What finds the password leaves a mark, which shows when it was needed.
fn the_inventory_says_what_sudo_is_and_where_its_password_is() {
    let vm = with_password();
    let (inventory, mark) = (vm.folder().join("inventory.yaml"), vm.folder().join("asked"));
    let text = std::fs::read_to_string(&inventory).unwrap();
    let with = |lines: &str, verb: &[&str]| {
        let lines: String = lines.lines().map(|line| format!("      {line}\n")).collect();
        std::fs::write(&inventory, text.clone() + &lines).unwrap();
        vm.hwctl(verb[0], &verb[1..])
    };
    let find = format!(
        "ansible_become_password: {{ command: [sh, -c, 'echo x >> {}; echo {PASSWORD}'] }}\n\
         ansible_become_exe: /usr/local/bin/my-sudo\nansible_become_flags: -H -S -n",
        mark.display()
    );
    vm.sh("printf '#!/bin/sh\\necho \"$@\" >> /tmp/my-sudo\\nexec sudo \"$@\"\\n' > /usr/local/bin/my-sudo; \
         chmod +x /usr/local/bin/my-sudo");

    let (code, events) = with(&find, &["facts"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!mark.exists(), "the password is looked up though sudo asks for none");
    assert!(vm.sh("cat /tmp/my-sudo").starts_with("-H -S -p "), "another sudo ran");

    vm.sh("sed -i 's/NOPASSWD://' /etc/sudoers.d/*; rm -r /usr/local/lib/hwctl");
    let (code, events) = with(&find, &["facts"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "x\n", "it is looked up once for a host");
    let (code, events) = with(&find, &["exec", "--sudo", "--", "id", "-un"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!format!("{events:?}").contains(PASSWORD), "{events:#?}");

    let (code, events) = with("ansible_become_pass: wrong-horse", &["facts"]);
    assert!(code == 1 && failure(&events).contains("does not accept the password"), "{events:#?}");
    let unset = "ansible_become_pass: { env: HWCTL_IS_NOT_SET }";
    let (code, events) = with(unset, &["facts"]);
    let told = failure(&events);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("HWCTL_IS_NOT_SET") && told.contains("inventory.yaml:"), "{told}");
    let (code, events) = with(unset, &["exec", "--", "true"]);
    assert_eq!(code, 0, "what needs no sudo needs no password: {events:#?}");
}

/// Ubuntu's sudo from 25.10 on.
fn sudo_rs_is_understood() {
    let vm = with_password();
    vm.sh(
        "apt-get -qq install -y sudo-rs >/dev/null 2>&1; sed -i 's/NOPASSWD://' /etc/sudoers.d/*",
    );
    vm.sh("f=$(dpkg -L sudo-rs | grep -E '/s?bin/sudo(-rs)?$' | head -n1); test -u $f; \
         mv /usr/bin/sudo /usr/bin/sudo.classic; ln -s $f /usr/bin/sudo");

    let (code, events) = vm.hwctl("facts", &[]);
    let told = failure(&events);
    assert!(code == 1 && told.contains("--ask-become-pass"), "{told}");

    let (code, shown) = typed(&vm, PASSWORD, &["facts"]);
    assert_eq!(code, 0, "{shown}");
    let (code, shown) = typed(&vm, PASSWORD, &["exec", "--sudo", "--", "cat"]);
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    let (code, shown) = typed(&vm, "wrong-horse", &["facts"]);
    assert!(code == 1 && shown.contains("does not accept the password"), "{shown}");
}

/// A title for the terminal has no line break, and the greeting follows on the same line.
fn noise_of_the_login_shell_is_skipped() {
    let vm = Provisioned::fresh("trixie");
    // Debian's own file goes on only for shells that a person types into.
    let before_all = |line: &str| vm.sh(&format!("cat > ~ubuntu/.bashrc <<'END'\n{line}\nEND"));
    for noise in [
        "printf \"\\033]0;title\\007\"",
        "echo a line; printf 'and a part'",
        "echo to stderr >&2; printf part >&2",
        "seq 500",
    ] {
        before_all(noise);
        let (code, events) = vm.hwctl("facts", &[]);
        assert_eq!(code, 0, "{noise}: {events:#?}");
    }
    before_all("echo Out of order; exit 3");
    let (code, events) = vm.hwctl("facts", &[]);
    let told = failure(&events);
    assert!(code == 1 && told.contains("Out of order"), "{told}");
}

fn words_pass_through_tcsh_untouched() {
    let vm = Provisioned::fresh("trixie");
    vm.sh("apt-get -qq install -y tcsh >/dev/null 2>&1; chsh -s /usr/bin/tcsh ubuntu");

    let output = vm
        .command("exec", &["--", "printf", "%s|", "x!y", "!!", "a  b", "$HOME", "it's", "\\", "*"])
        .output()
        .unwrap();
    let (code, events) = Provisioned::read(&output);

    assert_eq!(code, 0, "{events:#?}");
    let line = events.iter().find(|event| event["event"] == "output").unwrap();
    assert_eq!(line["text"], "x!y|!!|a  b|$HOME|it's|\\|*|");
    assert_eq!(vm.hwctl("facts", &[]).0, 0);
}

/// What images of clouds do with a login as root.
fn a_forced_command_names_the_user_to_log_in_as() {
    let vm = Provisioned::fresh("trixie");
    let key = std::fs::read_to_string(vm.host.identity().with_extension("pub")).unwrap();
    let command = "echo 'Please login as the user \\\"ubuntu\\\" rather than the user \\\"root\\\".';echo;sleep 1;exit 142";
    let line = format!("command=\"{command}\" {key}");
    vm.sh(&format!(
        "mkdir -p -m 700 /root/.ssh; cat > /root/.ssh/authorized_keys <<'END'\n{line}END\n\
         echo 'PermitRootLogin prohibit-password' > /etc/ssh/sshd_config.d/00-root.conf; \
         systemctl reload ssh"
    ));

    let (code, events) = vm.hwctl("facts", &["--user", "root"]);
    let told = failure(&events);

    assert_eq!(code, 1, "{told}");
    assert!(told.contains("Please login as the user") && told.contains("--user ubuntu"), "{told}");
}
