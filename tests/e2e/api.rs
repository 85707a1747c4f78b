//! The API of a host while it is used: what it logs, and what a restart, a new version, and the end
//! of Redis or of the API itself cost those who use it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::host::{self, MARK, Provisioned, fields};
use crate::load::{self, Answer, Load, Target, assert_none_failed, assert_none_lost, told};
use serde_json::Value;

crate::tests! {
    Lab: [each_request_has_its_line_in_the_journal, metrics_are_the_hosts_own, a_restart_loses_nothing, a_new_version_loses_nothing, the_end_of_redis_loses_no_visit, the_end_of_the_api_loses_no_visit],
}

const PING: &str = "/flask/api/ping";
const COUNT: &str = "/flask/api/count";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Between two requests of a connection, where the times of answers matter.
const REST: Duration = Duration::from_millis(10);
/// How long the API waits for Redis.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the load goes on before and after what happens to it.
const WHILE: Duration = Duration::from_secs(3);

/// A host that serves, and a user of its API.
fn ready() -> (Provisioned, Target) {
    let host = Provisioned::ready("trixie");
    let token = log_in(&host);
    let certificate = host.sh("cat /etc/nginx/ssl/homework.crt");
    let target = Target::new(host.host.address, &certificate, &token);
    (host, target)
}

fn log_in(host: &Provisioned) -> String {
    let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
    let url = host.url("/flask/auth/login");
    let answer = Provisioned::curl(&["-H", "Content-Type: application/json", "-d", &body, &url]);
    fields(&answer, "token")
}

