//! How hosts are reached: what ssh is given, and what is refused before it is asked.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::host::{MARK, Provisioned, failure, refused};

crate::tests! {
    Nothing: [
        a_way_that_hwctl_has_not_is_refused_by_every_verb,
        files_that_others_may_write_are_refused_and_run_nothing,
    ],
    Lab: [
        paths_with_spaces_and_percent_signs_reach_ssh_whole,
        arguments_of_ssh_in_the_inventory_are_obeyed,
        a_quiet_ssh_config_hides_no_cause,
        looking_needs_no_password_and_no_archive,
        an_alias_of_ssh_config_is_a_host_like_any_other,
        pages_are_looked_at_the_way_that_ssh_goes,
        a_run_is_kept_though_web_ports_do_not_let_the_operator_in,
        a_host_behind_a_jump_host_is_provisioned_and_looked_at_through_it,
    ],
}

/// Verbs that take hosts, with what they need besides.
const VERBS: [&[&str]; 16] = [
    &["provision"],
    &["plan"],
    &["status"],
    &["verify"],
    &["logs"],
    &["ssh", "--host", "vm"],
    &["exec", "--", "true"],
    &["facts"],
    &["history"],
    &["destroy", "--yes"],
    &["restart", "api"],
    &["doctor"],
    &["cert", "show"],
    &["render"],
    &["backup", "copy.tar"],
    &["redis", "--", "PING"],
];

fn a_way_that_hwctl_has_not_is_refused_by_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, named) in [
        ("ansible_connection: winrm", "ansible_connection"),
        ("ansible_connection: community.docker.docker", "ansible_connection"),
        ("ansible_password: x", "ssh-copy-id"),
        ("ansible_become: no", "ansible_become"),
        ("ansible_become_user: bob", "ansible_become_user"),
        ("ansible_become_method: su", "becomes root with sudo"),
        ("ansible_become_flags: -u bob", "passes `-H` and `-E` to sudo"),
        ("ansible_ssh_common_args: -L 1:x:1", "does not pass `-L`"),
        ("ansible_ssh_common_args: 'bastion'", "does not pass `bastion`"),
    ] {
        let text = format!(
            "all: {{ vars: {{ {variable}, api: {{ users: {{ a: long-enough }} }}, \
             sites: {{ site2: {{ users: {{ a: long-enough }} }} }} }}, hosts: {{ vm: {{ ansible_host: 127.0.0.1 }} }} }}"
        );
        fs::write(folder.path().join("inventory.yaml"), text).unwrap();
        for verb in VERBS {
            let said = refused(folder.path(), verb);
            assert!(said.contains(named), "{variable}, {verb:?}: {said}");
        }
    }
}

/// The user's own keys and pins may lie anywhere.
fn paths_with_spaces_and_percent_signs_reach_ssh_whole() {
    let vm = Provisioned::fresh("trixie");
    let keys = vm.folder().join("my 50%h keys");
    fs::create_dir(&keys).unwrap();
    let (pins, identity) = (keys.join("known hosts"), keys.join("my key"));
    fs::copy(vm.host.known_hosts(), &pins).unwrap();
    fs::copy(vm.host.identity(), &identity).unwrap();
    let as_text = |path: &Path| path.to_str().unwrap().to_owned();
    let arguments = ["--known-hosts", &as_text(&pins), "--identity", &as_text(&identity)];

    let (code, events) = vm.hwctl("facts", &arguments);
    assert_eq!(code, 0, "{events:#?}");

    // Another host has this address now: the pin has to be found and to count.
    let foreign = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(keys.join("foreign"))
        .status();
    assert!(foreign.unwrap().success());
    let key = fs::read_to_string(keys.join("foreign.pub")).unwrap();
    fs::write(&pins, format!("{} {key}", vm.host.address)).unwrap();
    let mut with_new_keys = arguments.to_vec();
    with_new_keys.push("--accept-new-host-key");

    let (code, events) = vm.hwctl("facts", &with_new_keys);

    assert_eq!(code, 5, "{events:#?}");
    assert!(failure(&events).contains("its host key has changed"), "{events:#?}");
    assert!(!vm.folder().join("my").exists(), "a key was written to a part of the path");
}

