//! What goes on while something that it was started by is away.

use std::time::{Duration, Instant};

use crate::host::{MARK, Provisioned, changes, fields};

crate::tests! {
    Lab: [redis_outlives_the_docker_daemon, settings_of_docker_that_others_made_stay],
}

fn redis_outlives_the_docker_daemon() {
    let host = &Provisioned::ready("trixie");
    let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
    let login = ["-H", "Content-Type: application/json", "-d", &body];
    let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());
    let bearer = format!("Authorization: Bearer {}", fields(&answer, "token"));
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
