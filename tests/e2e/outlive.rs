//! What goes on while something that it was started by is away.

use std::time::{Duration, Instant};

use crate::host::{MARK, Provisioned, changes, fields};
use crate::load::{CONNECTIONS, Load, Target, assert_none_failed, assert_none_lost, told};

crate::tests! {
    Lab: [
        redis_outlives_the_docker_daemon,
        settings_of_docker_that_others_made_stay,
        a_firewall_change_touches_no_connection,
        a_reload_of_nginx_loses_what_is_on_its_way_at_most,
    ],
}

fn log_in(host: &Provisioned) -> String {
    let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
    let login = ["-H", "Content-Type: application/json", "-d", &body];
    let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());
    fields(&answer, "token")
}

/// Counts over connections that stay.
fn load(host: &Provisioned) -> Load {
    let certificate = host.sh("cat /etc/nginx/ssl/homework.crt");
    let target = Target::new(host.host.address, &certificate, &log_in(host));
    let load = Load::start(&target, &["/flask/api/count"], Duration::ZERO);
    std::thread::sleep(Duration::from_millis(500));
    load
}

/// nginx's workers, which a reload replaces.
fn workers(host: &Provisioned) -> String {
    host.sh("pgrep -P $(cat /run/nginx.pid) | sort")
}

fn a_firewall_change_touches_no_connection() {
    let host = &Provisioned::ready("trixie");
    let before = workers(host);
    let load = load(host);

    let allow = "firewall.allow=[80/tcp, 443/tcp, 8080/tcp]";
    let (code, events) = host.hwctl("provision", &["--set", allow]);
    let answers = load.end();

    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"firewall ufw"), "{events:#?}");
    assert_none_failed(&answers, "a firewall change");
    assert_eq!(workers(host), before, "nginx was reloaded");
}

/// nginx before 1.27.4 closes connections that rest when it is reloaded, also those that a request is
/// on its way on. No connection may lose more than that one, and nothing that was counted.
fn a_reload_of_nginx_loses_what_is_on_its_way_at_most() {
    let host = &Provisioned::ready("trixie");
    let before = workers(host);
    let load = load(host);

    host.sh("systemctl reload nginx");
    std::thread::sleep(Duration::from_secs(1));
    let answers = load.end();

    assert_ne!(workers(host), before, "nginx was not reloaded");
    println!("a reload: {}", told(&answers));
    let failed: Vec<_> = answers.iter().filter(|answer| !answer.is_ok()).collect();
    assert!(failed.len() <= CONNECTIONS, "{}", told(&answers));
    for answer in failed {
        assert!(answer.status.is_err(), "nginx answers wrongly: {}", told(&answers));
    }
    assert_none_lost(&answers);
}

fn redis_outlives_the_docker_daemon() {
    let host = &Provisioned::ready("trixie");
    let bearer = format!("Authorization: Bearer {}", log_in(host));
    let count = || {
        let url = host.url("/flask/api/count");
        Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &bearer, &url])
    };
    let started = "docker inspect --format '{{.State.StartedAt}}' redis-flask";
    let before = host.sh(started);

    for end in ["kill -9 $(pidof dockerd)", "systemctl restart docker", "systemctl stop docker"] {
        host.sh(end);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            assert_eq!(count(), "200", "after `{end}`");
        }
    }

    host.sh("systemctl start docker");
    assert_eq!(host.sh(started), before, "the container was started anew");
    let (_, events) = host.hwctl("plan", &[]);
    assert_eq!(changes(&events), Vec::<&str>::new(), "{events:#?}");
}

fn settings_of_docker_that_others_made_stay() {
    let host = &Provisioned::ready("trixie");
    let settings = "/etc/docker/daemon.json";
    host.sh(&format!(
        "echo '{{\"log-driver\":\"journald\"}}' >{settings}; chmod 600 {settings}; systemctl restart docker"
    ));

    let (code, events) = host.hwctl("provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(
        host.sh("docker info --format '{{.LoggingDriver}} {{.LiveRestoreEnabled}}'"),
        "journald true"
    );
    assert_eq!(host.sh(&format!("stat -c %a {settings}")), "600");
}
