//! `hwctl status` and `check-flask`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{GROUP, check, plain, printed, ready, while_broken};
use crate::host::Provisioned;

crate::tests! {
    Lab: [
        of_a_host_that_was_never_provisioned,
        of_a_healthy_host,
        on_the_host_itself,
        of_several_hosts,
        is_watched_until_it_is_stopped,
        top_shows_who_is_in_trouble_first,
        of_a_broken_host,
    ],
}

fn status(host: &Provisioned, args: &[&str]) -> (i32, Value) {
    let (code, mut documents) = host.hwctl("status", args);
    assert_eq!(documents.len(), 1, "one document: {documents:#?}");
    (code, documents.remove(0))
}

fn one(host: &Provisioned) -> (i32, Value) {
    let (code, document) = status(host, &[]);
    (code, document["hosts"][0].clone())
}

fn of_a_host_that_was_never_provisioned() {
    let host = &Provisioned::fresh("trixie");
    let (code, found) = one(host);
    assert_eq!((code, &found["healthy"]), (1, &Value::Bool(false)), "{found:#}");
    assert_eq!(check(&found, "nginx.service"), (false, "inactive"));
    assert_eq!(check(&found, "last run"), (false, "there was none"));
    assert!(check(&found, "drift").1.contains(" changes: "), "{found:#}");
    assert!(host.is_untouched());
}

fn of_a_healthy_host() {
    let host = &ready();
    let (code, document) = status(host, &[]);
    assert_eq!(code, 0, "{document:#}");
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&document), ["hosts"]);
    let found = &document["hosts"][0];
    assert_eq!(keys(found), ["host", "healthy", "checks"]);
    assert_eq!(keys(&found["checks"][0]), ["name", "ok", "detail"]);
    assert_eq!((&found["host"], &found["healthy"]), (&"vm".into(), &true.into()));
    for unit in ["nginx.service", "flask-app.service", "container redis-flask"] {
        let (ok, detail) = check(found, unit);
        let parts: Vec<_> = detail.split(", ").collect();
        assert!(ok && parts.len() == 3 && parts[0].starts_with("up "), "{unit}: {detail}");
        assert!(parts[1].ends_with(" MB") && parts[2] == "no restarts", "{unit}: {detail}");
    }
    assert!(check(found, "https://127.0.0.1/flask/api/health").1.starts_with("200 in "));
    assert!(check(found, "certificate").1.starts_with("89 days left, until "));
    assert!(check(found, "firewall").1.ends_with("443/tcp"));
    assert!(check(found, "last run").1.starts_with("kept, `provision` "));
    assert_eq!(check(found, "manual changes"), (true, "none"));
    assert_eq!(check(found, "drift"), (true, "none"));

    let (code, text) = printed(&mut plain(host, "status", &[]));
    assert_eq!(code, 0);
    assert!(text.starts_with("vm  healthy\n  ✓ nginx.service "), "{text}");

    // systemd is asked itself: a plan needs no systemctl.
    let away = (
        "mv /usr/bin/systemctl /usr/bin/systemctl.x",
        "mv /usr/bin/systemctl.x /usr/bin/systemctl",
    );
    let (plan, found) = while_broken(host, away, || (host.hwctl("plan", &[]), one(host).1));
    assert_eq!(plan.0, 0, "{:#?}", plan.1);
    for unit in ["nginx.service", "flask-app.socket"] {
        let (ok, detail) = check(&found, unit);
        assert!(ok && detail.starts_with("up "), "{unit}: {detail}");
    }

    // What the operator has changed and not provisioned yet makes no host sick.
    let (code, document) = status(host, &["--set", "redis.port=6390"]);
    assert_eq!(code, 0, "{document:#}");
    assert!(check(&document["hosts"][0], "drift").1.contains("file /etc/hwctl/api/env"));
}

fn on_the_host_itself() {
    let host = &ready();
    // As the user who logs in: it becomes root by itself.
    let output = host.host.ssh("check-flask --json").unwrap();
    assert!(output.status.success());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["hosts"][0]["healthy"], true, "{document:#}");
    let broken = ("systemctl stop nginx", "systemctl start nginx");
    let output = while_broken(host, broken, || host.host.ssh("check-flask").unwrap());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("✗ nginx.service"), "{text}");
}

fn of_several_hosts() {
    let host = &ready();
    let (code, document) = status(host, &["-i", GROUP]);
    assert_eq!(code, 5, "one cannot be reached: {document:#}");
    let names: Vec<_> =
        document["hosts"].as_array().unwrap().iter().map(|host| &host["host"]).collect();
    assert_eq!(names, ["web1", "web2", "gone"]);
    assert!(!check(&document["hosts"][2], "ssh").0);
    let (code, text) = printed(&mut plain(host, "status", &["-i", GROUP]));
    assert_eq!(code, 5);
    assert!(text.contains("✓ web1  healthy  certificate 89 days left, disk "), "{text}");
    assert!(text.contains("✗ gone  1 of 1 checks fail\n  ✗ ssh"), "{text}");
}

