//! Tokens that hold and all those that do not; the limit on attempts.

use flask_app::auth::attempts::BURST;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::service::{KEY, PASSWORD, Service};

/// Changes one character of part `at` of a token.
fn tampered(token: &str, at: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let middle = parts[at].len() / 2;
    let other = if parts[at].as_bytes()[middle] == b'A' { "B" } else { "A" };
    parts[at].replace_range(middle..=middle, other);
    parts.join(".")
}

/// `{"alg":"none"}`, `{"alg":"None"}`, `{"alg":"HS512"}`, as headers of a token.
const OTHER_ALGORITHMS: [&str; 3] =
    ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIn0", "eyJhbGciOiJIUzUxMiJ9"];

#[test]
fn only_a_token_that_holds_counts() {
    let service = Service::start();
    let token = service.token();
    let parts: Vec<&str> = token.split('.').collect();
    let mut bad = vec![
        "Bearer ".to_owned(),
        "Bearer".to_owned(),
        "Bearer null".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Bearer ..".to_owned(),
        format!("Bearer {token}x"),
        format!("Bearer {token} {token}"),
        format!("Bearer {}.{}.", parts[0], parts[1]),
    ];
    bad.extend((0..3).map(|at| format!("Bearer {}", tampered(&token, at))));
    for header in OTHER_ALGORITHMS {
        bad.push(format!("Bearer {header}.{}.", parts[1]));
        bad.push(format!("Bearer {header}.{}.{}", parts[1], parts[2]));
    }
    for authorization in &bad {
        let answer = service.count(authorization);
        answer.assert_error(401, "invalid_token");
        let challenge = answer.header("www-authenticate").expect("challenge");
        assert!(challenge.starts_with("Bearer ") && challenge.contains("invalid_token"));
    }
    for authorization in ["", "Basic YWRtaW46eA==", "Token x"] {
        let answer = service.count(authorization);
        answer.assert_error(401, "missing_token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"flask\""));
    }
    service.get("/flask/api/count").assert_error(401, "missing_token");
    let twice = format!("Bearer {token}");
    let headers = [("authorization", twice.as_str()), ("authorization", twice.as_str())];
    service.send("GET", "/flask/api/count", &headers, "").assert_error(401, "invalid_token");
    // None of them counted.
    assert_eq!(service.count(&format!("bearer {token}")).json()["visits"], 1);
}

#[test]
fn tokens_of_another_key_issuer_or_user_and_ended_ones_do_not_hold() {
    let service = Service::start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("now").as_secs();
    let claims = |sub: &str, iss: &str, exp: u64| json!({"sub": sub, "iss": iss, "iat": now - 9, "exp": exp, "jti": "x"});
    let good = claims("admin", "flask-app", now + 60);
    let signed = |claims: &serde_json::Value, key: &str, algorithm| {
        let key = EncodingKey::from_secret(key.as_bytes());
        format!("Bearer {}", encode(&Header::new(algorithm), claims, &key).expect("token"))
    };
    // Makes the library ready in this process too.
    let _ = flask_app::auth::token::Tokens::new(
        &flask_app::settings::Secret::new(KEY),
        None,
        Duration::from_mins(1),
    );
    let own = |claims: serde_json::Value| signed(&claims, KEY, Algorithm::HS256);
    assert_eq!(service.count(&own(good.clone())).status, 200);
    let foreign = signed(&good, &KEY.replace('0', "1"), Algorithm::HS256);
    service.count(&foreign).assert_error(401, "invalid_token");
    let gone = own(claims("removed", "flask-app", now + 60));
    service.count(&gone).assert_error(401, "invalid_token");
    let other = own(claims("admin", "someone", now + 60));
    service.count(&other).assert_error(401, "invalid_token");
    for ended in [now - 1, now] {
        let ended = own(claims("admin", "flask-app", ended));
        service.count(&ended).assert_error(401, "expired_token");
    }
}

#[test]
fn a_token_ends_on_time() {
    let mut service = Service::with(&[("TOKEN_TTL", "1")]);
    service.start_redis();
    let bearer = format!("Bearer {}", service.token());
    thread::sleep(Duration::from_millis(1100));
    service.count(&bearer).assert_error(401, "expired_token");
}

#[test]
fn wrong_credentials_are_refused_alike_and_then_limited() {
    let service = Service::without_redis();
    for name in ["admin", "nobody"] {
        let body = format!(r#"{{"username":"{name}","password":"wrong"}}"#);
        for _ in 0..BURST {
            let answer = service.login(&body);
            answer.assert_error(401, "wrong_credentials");
            assert!(answer.header("www-authenticate").is_some());
        }
        let answer = service.login(&body);
        answer.assert_error(429, "too_many_attempts");
        let wait: u64 = answer.header("retry-after").expect("header").parse().expect("seconds");
        assert!((1..=6).contains(&wait), "{wait}");
    }
    // One account's limit is not another's, and a right password frees its own.
    let second = |password| {
        service.login(&format!(r#"{{"username":"second","password":"{password}"}}"#)).status
    };
    for _ in 0..3 {
        for _ in 1..BURST {
            assert_eq!(second("wrong"), 401);
        }
        assert_eq!(second("planted-password"), 200);
    }
}

#[test]
fn a_right_password_is_not_refused_for_the_failures_of_others() {
    let service = Service::without_redis();
    let login = |address: &str, name: &str, password: &str| {
        let headers = [("content-type", "application/json"), ("x-real-ip", address)];
        let body = format!(r#"{{"username":"{name}","password":"{password}"}}"#);
        service.send("POST", "/flask/auth/login", &headers, &body).status
    };
    let guessers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let network = ["2001:db8::1", "2001:db8::2:0:0:1", "2001:db8::ffff"];
    for at in 0..=usize::try_from(BURST).expect("a number") {
        for address in guessers.iter().chain([&network[at % network.len()]]) {
            login(address, "admin", "wrong");
        }
    }
    for address in guessers.iter().chain(&network) {
        assert_eq!(login(address, "admin", "wrong"), 429, "{address}");
        assert_eq!(login(address, "second", PASSWORD), 200, "{address}");
    }

    assert_eq!(login("192.0.2.4", "admin", PASSWORD), 200);
    assert_eq!(login("2001:db8:0:1::1", "admin", PASSWORD), 200);
}