fn arguments_of_ssh_in_the_inventory_are_obeyed() {
    let vm = Provisioned::fresh("trixie");
    let inventory = vm.folder().join("inventory.yaml");
    let text = fs::read_to_string(&inventory).unwrap();
    let with = |arguments: &str| {
        let line = format!("      ansible_ssh_common_args: {arguments}\n");
        fs::write(&inventory, text.clone() + &line).unwrap();
        vm.hwctl("facts", &["--connect-timeout", "3"])
    };

    let (mark, proxy) = (vm.folder().join("proxy-ran"), vm.folder().join("proxy"));
    let script =
        format!("touch {}; exec 3<>/dev/tcp/$1/$2; cat <&3 & exec cat >&3", mark.display());
    fs::write(&proxy, script).unwrap();
    let line = format!("'-o ProxyCommand=\"bash {} %h %p\"'", proxy.display());
    let (code, events) = with(&line);
    assert_eq!(code, 0, "{events:#?}");
    assert!(mark.exists(), "the proxy command did not run");

    let (code, events) = with("-o Port=1");
    assert_eq!(code, 5, "{events:#?}");
}

/// hwctl reads what ssh says to name the cause, so it sets how much that is.
fn a_quiet_ssh_config_hides_no_cause() {
    let vm = Provisioned::fresh("trixie");
    let arguments = ["--identity", "/dev/null", "--connect-timeout", "3"];
    let inventory = vm.folder().join("inventory.yaml");
    let text = fs::read_to_string(&inventory).unwrap();
    let config = vm.folder().join("quiet config");
    fs::write(&config, "Host *\n  LogLevel QUIET\n").unwrap();
    let line = format!("      ansible_ssh_common_args: -F '{}'\n", config.display());
    fs::write(&inventory, text + &line.replace('\'', "\"")).unwrap();

    let (code, events) = vm.hwctl("facts", &arguments);

    assert_eq!(code, 5, "{events:#?}");
    assert!(failure(&events).contains("Permission denied"), "{events:#?}");
}

/// An inventory can name commands, and templates end up on hosts.
fn files_that_others_may_write_are_refused_and_run_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let command = "{ command: [sh, -c, 'touch ran; echo long-enough'] }";
    let users = format!("{{ users: {{ a: {command} }} }}");
    let inventory = write(
        "inventory.yaml",
        &format!(
            "all: {{ vars: {{ sites: {{ site2: {users} }} }}, hosts: {{ vm: {{ ansible_host: 127.0.0.1 }} }} }}"
        ),
    );
    let vars = write("group_vars/all/api.yml", &format!("api: {users}"));
    let template = write("templates/www/index.html", "mine");
    let mode = |path: &Path, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for path in [&inventory, &vars, &template] {
        let is_template = path == &template;
        for open_path in [path.as_path(), path.parent().unwrap()] {
            let before = if open_path.is_dir() { 0o755 } else { 0o644 };
            mode(open_path, before | 0o002);
            for verb in [&["plan", "-p", "1"][..], &["facts", "-p", "1"]] {
                let output = Command::new(env!("CARGO_BIN_EXE_hwctl"))
                    .current_dir(folder.path())
                    .args(verb)
                    .output()
                    .unwrap();

                let said = String::from_utf8_lossy(&output.stderr).into_owned()
                    + &String::from_utf8_lossy(&output.stdout);
                let is_refused = said.contains("anybody may write");
                let expected = !is_template || verb[0] == "plan";
                assert_eq!(is_refused, expected, "{} {verb:?}: {said}", open_path.display());
                if !is_template {
                    assert!(!folder.path().join("ran").exists(), "a command ran: {verb:?}");
                }
            }
            mode(open_path, before);
        }
    }
}

