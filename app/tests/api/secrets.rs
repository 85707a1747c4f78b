//! Secrets stay out of the log at every level, whatever is sent.

use crate::service::Service;

#[test]
fn no_secret_is_in_the_log() {
    let mut service = Service::with(&[("LOG_LEVEL", "debug")]);
    service.start_redis();
    let token = service.token();
    let bearer = format!("Bearer {token}");
    assert_eq!(service.count(&bearer).status, 200);
    service.get(&format!("/flask/api/count?token={token}"));
    service.get("/nope?password=planted-in-query");
    service.login(r#"{"username":"planted-name","password":"planted-wrong"}"#);
    service.login(r#"{"username":"admin","password":"planted-cut"#);
    service.send("GET", "/flask/api/count", &[("authorization", "Basic planted-basic")], "");
    service.send("GET", "/flask/api/count", &[("cookie", "planted=1")], "");
    service.redis().kill();
    service.count(&bearer);
    service.signal("TERM");
    service.wait();
    let log = service.log();
    assert!(log.contains("redis is away") && log.contains("stopped"), "{log}");
    assert!(!log.contains("planted"), "{log}");
    assert!(!log.contains(&token), "{log}");
    for part in token.split('.').skip(1) {
        assert!(!log.contains(part), "{log}");
    }
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
}

#[test]
fn the_level_decides_what_is_logged() {
    let mut service = Service::with(&[("LOG_LEVEL", "warn")]);
    service.get("/flask/api/ping");
    service.get("/flask/api/health");
    service.signal("TERM");
    service.wait();
    let log = service.log();
    assert!(!log.contains("\"level\":\"info\""), "{log}");
    assert!(log.contains("\"status\":503"), "{log}");
}
