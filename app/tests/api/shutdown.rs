//! SIGTERM: requests in flight are finished, then the process ends well.

use std::{io::Write, thread, time::Duration};

use crate::{client, service::Service};

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let mut service = Service::without_redis();
    let mut idle = client::connect(&service.socket).expect("connection");
    idle.write_all(&client::request("GET", "/flask/api/ping", &[], b"")).expect("sent");
    assert_eq!(client::read(&mut idle, false).expect("answer").status, 200);

    let body = br#"{"username":"admin","password":"planted-password"}"#;
    let headers = [("content-type", "application/json")];
    let bytes = client::request("POST", "/flask/auth/login", &headers, body);
    let (first, rest) = bytes.split_at(bytes.len() - 10);
    let mut slow = client::connect(&service.socket).expect("connection");
    slow.write_all(first).expect("sent");
    thread::sleep(Duration::from_millis(100));

    service.signal("TERM");
    // A busy connection is told to close with its next answer, which it still gets.
    thread::sleep(Duration::from_millis(50));
    idle.write_all(&client::request("GET", "/flask/api/ping", &[], b"")).expect("sent");
    let answer = client::read(&mut idle, false).expect("answer");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));

    thread::sleep(Duration::from_millis(700));
    slow.write_all(rest).expect("sent");
    let answer = client::read(&mut slow, false).expect("the answer of a request in flight");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(service.wait().success());
    assert!(!service.socket.exists(), "its own socket goes with it");
    assert!(service.log().contains("\"message\":\"stopped\""));
}