/// What only looks at a host works wherever the operator sits.
fn looking_needs_no_password_and_no_archive() {
    let vm = Provisioned::ready("trixie");
    let inventory = vm.folder().join("inventory.yaml");
    let text = fs::read_to_string(&inventory).unwrap();
    let archive = text.lines().find(|line| line.contains("image_archive")).unwrap();
    let bare = text
        .replace(archive, "    redis: { image_archive: not/there.tar }")
        .replace(&format!("{MARK}api"), "{ env: HWCTL_IS_NOT_SET }")
        .replace(&format!("{MARK}site"), "{ command: [sh, -c, touch ran] }");
    fs::write(&inventory, bare).unwrap();

    for (verb, arguments) in [
        ("exec", &["--", "true"][..]),
        ("facts", &[]),
        ("history", &[]),
        ("logs", &[]),
        ("render", &[]),
        ("cert show", &[]),
        ("redis", &["--", "PING"]),
    ] {
        let (code, events) = vm.hwctl(verb, arguments);

        assert_eq!(code, 0, "{verb}: {events:#?}");
        assert!(!vm.folder().join("ran").exists(), "{verb} ran the command of a password");
    }
    let (code, events) = vm.hwctl("status", &[]);
    let text = serde_json::to_string(&events).unwrap();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("not compared"), "{text}");
    let (code, events) = vm.hwctl("plan", &[]);
    assert_eq!(code, 2, "{events:#?}");
}

/// Sets how the inventory's host is reached.
fn reach_by(vm: &Provisioned, address: &str, arguments: &str) {
    let inventory = vm.folder().join("inventory.yaml");
    let text = fs::read_to_string(&inventory).unwrap();
    let real = format!("ansible_host: {}", vm.host.address);
    assert!(text.contains(&real), "{text}");
    let line = format!("ansible_host: {address}\n      ansible_ssh_common_args: {arguments}");
    fs::write(&inventory, text.replace(&real, &line)).unwrap();
}

fn warnings(events: &[serde_json::Value]) -> String {
    let warnings = events.iter().filter(|event| event["event"] == "warning");
    warnings.map(|event| event["message"].as_str().unwrap_or_default().to_owned() + "\n").collect()
}

