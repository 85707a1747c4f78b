//! Every route, and what happens off the routes.

use crate::service::Service;

#[test]
fn the_json_is_exactly_that_of_the_mission() {
    let service = Service::start();
    assert_eq!(service.get("/flask/api/ping").text(), r#"{"status":"ok"}"#);
    let bearer = format!("Bearer {}", service.token());
    assert_eq!(service.count(&bearer).text(), r#"{"visits":1}"#);
    assert_eq!(service.count(&bearer).text(), r#"{"visits":2}"#);
    let login = service.login(r#"{"username":"second","password":"planted-password"}"#).json();
    assert_eq!(login.as_object().map(serde_json::Map::len), Some(1));
    let health = service.get("/flask/api/health");
    assert_eq!(health.text(), r#"{"status":"ok","redis":"ok"}"#);
    assert_eq!(service.get("/flask/").json()["links"]["count"], "/flask/api/count");
}

#[test]
fn paths_and_methods_that_are_not_there_get_json_errors() {
    let service = Service::without_redis();
    for path in ["/", "/nope", "/flask/nope", "/flask/api/ping/", "/flask/swagger/nope.js"] {
        service.get(path).assert_error(404, "not_found");
    }
    for (method, path, allow) in [
        ("POST", "/flask/api/ping", "GET,HEAD"),
        ("DELETE", "/flask/api/count", "GET,HEAD"),
        ("GET", "/flask/auth/login", "POST"),
        ("OPTIONS", "/flask/auth/login", "POST"),
        ("PATCH", "/flask/", "GET,HEAD"),
        ("BREW", "/flask/openapi.json", "GET,HEAD"),
    ] {
        let answer = service.send(method, path, &[], "");
        answer.assert_error(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    for (path, to) in [("/flask", "/flask/"), ("/flask/swagger", "/flask/swagger/")] {
        let answer = service.get(path);
        assert_eq!((answer.status, answer.header("location")), (308, Some(to)));
    }
}

#[test]
fn head_has_the_headers_of_get_and_changes_nothing() {
    let service = Service::start();
    let bearer = format!("Bearer {}", service.token());
    service.count(&bearer);
    let authorization = [("authorization", bearer.as_str())];
    for _ in 0..3 {
        let head = service.send("HEAD", "/flask/api/count", &authorization, "");
        assert_eq!((head.status, head.header("content-length")), (200, Some("12")));
    }
    assert_eq!(service.count(&bearer).text(), r#"{"visits":2}"#);
    let head = service.send("HEAD", "/flask/api/ping", &[], "");
    assert_eq!((head.status, head.header("content-length")), (200, Some("15")));
    let head = service.send("HEAD", "/nope", &[], "");
    assert_eq!(head.status, 404);
}

#[test]
fn a_request_id_is_taken_over_told_and_logged() {
    let service = Service::without_redis();
    let answer = service.send("GET", "/nope?q=1", &[("x-request-id", "abc-42")], "");
    assert_eq!(answer.header("x-request-id"), Some("abc-42"));
    assert_eq!(answer.json()["error"]["request_id"], "abc-42");
    let own = service.send("GET", "/flask/api/ping", &[("x-request-id", "bad id\"")], "");
    let own = own.header("x-request-id").expect("id").to_owned();
    assert_eq!(own.len(), 32);
    let log = service.log();
    for (id, path) in [("abc-42", "/nope"), (&own, "/flask/api/ping")] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(id)).collect();
        assert_eq!(lines.len(), 1, "one line a request: {log}");
        let line: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
        assert_eq!(line["path"], path);
        assert_eq!(line["request_id"], id);
    }
}

#[test]
fn bodies_of_the_wrong_kind_get_the_right_error() {
    let service = Service::without_redis();
    let json = ("content-type", "application/json");
    let send = |header, body: &str| service.send("POST", "/flask/auth/login", &[header], body);
    send(("content-type", "text/plain"), "{}").assert_error(415, "not_json");
    send(("accept", "*/*"), "{}").assert_error(415, "not_json");
    for body in ["", "{", "nonsense", "{}x", "{\"username\":\"a\" \"password\":\"b\"}"] {
        send(json, body).assert_error(400, "malformed_json");
    }
    for body in [
        "{}",
        "[]",
        "null",
        r#"["admin","x"]"#,
        r#"{"username":"admin"}"#,
        r#"{"username":1,"password":"x"}"#,
        r#"{"username":"","password":"x"}"#,
        r#"{"username":"admin","password":""}"#,
    ] {
        send(json, body).assert_error(422, "wrong_shape");
    }
    let long = format!(r#"{{"username":"{}","password":"x"}}"#, "é".repeat(65));
    send(json, &long).assert_error(422, "wrong_shape");
    for length in [16 * 1024 + 1, 900_000] {
        send(json, &" ".repeat(length)).assert_error(413, "body_too_large");
    }
    let utf8 = ("content-type", "Application/JSON; charset=utf-8");
    send(utf8, r#"{"username":"nobody","password":"x"}"#).assert_error(401, "wrong_credentials");
}

#[test]
fn metrics_are_prometheus_text() {
    let service = Service::start();
    service.get("/flask/");
    service.get("/nope");
    let bearer = format!("Bearer {}", service.token());
    service.count(&bearer);
    let answer = service.get("/flask/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for line in [
        "http_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1",
        "http_requests_total{method=\"POST\",route=\"/flask/auth/login\",status=\"200\"} 1",
        "http_request_duration_seconds_count{method=\"GET\",route=\"/flask/\"} 1",
        "http_request_duration_seconds_bucket{method=\"GET\",route=\"/flask/\",le=\"+Inf\"} 1",
        "flask_redis_up 1",
        "flask_redis_commands_total{command=\"incrby\",outcome=\"ok\"} 1",
        "flask_redis_commands_total{command=\"incrby\",outcome=\"error\"} 0",
        "flask_redis_command_duration_seconds_count{command=\"incrby\"} 1",
        "flask_logins_total{outcome=\"granted\"} 1",
        "flask_build_info{version=\"0.1.0\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in {text}");
    }
    for metric in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        let sample = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        let value: f64 = sample.and_then(|value| value.parse().ok()).unwrap_or(-1.0);
        assert!(value >= 0.0, "no sample of `{metric}` in {text}");
    }
}

#[test]
fn metrics_have_no_label_that_a_client_chooses() {
    let service = Service::without_redis();
    for path in ["/flask/api/one", "/flask/api/two", "/flask/swagger/three"] {
        service.get(path);
    }
    service.send("BREW", "/flask/api/four", &[], "");

    let text = service.get("/flask/metrics").text();

    for chosen in ["one", "two", "three", "four", "BREW"] {
        assert!(!text.contains(chosen), "`{chosen}` is in {text}");
    }
}
