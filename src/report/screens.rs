//! Each verb's screen at 80 columns, drawn from what `--json` said on a lab host (`screens/`) and
//! kept as text.

use std::path::Path;

use serde_json::Value;

use super::{HealthReport, Style, Terminal};
use crate::event::{Check, Event, EventKind, HostSummary, Outcome, Sink};

/// What a person sees of these lines of JSON.
fn screen(name: &str, json: &str) -> String {
    let lines = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let values: Vec<_> = lines.collect();
    if let [document] = values.as_slice() {
        return health(document);
    }
    let check = name.starts_with("plan");
    let terminal = Terminal::new(Vec::new(), Style { check, diff: check, ..Style::PLAIN });
    for value in values {
        // The summary itself says on which host.
        let host = value["host"].as_str().filter(|_| value["event"] != "done").map(str::to_owned);
        terminal.event(Event { host, what: serde_json::from_value(value).unwrap() });
    }
    String::from_utf8(terminal.into_inner()).unwrap()
}

/// `status` and `verify` say one document.
fn health(document: &Value) -> String {
    let report = HealthReport::new(Vec::new(), Style::PLAIN, false);
    let mut summaries = Vec::new();
    for host in document["hosts"].as_array().unwrap() {
        let name = host["host"].as_str().unwrap().to_owned();
        let checks: Vec<Check> = serde_json::from_value(host["checks"].clone()).unwrap();
        report.event(Event::on(name.clone(), EventKind::Health { checks }));
        let (outcome, urls) = (Outcome::Answered, Vec::new());
        summaries.push(HostSummary { host: name, outcome, changes: 0, elapsed_ms: 1, urls });
    }
    report.event(Event::of_run(EventKind::Summary { hosts: summaries }));
    String::from_utf8(report.into_inner()).unwrap()
}

#[test]
fn screens_fit_80_columns() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/screens");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 15, "{names:?}");
    for path in names {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = screen(name, &std::fs::read_to_string(&path).unwrap());
        // Lines of logs and what commands print are as long as they are.
        if !matches!(name, "logs" | "exec") {
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{name}");
        }
        let days = without_days(&text);
        insta::assert_snapshot!(format!("screen_{name}"), days);
    }
}

/// A certificate's days are counted from now.
fn without_days(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" UTC, ") {
        Some((dates, left)) if left.ends_with("left") || left == "expired" => {
            format!("{dates} UTC, … days left")
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
