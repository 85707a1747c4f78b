//! `hwctl restart`.

use std::time::Duration;

use super::{plain, printed, ready, while_broken};
use crate::host::{MARK, Provisioned, failure, fields, outcome};
use crate::load::{Load, Target, assert_none_failed};

crate::tests! {
    Lab: [
        of_nginx_and_the_api_loses_nothing,
        of_redis_and_of_all_keeps_the_count,
        that_fails_says_why,
    ],
}

const PATHS: &[&str] = &["/", "/flask/api/ping"];

fn restarted(host: &Provisioned, what: &str) {
    let (code, events) = host.hwctl("restart", &[what]);
    assert_eq!((code, outcome(&events).as_str()), (0, "restarted"), "{what}: {events:#?}");
}

fn of_nginx_and_the_api_loses_nothing() {
    let host = &ready();
    let certificate = host.sh("cat /etc/nginx/ssl/homework.crt");
    let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
    let json = "Content-Type: application/json";
    let login = Provisioned::curl(&["-H", json, "-d", &body, &host.url("/flask/auth/login")]);
    let target = Target::new(host.host.address, &certificate, &fields(&login, "token"));
    let nginx = || host.sh("cat /run/nginx.pid");
    let before = nginx();
    let load = Load::start_with(4, &target, PATHS, Duration::from_millis(5));
    restarted(host, "nginx");
    restarted(host, "api");
    std::thread::sleep(Duration::from_millis(500));
    assert_none_failed(&load.end(), "restarts of nginx and the API");
    assert_ne!(nginx(), before);
}

fn of_redis_and_of_all_keeps_the_count() {
    let host = &ready();
    let started = || host.sh("docker inspect -f '{{.State.StartedAt}}' redis-flask");
    assert_eq!(printed(&mut plain(host, "redis", &["--", "SET", "visits", "41"])).0, 0);
    let visits = || printed(&mut plain(host, "redis", &["--", "GET", "visits"]));
    let (before, counted) = (started(), visits());
    restarted(host, "redis");
    assert_ne!(started(), before);
    assert_eq!(visits(), counted);
    let (code, text) = printed(&mut plain(host, "restart", &["all"]));
    assert!(code == 0 && text.starts_with("vm: restarted and healthy  "), "{text}");
    assert!(host.sh_ok("check-flask"));
}

fn that_fails_says_why() {
    let host = &ready();
    let api = "/usr/local/lib/hwctl/api/flask-app";
    let moved = (format!("mv {api} /root/api"), format!("mv /root/api {api}"));
    let on_the_host = while_broken(host, (&moved.0, &moved.1), || {
        let (code, events) = host.hwctl("restart", &[]);
        assert_eq!(code, 1, "{events:#?}");
        let told = failure(&events);
        assert!(told.contains("Unable to locate executable"), "its journal's last lines: {told}");
        assert!(told.contains("`hwctl doctor` looks for the cause"), "{told}");
        host.host.ssh("restart-flask").unwrap()
    });
    assert_eq!(on_the_host.status.code(), Some(1));
    let told = String::from_utf8_lossy(&on_the_host.stderr).into_owned();
    assert!(told.contains("Unable to locate executable"), "{told}");
    restarted(host, "api");

    let wrong = "/etc/nginx/conf.d/wrong.conf";
    let broken = (format!("echo 'nonsense;' > {wrong}"), format!("rm {wrong}"));
    let (code, events) =
        while_broken(host, (&broken.0, &broken.1), || host.hwctl("restart", &["nginx"]));
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("wrong.conf:1"), "{events:#?}");
    assert!(host.sh_ok("check-flask"), "it goes on serving");

    host.sh("docker rename redis-flask away");
    let (code, events) = host.hwctl("restart", &["redis"]);
    host.sh("docker rename away redis-flask");
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("No such container: redis-flask"), "{events:#?}");
    let (code, text) = printed(&mut plain(host, "restart", &["-i", super::GROUP]));
    assert!(code == 5 && text.contains("gone: error: cannot reach"), "{text}");
}