fn each_request_has_its_line_in_the_journal() {
    let host = &Provisioned::ready("trixie");
    let token = &log_in(host);
    let bearer = format!("Authorization: Bearer {token}");
    let url = host.url(&format!("{COUNT}?token={MARK}query"));
    let told = Provisioned::curl(&["-o", "/dev/null", "-D", "-", "-H", &bearer, &url]);
    let ids: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(ids.len(), 1, "{told}");

    let journal = "journalctl --unit flask-app --output cat --no-pager";
    let deadline = Instant::now() + Duration::from_secs(10);
    let lines = loop {
        let lines = host.sh(&format!("{journal} | grep -F {} || true", ids[0].trim()));
        if !lines.is_empty() || Instant::now() > deadline {
            break lines;
        }
        sleep(Duration::from_millis(100));
    };
    assert_eq!(lines.lines().count(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(&lines).expect(&lines);
    let seen = [&line["message"], &line["method"], &line["path"], &line["status"]];
    assert_eq!(seen, [&Value::from("request"), &"GET".into(), &COUNT.into(), &200.into()]);
    for secret in [token, MARK] {
        assert!(
            !host.sh_ok(&format!("{journal} | grep -qF {secret}")),
            "the journal tells secrets"
        );
    }
    for line in host.sh(journal).lines().filter(|line| line.contains("request_id")) {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

fn metrics_are_the_hosts_own() {
    let host = &Provisioned::ready("trixie");
    let from_outside = Provisioned::curl(&["-w", " %{http_code}", &host.url("/flask/metrics")]);
    assert!(from_outside.ends_with(" 404") && from_outside.contains("not_found"), "{from_outside}");
    let socket = "curl -s --unix-socket /run/gunicorn/flask.sock http://flask/flask/metrics";
    let metrics = host.sh(socket);
    for metric in [
        "http_request_duration_seconds_bucket{",
        "flask_redis_commands_total{",
        "flask_build_info{",
        // What /proc shows a service that sees no other process.
        "process_cpu_seconds_total ",
        "process_open_fds ",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(metric), "no `{metric}` in {metrics}");
    }
}

fn a_restart_loses_nothing() {
    let (host, target) = &ready();
    let pid = "systemctl show --property MainPID --value flask-app.service";
    let before = host.sh(pid);
    let load = Load::start(target, &[PING, COUNT], Duration::ZERO);
    sleep(WHILE);
    let (code, events) = host.hwctl("restart", &[]);
    let between = host.sh(pid);
    host.sh("restart-flask");
    sleep(WHILE);
    let answers = load.end();
    assert_eq!(code, 0, "{events:#?}");
    assert!(between != before && host.sh(pid) != between, "it was not restarted twice");
    println!("two restarts: {}", told(&answers));
    assert_none_failed(&answers, "two restarts");
    assert_none_lost(&answers);
}

fn a_new_version_loses_nothing() {
    let (host, target) = &ready();
    // Another binary of the same length, which tells another version of itself.
    let turned = |byte: u8| if byte.is_ascii_digit() { b'0' + b'9' - byte } else { byte };
    let other: String = VERSION.bytes().map(|byte| char::from(turned(byte))).collect();
    host.sh(&format!(
        "cd /usr/local/lib/hwctl/api && LC_ALL=C sed 's/{}/{other}/g' flask-app >flask-app-other &&
         chmod 755 flask-app-other && ln -sfn $PWD/flask-app-other flask-app &&
         systemctl restart flask-app.service",
        VERSION.replace('.', r"\."),
    ));
    let version = || fields(&Provisioned::curl(&[&host.url("/flask/")]), "version");
    assert_eq!(version(), other);

    let load = Load::start(target, &[PING, COUNT], Duration::ZERO);
    sleep(WHILE);
    let (code, events) = host.hwctl("provision", &[]);
    sleep(WHILE);
    let answers = load.end();
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(version(), VERSION, "{:?}", host::changes(&events));
    println!("a new version: {}", told(&answers));
    assert_none_failed(&answers, "a new version");
    assert_none_lost(&answers);
}

fn the_end_of_redis_loses_no_visit() {
    let (host, target) = &ready();
    let load = Load::start(target, &[PING, COUNT], REST);
    sleep(WHILE);
    host.sh("docker kill --signal KILL redis-flask");
    let gone = Instant::now();
    // Counts wait for Redis before they are refused.
    sleep(PATIENCE + WHILE);
    let health = Provisioned::curl(&["-w", " %{http_code}", &host.url("/flask/api/health")]);
    let returns = Instant::now();
    host.sh("docker start redis-flask");
    let back = Instant::now();
    sleep(WHILE);
    let answers = load.end();

    assert!(health.ends_with(" 503") && health.contains("redis_unavailable"), "{health}");
    let (pings, counts): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.path == PING);
    assert!(pings.iter().all(|answer| answer.is_ok()), "{}", told(&answers));
    assert!(counts.iter().all(|a| matches!(a.status, Ok(200 | 503))), "{}", told(&answers));
    let away: Vec<_> = counts.iter().filter(|a| a.began > gone && a.ended < returns).collect();
    assert!(away.len() >= load::CONNECTIONS / 2 && away.iter().all(|a| !a.is_ok()));
    let slowest = counts.iter().filter(|a| !a.is_ok()).map(|a| a.took()).max().unwrap_or_default();
    let late = PATIENCE + Duration::from_secs(1);
    assert!(slowest <= late, "a count was refused after {slowest:?}");
    let again = counts.iter().find(|a| a.began > returns && a.is_ok()).expect("count works again");
    let again = again.ended.saturating_duration_since(back);
    let late = counts.iter().filter(|a| a.began > back + Duration::from_secs(2));
    assert!(late.clone().count() > 0 && late.clone().all(|a| a.is_ok()), "{}", told(&answers));
    println!("Redis: {}; refused within {slowest:?}, back after {again:?}", told(&answers));
    assert_more_than(target, assert_none_lost(&answers));
}

fn the_end_of_the_api_loses_no_visit() {
    let (host, target) = &ready();
    let load = Load::start(target, &[PING, COUNT], REST);
    sleep(WHILE);
    let killed = Instant::now();
    host.sh("systemctl kill --signal KILL flask-app.service");
    sleep(WHILE * 2);
    let answers = load.end();

    // nginx says so where the API took a request with it; what came later waited in the socket.
    assert!(answers.iter().all(|a| matches!(a.status, Ok(200 | 502))), "{}", told(&answers));
    let failed: Vec<&Answer> = answers.iter().filter(|answer| !answer.is_ok()).collect();
    let last = failed.last().map_or(Duration::ZERO, |answer| answer.ended - killed);
    let again = answers.iter().filter(|a| a.began > killed && a.is_ok()).map(|a| a.ended);
    // Those that the old process answered at the very end are not the new one's.
    let gap = again.clone().zip(again.skip(1)).map(|(one, next)| next - one).max();
    println!("the API: {}; last failure {last:?}, longest gap {gap:?}", told(&answers));
    let late = answers.iter().filter(|answer| answer.began > killed + WHILE);
    assert!(late.clone().count() > load::CONNECTIONS && late.clone().all(Answer::is_ok));
    assert_more_than(target, assert_none_lost(&answers));
}

/// One more visit has a higher number than any that was acknowledged.
fn assert_more_than(target: &Target, highest: u64) {
    let load = Load::start(target, &[COUNT], REST);
    sleep(Duration::from_millis(200));
    let next = load.end().iter().filter_map(|answer| answer.visits).min();
    assert!(highest > 0 && next > Some(highest), "{next:?} comes after {highest}");
}
