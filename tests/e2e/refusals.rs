//! Each way that a run can be impossible gives its own clear error and leaves nothing half done.

use std::fs;
use std::process::Command;

use crate::host::{self, Provisioned, failure};

crate::tests! {
    Lab: [a_connection_that_cannot_be_made_says_why, obstacles_on_the_host_are_refused_before_anything_changes, a_run_that_fails_is_undone_and_a_broken_template_never_reaches_the_host],
}

fn a_connection_that_cannot_be_made_says_why() {
    let host = Provisioned::fresh("trixie");
    let empty = host.folder().join("known_hosts");
    fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();

    // Nobody is there: the network's other end, which has no sshd.
    let (code, events) = host.hwctl("plan", &["--port", "9"]);
    let told = failure(&events);
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("no ssh answers on that port"), "{told}");

    // A host that was never seen.
    let (code, events) = host.hwctl("plan", &["--known-hosts", empty]);
    let told = failure(&events);
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("its host key is not known yet"), "{told}");
    assert!(told.contains("SHA256:") && told.contains("--accept-new-host-key"), "{told}");
    let (code, _) = host.hwctl("plan", &["--known-hosts", empty, "--accept-new-host-key"]);
    assert_eq!(code, 3, "with the key accepted the plan is made");

    // A host whose key is another than before.
    let other = host.folder().join("other");
    keygen(&other);
    let public = fs::read_to_string(other.with_extension("pub")).unwrap();
    fs::write(empty, format!("{} {public}", host.host.address)).unwrap();
    let (code, events) = host.hwctl("plan", &["--known-hosts", empty]);
    let told = failure(&events);
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("its host key has changed") && told.contains("ssh-keygen -R"), "{told}");

    // A key that the host does not let in.
    let (code, events) = host.hwctl("plan", &["--identity", other.to_str().unwrap()]);
    let told = failure(&events);
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("does not let `ubuntu` in") && told.contains("--identity"), "{told}");

    // A build for another machine: the same program with another machine in its ELF header.
    let mut foreign = fs::read(env!("CARGO_BIN_EXE_hwctl")).unwrap();
    foreign[18..20].copy_from_slice(&[0xb7, 0]);
    fs::write(&other, foreign).unwrap();
    let (code, events) = host.hwctl("plan", &["--host-binary", other.to_str().unwrap()]);
    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("is Linux x86_64, this hwctl is built for Linux aarch64"), "{told}");
    assert!(told.contains("--host-binary PATH"), "{told}");

    // A user who may not become root.
    host.sh("sed -i 's/NOPASSWD://' /etc/sudoers.d/*");
    let (code, events) = host.hwctl("plan", &[]);
    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("sudo wants a password") && told.contains("--ask-become-pass"), "{told}");
    assert!(host.is_untouched());
}

