//! The operator's own things beside the stack: packages, files, folders, links, units, jobs, settings of the kernel and
//! people.

use std::fs;

use crate::host::{Provisioned, action, changes, failure, kept, outcome, runs};

crate::tests! {
    Lab: [
        files_lie_behind_links_of_root_alone,
        own_things_are_made_followed_and_taken_away,
        own_things_of_before_are_taken_over_and_given_back,
    ],
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB anna";

const SECRET: &str = "planted {{ x }} \"$SMTP\"";

/// The own things of the test, below `all.vars`.
const OWN: &str = r#"
    x_motto: "a 'quoted' motto"
    packages: [tree]
    folders:
      /srv/data: { mode: "0750", owner: www-data }
    files:
      /srv/data/note.txt: { content: "one\n", mode: "0640", owner: root:www-data }
      /srv/data/page.html: { source: page.html }
      /etc/motd: { template: motd }
      /etc/mail.conf: { template: mail.conf, secrets: { SMTP: { env: SMTP_PASSWORD }, KEY: { made: mail-key } }, mode: "0600" }
      /etc/default/cron: { content: "READ_ENV=no\n", restarts: [cron] }
      /etc/nginx/conf.d/own.conf:
        content: "map $uri $own_map { default 1; }\n"
        reloads: [nginx]
      /etc/checked.conf:
        content: "fine\n"
        validate: [grep, -q, fine, "%s"]
    links:
      /usr/local/bin/note: /srv/data/note.txt
    units:
      ticker:
        content: |
          [Service]
          ExecStart=/bin/sh -c 'while :; do echo tick; sleep 1; done'
          [Install]
          WantedBy=multi-user.target
    timers:
      nightly: { run: [touch, "/srv/nightly 100%"], on: "03:30" }
      broken: { run: "echo told && exit 7", on: daily, user: www-data }
    sysctl:
      net.ipv4.tcp_keepalive_time: 600
    users:
      anna: { keys: ["KEY"], groups: [adm], sudo: no-password }
"#;

/// An inventory with things of the operator's own.
fn write_inventory(host: &Provisioned, own: &str) {
    let folder = host.folder();
    fs::create_dir_all(folder.join("templates")).unwrap();
    fs::write(folder.join("page.html"), "<p>page</p>\n").unwrap();
    let motd = "{{ host.name }}: {{ vars.x_motto }}, {{ vars.x_motto | shell }}, {{ facts.os }}, \
                {% for peer in peers %}{{ peer.name }}{% endfor %}\n";
    fs::write(folder.join("templates/motd"), motd).unwrap();
    let mail = "password = {{ secret(name='SMTP') }}\nkey = {{ secret(name='KEY') }}\n";
    fs::write(folder.join("templates/mail.conf"), mail).unwrap();
    let own = format!("all:\n  vars:{}", own.replace("\"KEY\"", &format!("{KEY:?}")));
    fs::write(folder.join("own.yaml"), own).unwrap();
}

fn with_own(host: &Provisioned, verb: &str, args: &[&str]) -> (i32, Vec<serde_json::Value>) {
    let args = [&["-i", "inventory.yaml", "-i", "own.yaml"], args].concat();
    let output = host.command(verb, &args).env("SMTP_PASSWORD", SECRET).output().unwrap();
    let (code, events) = Provisioned::read(&output);
    assert!(!format!("{events:?}").contains(SECRET), "{verb} shows a secret: {events:#?}");
    (code, events)
}

fn own_things_are_made_followed_and_taken_away() {
    let host = Provisioned::ready("trixie");
    write_inventory(&host, OWN);

    they_are_made(&host);
    what_changes_is_taken_up(&host);
    what_is_refused_changes_nothing(&host);
    jobs_are_looked_at(&host);
    hooks_run_around_a_run(&host);
    they_go_with_the_inventory(&host);
}

fn they_are_made(host: &Provisioned) {
    let cron = || host.sh("systemctl show -P InvocationID cron");
    let before = cron();

    let (code, events) = with_own(host, "provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    assert!(host.sh_ok("dpkg -s tree"));
    let folder = host.sh("stat -c '%a %U:%G' /srv/data /srv/data/note.txt");
    assert_eq!(folder, "750 www-data:www-data\n640 root:www-data");
    assert_eq!(host.sh("cat /usr/local/bin/note /srv/data/page.html"), "one\n<p>page</p>");
    let motd = "vm: a 'quoted' motto, 'a '\\''quoted'\\'' motto', debian, vm";
    assert_eq!(host.sh("cat /etc/motd"), motd);
    let mail = host.sh("cat /etc/mail.conf; stat -c %a /etc/mail.conf");
    let key = host.sh("cat /var/lib/hwctl/secrets/mail-key");
    assert_eq!(mail, format!("password = {SECRET}\nkey = {key}\n600"));
    assert_ne!(cron(), before, "cron has read its file");
    assert!(host.sh("nginx -T 2>/dev/null").contains("$own_map"));
    assert_eq!(host.sh("systemctl is-active ticker.service nightly.timer"), "active\nactive");
    assert_eq!(host.sh("sysctl -n net.ipv4.tcp_keepalive_time"), "600");
    assert_eq!(host.sh("id -nG anna"), "anna adm");
    assert_eq!(host.sh("sudo -u anna sudo -n id -un"), "root");
    assert!(host.sh("cat /home/anna/.ssh/authorized_keys").contains(KEY));
    let (code, events) = with_own(host, "provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    let closed = OWN.replace("\"one\\n\", mode", "\"planted\\n\", mode");
    write_inventory(host, &closed);
    let (_, events) = with_own(host, "plan", &[]);
    assert_eq!(changes(&events), ["file /srv/data/note.txt"], "{events:#?}");
    assert!(
        !format!("{events:?}").contains("planted"),
        "what others may not read shows: {events:#?}"
    );
    write_inventory(host, OWN);
    let (code, events) = with_own(host, "logs", &["ticker", "--lines", "5"]);
    assert!(code == 0 && format!("{events:?}").contains("tick"), "{events:#?}");
    let (code, events) = with_own(host, "restart", &["ticker"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "restarted"), "{events:#?}");
}

fn what_changes_is_taken_up(host: &Provisioned) {
    let start = |unit: &str| host.sh(&format!("systemctl show -P InvocationID {unit}"));
    let before = [start("ticker"), start("cron"), start("nginx")];
    let own = OWN.replace("echo tick", "echo tock").replace("default 1", "default 2");
    write_inventory(host, &own);

    let (code, events) = with_own(host, "provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    let expected = [
        "file /etc/nginx/conf.d/own.conf",
        "unit nginx.service",
        "file /etc/systemd/system/ticker.service",
        "unit ticker.service",
    ];
    assert_eq!(changes(&events), expected);
    assert_eq!(action(&events, "unit nginx.service"), "reload");
    let after = [start("ticker"), start("cron"), start("nginx")];
    assert_eq!(
        [after[0] == before[0], after[1] == before[1], after[2] == before[2]],
        [false, true, true]
    );
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(host.sh("cat /etc/systemd/system/ticker.service").contains("echo tick;"));
    write_inventory(host, OWN);
    let (code, events) = with_own(host, "plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
}

fn what_is_refused_changes_nothing(host: &Provisioned) {
    let cases = [
        (OWN.replace("fine\\n\"", "wrong\\n\""), 4, "refuses the new `/etc/checked.conf`"),
        (OWN.replace("on: \"03:30\"", "on: \"33:30\""), 1, "systemd-analyze calendar 33:30"),
        (OWN.replace("owner: www-data }", "owner: nosuch }"), 1, "no user `nosuch`"),
        (OWN.replace("root:www-data", "root:nosuch"), 1, "no group `nosuch`"),
        (OWN.replace("daily, user: www-data", "daily, user: nosuch"), 1, "no user `nosuch`"),
        (OWN.replace("[Service]\n", "[Service]\n          User=nosuch\n"), 1, "no user `nosuch`"),
        (OWN.replace("groups: [adm]", "groups: [nosuch]"), 1, "no group `nosuch`"),
        (OWN.replace("[tree]", "[tree, no-such-package]"), 1, "no package `no-such-package`"),
        (OWN.replace("{ template: motd }", "{ template: modt }"), 2, "did you mean `motd`?"),
        (
            OWN.replace("mail-key } }, mode: \"0600\" }", "mail-key } } }"),
            2,
            "everybody on the host may read it",
        ),
        (OWN.replace("KEY: { made", "OTHER: { made"), 2, "there is no secret `KEY`"),
        (OWN.replace("default 1; }", "default 1;"), 4, "nginx does not accept"),
        (
            OWN.replace("/etc/motd:", "/etc/nginx/nginx.conf:"),
            2,
            "`file /etc/nginx/nginx.conf` would be made twice",
        ),
        (OWN.replace("/etc/motd:", "/etc/passwd:"), 2, "use `users` instead"),
        (OWN.replace("\"0750\"", "750"), 2, "put it in quotes"),
        (OWN.replace("anna:", "root:"), 2, "no account of a program"),
    ];
    // As right after `apt-get update`.
    host.sh("touch /var/lib/apt/lists /var/lib/apt/lists/*_Packages");
    let manifest = || host.sh("sha256sum /etc/checked.conf /etc/motd /etc/nginx/conf.d/own.conf");
    let before = manifest();
    for (own, code, says) in cases {
        write_inventory(host, &own);
        let (got, events) = with_own(host, "provision", &[]);
        assert!(failure(&events).contains(says), "`{says}` is not in {}", failure(&events));
        assert_eq!(got, code, "{events:#?}");
        assert_eq!(manifest(), before, "{says}");
    }
    write_inventory(host, OWN);
    let (code, events) = with_own(host, "plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
}

fn jobs_are_looked_at(host: &Provisioned) {
    let (code, checks) = with_own(host, "status", &[]);
    assert_eq!(code, 0, "no job has run yet: {checks:#?}");
    host.sh("systemctl start nightly.service; ! systemctl start broken.service");
    assert!(host.sh_ok("test -e '/srv/nightly 100%'"));

    let (code, checks) = with_own(host, "status", &[]);

    let told = format!("{checks:?}");
    assert_eq!(code, 1, "{checks:#?}");
    assert!(told.contains("it failed with exit status 7"), "{checks:#?}");
    assert!(told.contains("last run of nightly") && told.contains("succeeded"), "{checks:#?}");
    let (code, events) = with_own(host, "logs", &["broken"]);
    assert!(code == 0 && format!("{events:?}").contains("told"), "{events:#?}");
    host.sh("systemctl reset-failed broken.service");
}

fn hooks_run_around_a_run(host: &Provisioned) {
    let hook = |name: &str, script: &str| format!("hooks.{name}_provision=[sh, -c, '{script}']");
    let fails = hook("before", "echo told by $HWCTL_HOST; exit 3");
    let (code, events) = with_own(host, "provision", &["--set", &fails]);
    let told = failure(&events);
    assert_eq!(code, 1, "{events:#?}");
    assert!(told.contains("told by vm") && told.contains("`vm` was not contacted"), "{told}");

    let notes = hook("after", "echo $HWCTL_HOST $HWCTL_OUTCOME >hooked");
    let (code, events) = with_own(host, "provision", &["--set", &notes]);
    assert_eq!(code, 0, "{events:#?}");
    let noted = || fs::read_to_string(host.folder().join("hooked")).unwrap();
    assert_eq!(noted(), "vm unchanged\n");
    let bad = ["--set", &notes, "--set", "timers.nightly.on=Funday"];
    let (code, events) = with_own(host, "provision", &bad);
    assert_eq!((code, noted().as_str()), (1, "vm failed\n"), "{events:#?}");
    let (code, _) = with_own(host, "plan", &["--set", &fails]);
    assert_eq!(code, 0, "a plan runs no hooks");
    a_process_that_a_hook_leaves_behind_holds_nothing_up(host);
}

/// Such as a tunnel to the host.
fn a_process_that_a_hook_leaves_behind_holds_nothing_up(host: &Provisioned) {
    let leaves =
        "hooks.before_provision=[sh, -c, 'echo begins; sleep 300 & echo $! >left-behind; exit 4']";

    let began = std::time::Instant::now();
    let (code, events) = with_own(host, "provision", &["--set", leaves]);

    let process = fs::read_to_string(host.folder().join("left-behind")).unwrap();
    let ended = std::process::Command::new("kill").arg(process.trim()).status().unwrap();
    assert!(ended.success(), "it has ended before");
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("begins"), "{events:#?}");
    assert!(began.elapsed().as_secs() < 120, "hwctl has waited for it");
}

fn they_go_with_the_inventory(host: &Provisioned) {
    host.sh("echo mine >/home/anna/file");

    let (code, events) = host.hwctl("provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    assert!(
        !host.sh_ok("test -e /etc/systemd/system/ticker.service || systemctl is-active ticker")
    );
    assert!(!host.sh_ok("test -e /etc/checked.conf || test -e /etc/sudoers.d/hwctl-anna"));
    assert!(!host.sh("nginx -T 2>/dev/null").contains("$own_map"));
    assert_eq!(host.sh("id -nG anna; cat /home/anna/file"), "anna\nmine", "the account stays");
    assert!(host.sh("chage -l anna").contains("Jan 02, 1970"), "{}", host.sh("chage -l anna"));
    assert!(host.sh_ok("test -d /srv/data || true"));
    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
    // It comes back as it was.
    let (code, events) = with_own(host, "provision", &["--only", "users"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.sh("sudo -u anna sudo -n id -un; cat /home/anna/file"), "root\nmine");
}

fn files_lie_behind_links_of_root_alone() {
    let host = Provisioned::ready("trixie");
    host.sh("mkdir -p /srv/real /srv/theirs && ln -s /srv/real /srv/linked
             ln -s /srv/real /srv/theirs/linked && chown -h www-data /srv/theirs/linked");
    let own = r#"
    folders: { /srv/one: {}, /srv/now/sub: {} }
    links: { /srv/now: /srv/one }
    files:
      /srv/linked/a: { content: "a" }
      /srv/now/b: { content: "b" }
      /srv/now/sub/c: { content: "c" }
"#;
    write_inventory(&host, own);
    fs::write(host.folder().join("templates/unused"), "{% if %}\n{{ x | nofilter }}").unwrap();

    let (code, events) = with_own(&host, "provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(
        host.sh("cat /srv/real/a /srv/one/b /srv/one/sub/c; readlink /srv/now"),
        "abc/srv/one"
    );
    let (code, events) = with_own(&host, "plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
    let planted = "files./srv/theirs/linked/a={ content: planted }";
    let (code, events) = with_own(&host, "provision", &["--set", planted]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("which root does not follow"), "{}", failure(&events));
    let uses = "files./etc/motd={ template: unused }";
    let (code, events) = with_own(&host, "provision", &["--set", uses]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("`unused:1:"), "{}", failure(&events));
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(
        host.sh("find /srv -mindepth 1 | sort"),
        "/srv/linked\n/srv/real\n/srv/theirs\n/srv/theirs/linked"
    );
}

fn own_things_of_before_are_taken_over_and_given_back() {
    let host = Provisioned::ready("trixie");
    host.sh("printf 'before\\n' >/etc/motd && chmod 604 /etc/motd
             mkdir -m 700 /srv/data && echo theirs >/srv/data/theirs
             printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/etc/systemd/system/ticker.service
             systemctl start ticker
             useradd -m -s /bin/sh -G cdrom --expiredate 1984-01-02 anna && echo theirs >/home/anna/theirs");
    let state = || {
        host.sh("stat -c '%a %U' /etc/motd /srv/data; cat /etc/motd /etc/systemd/system/ticker.service
                 systemctl is-active ticker; getent passwd anna; id -nG anna; ls -A /home/anna /srv/data
                 cat /etc/default/cron; ls -A /etc/sudoers.d; getent shadow anna | cut -d: -f8")
    };
    let before = state();
    write_inventory(&host, OWN);
    // A run that fails at its end is undone.
    host.break_at_the_end();
    let (code, events) = with_own(&host, "provision", &[]);
    assert_eq!(code, 4, "{events:#?}");
    assert_eq!(state(), before, "after the undo");
    host.mend();
    write_inventory(&host, OWN);

    let (code, events) = with_own(&host, "provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.sh("id -nG anna"), "anna adm cdrom");
    assert!(host.sh_ok("test -e /home/anna/theirs && test -e /srv/data/theirs"));
    let (_, events) = host.hwctl("history", &[]);
    assert_eq!(runs(&events)[0].1, "kept", "{events:#?}");
    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    let after = state();
    assert_eq!(after.replace("before", ""), before.replace("before", ""), "{:?}", kept(&events));
    assert_eq!(after, before);
}