fn of_a_broken_host() {
    let host = &ready();
    for (broken, mended, name, detail) in [
        (
            "systemctl stop flask-app.service flask-app.socket",
            "systemctl start flask-app.socket flask-app.service",
            "flask-app.service",
            "inactive",
        ),
        (
            "docker stop redis-flask",
            "docker start redis-flask",
            "container redis-flask",
            "exited (exit code 0), no restarts",
        ),
        (
            "docker stop redis-flask",
            "docker start redis-flask",
            "https://127.0.0.1/flask/api/health",
            "503 in ",
        ),
        (
            "echo 'lisen 80;' > /etc/nginx/sites-enabled/x",
            "rm /etc/nginx/sites-enabled/x",
            "nginx configuration",
            "unknown directive \"lisen\"",
        ),
        (
            "chmod 000 /run/gunicorn/flask.sock",
            "chmod 660 /run/gunicorn/flask.sock",
            "socket of the API",
            "nginx cannot connect to it: its mode is 0000",
        ),
        (
            "printf '/var/log/nginx/*.log {\\n  weekly\\n}\\n' > /etc/logrotate.d/app-nginx",
            "rm /etc/logrotate.d/app-nginx",
            "log rotation",
            "`/etc/logrotate.d/app-nginx` names the same logs",
        ),
        ("ufw disable", "ufw --force enable", "firewall", "ufw is not active"),
        (
            "ufw delete allow 443/tcp",
            "ufw allow 443/tcp comment hwctl",
            "manual changes",
            "firewall ufw (rule 443/tcp: absent, was allow",
        ),
        (
            "echo '# mine' >>/etc/nginx/nginx.conf",
            "sed -i '$d' /etc/nginx/nginx.conf",
            "manual changes",
            "unit nginx.service (its configuration changed since it started)",
        ),
        (
            "systemctl disable --now hwctl-renew.timer",
            "systemctl enable --now hwctl-renew.timer",
            "manual changes",
            "unit hwctl-renew.timer (at boot: disabled, was enabled",
        ),
        (
            "systemctl stop nginx",
            "systemctl start nginx",
            "https://127.0.0.1/",
            "Connection refused",
        ),
        (
            "systemctl stop docker.socket docker",
            "systemctl start docker.socket docker",
            "container redis-flask",
            "docker does not run",
        ),
    ] {
        let broken = (broken, mended);
        let (code, found) = while_broken(host, broken, || one(host));
        assert_eq!((code, &found["healthy"]), (1, &Value::Bool(false)), "{broken:?}");
        let (ok, seen) = check(&found, name);
        assert!(!ok && seen.contains(detail), "{broken:?}: {name}: {seen}");
    }
    super::wait_until("the host is healthy again", || one(host).0 == 0);
}

fn is_watched_until_it_is_stopped() {
    let host = &ready();
    let mut watching = host.command("status", &["--watch"]);
    let mut watching = watching.stderr(Stdio::inherit()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a document").unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["hosts"][0].clone()
    };
    assert_eq!(next()["healthy"], true);
    // It sees how much the host does.
    let busy = loop {
        host.sh(
            "for i in $(seq 20); do curl -skf -o /dev/null https://127.0.0.1/flask/api/ping; done",
        );
        let found = next();
        if found["vitals"]["requests"]["value"].as_f64().is_some_and(|rate| rate > 1.0) {
            break found["vitals"].clone();
        }
    };
    let value = |name: &str| busy[name]["value"].as_f64().unwrap_or(-1.0);
    assert!((0.0..=1.0).contains(&value("cpu")), "{busy:#}");
    assert!(value("memory") > 0.0 && value("p99") > 0.0 && value("redis") >= 0.0, "{busy:#}");
    assert!(value("errors").abs() < f64::EPSILON, "{busy:#}");
    // It sees what breaks, and that it is mended, over the same session.
    host.sh("docker stop redis-flask");
    while next()["healthy"] == true {}
    host.sh("docker start redis-flask");
    let last = loop {
        let found = next();
        if found["healthy"] == true {
            break found;
        }
    };
    assert!(check(&last, "drift").0);
    let stopped = Command::new("kill").args(["-INT", &watching.id().to_string()]).status();
    assert!(stopped.unwrap().success());
    assert_eq!(watching.wait().unwrap().code(), Some(0), "the last look was good");
}

fn top_shows_who_is_in_trouble_first() {
    let host = &ready();
    host.sh("docker stop redis-flask");
    let mut top = host.command("top", &[]);
    let mut top = top.stderr(Stdio::inherit()).spawn().unwrap();
    let line = BufReader::new(top.stdout.take().unwrap()).lines().next().expect("a look").unwrap();
    let found = serde_json::from_str::<Value>(&line).unwrap()["hosts"][0].clone();
    assert_eq!(found["healthy"], false, "{found:#}");
    assert!(found["vitals"]["memory"]["value"].as_f64().is_some(), "{found:#}");
    let stopped = Command::new("kill").args(["-INT", &top.id().to_string()]).status();
    assert!(stopped.unwrap().success());
    assert_eq!(top.wait().unwrap().code(), Some(1), "the last look was bad");
}