fn an_alias_of_ssh_config_is_a_host_like_any_other() {
    let vm = Provisioned::ready("trixie");
    let config = vm.folder().join("ssh_config");
    fs::write(&config, format!("Host prod-web\n  HostName {}\n", vm.host.address)).unwrap();
    reach_by(&vm, "prod-web", &format!("-F {}", config.display()));

    let (code, events) = vm.hwctl("provision", &["--set", "tls.days=80"]);

    assert_eq!(code, 0, "{events:#?}");
    assert!(events.iter().any(|event| event["event"] == "check" && event["ok"] == true));
    let (code, events) = vm.hwctl("verify", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = vm.hwctl("cert show", &[]);
    assert_eq!(code, 0, "{events:#?}");
}

fn pages_are_looked_at_the_way_that_ssh_goes() {
    let vm = Provisioned::ready("trixie");
    let (log, proxy) = (vm.folder().join("proxied"), vm.folder().join("proxy"));
    // The name is known beyond the proxy only.
    let script = format!(
        "echo $1 $2 >> {}; exec 3<>/dev/tcp/{}/$2; cat <&3 & exec cat >&3",
        log.display(),
        vm.host.address
    );
    fs::write(&proxy, script).unwrap();
    fs::write(
        vm.folder().join("known"),
        fs::read_to_string(vm.host.known_hosts())
            .unwrap()
            .replace(&vm.host.address.to_string(), "web.invalid"),
    )
    .unwrap();
    let line = format!("'-o ProxyCommand=\"bash {} %h %p\"'", proxy.display());
    reach_by(&vm, "web.invalid", &line);
    let known = ["--known-hosts", "known"];

    let (code, events) = vm.hwctl("provision", &[&known[..], &["--set", "tls.days=80"]].concat());

    assert_eq!(code, 0, "{events:#?}");
    assert!(warnings(&events).contains("cannot check from outside"), "{events:#?}");
    let ports = fs::read_to_string(&log).unwrap();
    for port in ["web.invalid 22", "web.invalid 80", "web.invalid 443"] {
        assert!(ports.contains(port), "{ports}");
    }
    let (code, events) = vm.hwctl("verify", &known);
    assert_eq!(code, 0, "{events:#?}");
}

/// As with the security group of a cloud that lets ssh through alone.
fn a_run_is_kept_though_web_ports_do_not_let_the_operator_in() {
    let vm = Provisioned::ready("trixie");
    vm.sh("iptables -t raw -I PREROUTING ! -i lo -p tcp -m multiport --dports 80,443 -j DROP");

    let (code, events) = vm.hwctl("provision", &["--set", "tls.days=80"]);

    assert_eq!(code, 0, "{events:#?}");
    assert!(warnings(&events).contains("do not answer this machine"), "{events:#?}");
    let checks: Vec<_> = events.iter().filter(|event| event["event"] == "check").collect();
    assert!(checks.len() > 5, "{checks:#?}");
    assert!(checks.iter().all(|check| check["detail"].as_str().unwrap().contains("through ssh")));

    every_verb_that_looks_succeeds(&vm, &[], "through ssh");
    // The host's own firewall is a fault all the same.
    vm.sh("ufw delete allow 443/tcp");
    let (code, events) = vm.hwctl("verify", &[]);
    let told = serde_json::to_string(&events).unwrap();
    assert!(code == 1 && told.contains("own firewall does not let in port 443"), "{told}");
    vm.sh("ufw allow 443/tcp");

    // Where sshd does not allow port forwarding either, the run is kept as well, and says so.
    vm.sh("echo AllowTcpForwarding no > /etc/ssh/sshd_config.d/00-none.conf; systemctl reload ssh");
    let (code, events) = vm.hwctl("provision", &["--set", "tls.days=70"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(warnings(&events).contains("does not allow port forwarding"), "{events:#?}");
    every_verb_that_looks_succeeds(&vm, &[], "not checked");
}

/// What looks at a host from outside does so the way that there is, and says by which.
fn every_verb_that_looks_succeeds(vm: &Provisioned, arguments: &[&str], how: &str) {
    for verb in ["verify", "restart nginx", "restart all", "status", "cert renew", "cert show"] {
        let (code, events) = vm.hwctl(verb, arguments);

        let told = serde_json::to_string(&events).unwrap();
        assert_eq!(code, 0, "{verb}: {told}");
        let is_told = told.contains(how);
        assert!(is_told || ["status", "cert show"].contains(&verb), "{verb}: {told}");
    }
}

fn a_host_behind_a_jump_host_is_provisioned_and_looked_at_through_it() {
    let (jump, vm) = (Provisioned::fresh("trixie"), Provisioned::fresh("trixie"));
    // Nothing but the jump host reaches it.
    let drop = format!("-i eth0 ! -s {} -j DROP", jump.host.address);
    vm.sh(&format!(
        "{{ apt-get install -q -y --no-install-recommends iptables; }} >/dev/null 2>&1; \
         iptables -t raw -I PREROUTING {drop}"
    ));
    let config = vm.folder().join("ssh_config");
    let known = fs::read_to_string(vm.host.known_hosts()).unwrap()
        + &fs::read_to_string(jump.host.known_hosts()).unwrap();
    fs::write(vm.folder().join("known"), known).unwrap();
    let text = format!(
        "Host gate\n  HostName {}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        jump.host.address,
        jump.host.ssh_user(),
        jump.host.identity().display(),
        vm.folder().join("known").display()
    );
    fs::write(&config, text).unwrap();
    let address = vm.host.address.to_string();
    reach_by(&vm, &address, &format!("-F {} -J gate", config.display()));
    let known = ["--known-hosts", "known"];
    assert!(!vm.answers(22), "it is reached without the jump host");

    let (code, events) = vm.hwctl("provision", &known);

    assert_eq!(code, 0, "{events:#?}");
    assert!(warnings(&events).contains("through `gate`"), "{events:#?}");
    let pages = events.iter().filter(|event| event["event"] == "check" && event["ok"] == true);
    assert!(pages.count() > 5, "{events:#?}");
    every_verb_that_looks_succeeds(&vm, &known, "https://");
    assert_eq!(vm.hwctl("plan", &known).0, 0);

    // The jump host may be let in by ssh alone.
    vm.sh("iptables -t raw -I PREROUTING -i eth0 -p tcp -m multiport --dports 80,443 -j DROP");
    every_verb_that_looks_succeeds(&vm, &known, "through ssh");
}
