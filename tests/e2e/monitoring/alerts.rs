//! Prometheus's alerts reach people by the watch of the host: once each, and none that the watch has found itself.

use std::fs;

use jiff::Timestamp;

use super::{ask, with};
use crate::host::wait_until;
use crate::watch::{MINUTE, SETTLE, Watched};

crate::tests! {
    Lab: [an_alert_is_told_once_reminded_of_and_its_end_told],
}

/// Rules of the operator's: one of something that the watch knows nothing of, and one that it finds by itself.
const RULES: &str = r"groups:
  - name: own
    rules:
      - alert: LabFault
        expr: lab_fault == 1
        for: 5s
        annotations: { summary: The lab is at fault, next_step: end it }
      - alert: NoRedis
        expr: redis_up == 0
        for: 10s
";

/// Where the exporter of the host reads metrics from files.
const FILE: &str = "/var/lib/prometheus/node-exporter/lab.prom";

fn firing(watched: &Watched) -> Vec<String> {
    let answer = ask(&watched.host, "alerts");
    let alerts = answer["data"]["alerts"].as_array().unwrap().iter();
    let firing = alerts.filter(|alert| alert["state"] == "firing");
    firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
}

fn an_alert_is_told_once_reminded_of_and_its_end_told() {
    let mut watched = Watched::new();
    // The times of alerts are those of the host's clock.
    watched.now = Timestamp::now().as_second();
    let templates = watched.host.folder().join("templates/prometheus");
    fs::create_dir_all(&templates).unwrap();
    fs::write(templates.join("alerts.yml"), RULES).unwrap();
    let (code, events) = with(&watched.host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    watched.is_quiet(MINUTE, "no alert fires");

    watched.host.sh(&format!("echo 'lab_fault 1' >{FILE}"));
    wait_until("the alert fires", || firing(&watched) == ["LabFault"]);
    let (state, id, text) = watched.told_one(MINUTE, "the alert fires");
    assert_eq!((state.as_str(), id.as_str()), ("fault", "alert/LabFault job=node"), "{text}");
    assert!(text.contains("The lab is at fault") && text.contains("next: end it"), "{text}");
    assert!(text.contains("the alert `LabFault` of Prometheus fires, at the value 1"), "{text}");
    watched.is_quiet(MINUTE, "it was told");
    assert_eq!(watched.told_one(25 * 60 * MINUTE, "a day later").0, "reminder");
    watched.host.sh(&format!("rm {FILE}"));
    wait_until("the alert is over", || firing(&watched).is_empty());
    watched.is_quiet(MINUTE, "it may come back");
    assert_eq!(watched.told_one(SETTLE, "the alert is over").0, "recovered");

    what_the_watch_has_found_is_not_told_again(&mut watched);
}

fn what_the_watch_has_found_is_not_told_again(watched: &mut Watched) {
    watched.now = Timestamp::now().as_second();
    watched.host.sh("docker stop -t 1 redis-flask");
    let (state, id, text) = watched.told_one(MINUTE, "Redis does not run");
    assert_eq!((state.as_str(), id.as_str()), ("fault", "redis/redis-stopped"), "{text}");
    wait_until("the alert fires", || firing(watched) == ["NoRedis"]);

    watched.is_quiet(MINUTE, "the watch has told of Redis");

    watched.host.sh("docker start redis-flask");
    wait_until("the alert is over", || firing(watched).is_empty());
    watched.is_quiet(MINUTE, "it may come back");
    let (state, id, _) = watched.told_one(SETTLE, "Redis runs");
    assert_eq!((state.as_str(), id.as_str()), ("recovered", "redis/redis-stopped"));
    watched.is_quiet(SETTLE, "all is well");
}
