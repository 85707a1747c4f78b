//! End to end, on real lab hosts: a fresh host becomes the whole stack, stays it, and is repaired.

use crate::host::{self, Provisioned, fields};

crate::tests! {
    Lab: [a_fresh_debian_13_host_becomes_the_stack_and_stays_it, a_fresh_debian_12_host_becomes_the_stack_and_stays_it],
}

fn a_fresh_debian_13_host_becomes_the_stack_and_stays_it() {
    becomes_the_stack("trixie");
}

fn a_fresh_debian_12_host_becomes_the_stack_and_stays_it() {
    becomes_the_stack("bookworm");
}

fn becomes_the_stack(release: &str) {
    let host = Provisioned::fresh(release);

    // A plan on a fresh host names everything and changes nothing.
    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!(code, 3, "{events:#?}");
    let planned = host::changes(&events);
    assert!(planned.len() > 30, "{planned:?}");
    assert!(
        !host.sh_ok("test -e /etc/nginx || test -e /var/lib/hwctl/runs"),
        "plan changed the host"
    );

    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host::outcome(&events), "changed");

    // Nothing is left to do, and both verbs say so.
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!((code, host::outcome(&events)), (0, "unchanged".to_owned()), "{events:#?}");
    assert_eq!(host.hwctl("plan", &[]).0, 0);

    serves_from_outside(&host);
    is_right_inside(&host);
    edits_are_named_and_repaired(&host);
}

fn serves_from_outside(host: &Provisioned) {
    let status =
        |path: &str| Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", &host.url(path)]);
    assert_eq!(status("/"), "200");
    assert_eq!(Provisioned::curl(&[&host.url("/")]).matches("<iframe").count(), 3);
    assert_eq!(status("/open/"), "200");
    assert_eq!(status("/close/"), "403");
    assert_eq!(status("/flask/metrics"), "404");
    assert_eq!(status("/flask/swagger/"), "200");
    assert_eq!(Provisioned::curl(&[&host.url("/flask/api/ping")]), r#"{"status":"ok"}"#);
    let redirect =
        Provisioned::curl(&["-o", "/dev/null", "-w", "%{redirect_url}", &host.http_url("/x")]);
    assert_eq!(redirect, host.url("/x"));

    assert_eq!(status("/flask/api/count"), "401");
    let body = r#"{"username":"admin","password":"marked-secret-api"}"#;
    let login = ["-H", "Content-Type: application/json", "-d", body];
    let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());
    let token = fields(&answer, "token");
    let bearer = format!("Authorization: Bearer {token}");
    for visits in 1..=2 {
        let answer = Provisioned::curl(&["-H", &bearer, &host.url("/flask/api/count")]);
        assert_eq!(answer, format!(r#"{{"visits":{visits}}}"#));
    }
    for port in [6379, 2375, 5000, 8000] {
        assert!(!host.answers(port), "port {port} answers from outside");
    }
}

fn is_right_inside(host: &Provisioned) {
    let close = "curl -sk -o /dev/null -w %{http_code} https://127.0.0.1/close/";
    assert_eq!(host.sh(close), "401");
    assert_eq!(host.sh(&format!("{close} -u admin:marked-secret-site")), "200");
    assert_eq!(host.sh(&format!("{close} -u admin:wrong")), "401");
    for log in ["main", "site1", "site2", "flask"] {
        assert!(host.sh_ok(&format!("test -s /var/log/nginx/{log}_access.log")), "{log}");
        assert!(host.sh_ok(&format!("test -e /var/log/nginx/{log}_error.log")), "{log}");
    }
    let rules = host.sh("ufw status");
    assert!(rules.contains("Status: active"), "{rules}");
    for port in ["22/tcp", "80/tcp", "443/tcp"] {
        assert!(rules.contains(port), "{rules}");
    }
    // nginx was started once, when it was configured: apt has not shown Debian's page to the world.
    assert_eq!(host.sh("journalctl -u nginx -o cat | grep -cE '^(Start|Reload|Stopp)ing '"), "1");
    let units = "nginx.service flask-app.socket flask-app.service hwctl-renew.timer";
    let shown = host.sh(&format!("systemctl show {units} -P NeedDaemonReload -P DropInPaths"));
    // No drop-in of a trial is left, and nothing waits for systemd to read it.
    let own = "/etc/systemd/system/nginx.service.d/hwctl.conf";
    let left: Vec<_> = shown.split_whitespace().filter(|word| *word != own).collect();
    assert_eq!(left, ["no"; 4], "{shown}");
    for (wanted, by) in [("hwctl-renew.timer", "timers"), ("flask-app.service", "multi-user")] {
        let wants = host.sh(&format!("systemctl show {by}.target -P Wants"));
        assert!(wants.split(' ').any(|unit| unit == wanted), "{by}.target wants {wants}");
    }
    let mode = host.sh("stat -L -c %a /home/ubuntu/Flask-app/.env");
    assert_eq!(mode, "600");
    let published = host.sh("docker port redis-flask");
    assert_eq!(published, "6379/tcp -> 127.0.0.1:6379");
    let exposure = host.sh("systemd-analyze security flask-app | tail -n 1");
    let score: f32 = fields_after(&exposure, "flask-app.service: ").parse().unwrap();
    assert!(score <= 1.5, "{exposure}");
    assert!(host.sh_ok("check-flask"), "{}", host.sh("check-flask; true"));
    assert!(host.sh_ok("restart-flask"));
    assert!(host.sh_ok("logrotate --debug /etc/logrotate.conf"));
    // No password is on the host, in nobody's file, log or journal.
    let places = "/etc /home /usr/local /var/lib/hwctl /var/log /var/www /run/systemd";
    let found = host.sh(&format!("grep -rlF {} {places} 2>/dev/null || true", host::MARK));
    assert_eq!(found, "");
    assert!(
        !host.sh_ok(&format!("journalctl --no-pager | grep -v COMMAND | grep -qF {}", host::MARK))
    );
    // The API's key is the host's own, is not among the world's files, and is kept.
    assert!(host.sh("grep -c SECRET_KEY=. /home/ubuntu/Flask-app/.env") == "1");
    assert_eq!(host.sh("stat -c %a /var/lib/hwctl"), "700");
}

fn fields_after<'a>(text: &'a str, label: &str) -> &'a str {
    let rest = text.split_once(label).map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().unwrap_or_default()
}