fn keygen(path: &std::path::Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

fn obstacles_on_the_host_are_refused_before_anything_changes() {
    let host = Provisioned::fresh("trixie");

    // Another program on port 80.
    host.sh(&format!(
        "systemd-run --unit squatter perl -MIO::Socket::INET -e '{PERL}' >/dev/null 2>&1"
    ));
    host.sh("for i in $(seq 50); do ss -ltn | grep -q ':80 ' && exit 0; sleep 0.1; done; exit 1");
    let (code, events) = host.hwctl("provision", &[]);
    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("port 80 of `nginx.service` is taken by `perl` (pid "), "{told}");
    assert!(told.contains("nothing was changed on the host"), "{told}");
    assert!(host.is_untouched());
    host.sh("systemctl stop squatter");

    // A directory where a file should be.
    host.sh("mkdir -p /home/ubuntu/Flask-app/.env");
    let (code, events) = host.hwctl("provision", &[]);
    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("a directory is at `/home/ubuntu/Flask-app/.env`"), "{told}");
    assert!(host.is_untouched());
    host.sh("rmdir /home/ubuntu/Flask-app/.env");

    // A full disk.
    host.sh("mount -t tmpfs -o size=16m full /usr/local/lib");
    host.sh("dd if=/dev/zero of=/usr/local/lib/filler bs=1M count=16 2>/dev/null || true");
    let (code, events) = host.hwctl("provision", &[]);
    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("no room for hwctl") && told.contains("free some space"), "{told}");
    assert_eq!(host.sh("ls -A /usr/local/lib"), "filler\nhwctl");
    assert_eq!(host.sh("ls -A /usr/local/lib/hwctl"), "");
    host.sh("umount /usr/local/lib");

    // apt's lock is held, by a process that the error names.
    let hold = "open F,\">/var/lib/dpkg/lock-frontend\";use Fcntl;\
                my $l=pack(\"ssx4qqi\",F_WRLCK,0,0,0,0);fcntl(F,F_SETLK,$l) or die;sleep 600";
    host.sh(&format!("systemd-run --unit holder perl -e '{hold}' >/dev/null 2>&1; sleep 0.5"));
    let (code, events) = host.hwctl("provision", &["--wait", "1"]);
    let told = failure(&events);
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("apt's lock") && told.contains("held by `perl` (pid "), "{told}");
    assert!(!host.sh_ok("test -e /etc/nginx"), "packages were installed");
    host.sh("systemctl stop holder");
}

/// Listens on port 80 and waits.
const PERL: &str =
    "my $s=IO::Socket::INET->new(LocalPort=>80,Listen=>5,ReuseAddr=>1) or die; sleep 600";

fn a_run_that_fails_is_undone_and_a_broken_template_never_reaches_the_host() {
    let host = Provisioned::fresh("trixie");
    let templates = host.folder().join("templates/nginx");
    fs::create_dir_all(&templates).unwrap();

    // A template that does not parse.
    fs::write(templates.join("homework"), "server {\n  {{ nothing.of_that_name }}\n}\n").unwrap();
    let (code, events) = host.hwctl("provision", &[]);
    let told = failure(&events);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("nginx/homework:2:"), "{told}");
    assert!(host.is_untouched());

    // A configuration that nginx does not accept: nothing of it goes live.
    fs::write(templates.join("homework"), "server { listen 80; no_such_directive; }\n").unwrap();
    let (code, events) = host.hwctl("provision", &[]);
    let told = failure(&events);
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("no_such_directive") && told.contains("homework:1"), "{told}");
    assert!(host.sh_ok("nginx -t -q && systemctl is-active -q nginx"));
    assert!(!host.sh_ok("test -e /etc/nginx/sites-available/homework"));

    // One that it accepts, but that does not serve: seen from outside, and undone.
    let broken = "server {\n  listen 80 default_server;\n  return 301 https://$host$request_uri;\n}\n\
                  server {\n  listen 443 ssl;\n  ssl_certificate {{ certificate | nginx }};\n  \
                  ssl_certificate_key {{ key | nginx }};\n  return 500;\n}\n";
    fs::write(templates.join("homework"), broken).unwrap();
    let (code, events) = host.hwctl("provision", &[]);
    let told = failure(&events);
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("from outside"), "{told}");
    assert_eq!(host::outcome(&events), "undone");
    for left in
        ["/etc/nginx/sites-enabled/homework", "/home/ubuntu/Flask-app", "/var/www/main/index.html"]
    {
        assert!(!host.sh_ok(&format!("test -e {left}")), "{left} is still there");
    }
    assert!(host.sh_ok("test -e /etc/nginx/sites-enabled/default && systemctl is-active -q nginx"));
    assert!(!host.sh_ok("systemctl is-active -q flask-app.service"));
    assert_eq!(host.sh("docker ps -aq"), "");

    // With the template mended, one run reaches the whole stack.
    fs::remove_dir_all(host.folder().join("templates")).unwrap();
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!((code, host::outcome(&events)), (0, "changed".to_owned()), "{events:#?}");
}