/// After a single edit by hand, the plan names exactly that, and one run repairs exactly that.
fn edits_are_named_and_repaired(host: &Provisioned) {
    let program = host.sh("readlink -f /usr/local/lib/hwctl/api/flask-app");
    let api = format!("file {program}");
    let edit_of_api = format!(
        "cp -p {program} {program}.new; printf edited | dd of={program}.new seek=9999 bs=1 conv=notrunc; \
         touch -r {program} {program}.new; mv {program}.new {program}"
    );
    let edits = [
        (
            "echo '# by hand' >> /etc/nginx/sites-available/homework",
            "file /etc/nginx/sites-available/homework",
        ),
        ("chmod 0777 /var/www/site1/index.html", "file /var/www/site1/index.html"),
        ("rm /var/www/main/index.html", "file /var/www/main/index.html"),
        ("rm /etc/nginx/sites-enabled/homework", "link /etc/nginx/sites-enabled/homework"),
        ("systemctl stop nginx", "unit nginx.service"),
        ("systemctl stop flask-app.socket flask-app.service", "unit flask-app.socket"),
        ("docker rm -f redis-flask", "container redis-flask"),
        ("docker stop redis-flask", "container redis-flask"),
        ("ufw delete allow 443/tcp", "firewall ufw"),
        ("rm /etc/nginx/ssl/homework.key", "certificate /etc/nginx/ssl/homework.crt"),
        // What a no-op does not read whole: the kernel counts changes of its rules, and a file that
        // is written keeps its size and time if need be, and not its inode and change time.
        ("iptables -D ufw-user-input -p tcp --dport 443 -j ACCEPT", "firewall ufw"),
        (&edit_of_api, &api),
    ];
    for (edit, id) in edits {
        host.sh(&format!("{{ {edit}; }} >/dev/null 2>&1"));
        let (code, events) = host.hwctl("plan", &[]);
        assert_eq!(code, 3, "after `{edit}`: {events:#?}");
        let planned = host::causes(&events);
        let expected: Vec<&str> = match id {
            // Stopping the socket stops what it starts.
            "unit flask-app.socket" => vec![id, "unit flask-app.service"],
            _ => vec![id],
        };
        assert_eq!(planned, expected, "after `{edit}`: {events:#?}");
        let (code, events) = host.hwctl("provision", &[]);
        assert_eq!(code, 0, "after `{edit}`: {events:#?}");
        assert_eq!(host.hwctl("plan", &[]).0, 0, "after `{edit}`");
    }
    let ping = Provisioned::curl(&[&host.url("/flask/api/ping")]);
    assert_eq!(ping, r#"{"status":"ok"}"#);
}
