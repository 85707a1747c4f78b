//! `hwctl logs`.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use serde_json::Value;

use super::{plain, printed, ready, while_broken};
use crate::host::{Provisioned, failure};

crate::tests! {
    Lab: [
        are_merged_by_time,
        are_followed,
        are_asked_for_rightly,
        of_a_broken_host,
        hold_nothing_that_a_terminal_obeys,
    ],
}

fn lines(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["event"] == "log").collect()
}

fn ask(host: &Provisioned, path: &str) {
    Provisioned::curl(&["-o", "/dev/null", &host.url(path)]);
}

fn are_merged_by_time() {
    let host = &ready();
    ask(host, "/first");
    ask(host, "/flask/api/ping");
    ask(host, "/close/");
    super::wait_until("the API's log", || {
        let (_, events) = host.hwctl("logs", &["api", "-n", "1"]);
        lines(&events).iter().any(|line| line["text"].as_str().unwrap().contains("/flask/api/ping"))
    });
    let (code, events) = host.hwctl("logs", &["-i", "twins.yaml", "--since", "10m"]);
    assert_eq!(code, 0, "{events:#?}");
    let found = lines(&events);
    let times: Vec<_> = found.iter().map(|line| line["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times.len() > 20, "{times:?}");
    for name in ["main", "site2", "flask", "api", "redis"] {
        for host in ["web1", "web2"] {
            let is_there = |line: &&&Value| line["log"] == name && line["host"] == host;
            assert!(found.iter().any(|line| is_there(&line)), "no line of {name} of {host}");
        }
    }
    // As a person has it: of which host and which log, where that is not clear.
    let (code, text) = printed(&mut plain(host, "logs", &["-i", "twins.yaml", "-n", "5"]));
    assert_eq!((code, text.lines().count()), (0, 10), "five of each host: {text}");
    assert!(text.lines().all(|line| line.starts_with("web1 ") || line.starts_with("web2 ")));
    let (_, text) = printed(&mut plain(host, "logs", &["main", "-n", "1"]));
    let first = host.host.ssh("sudo tail -n 1 /var/log/nginx/main_error.log").unwrap();
    assert!(text == String::from_utf8_lossy(&first.stdout) || text.contains("\"GET /"), "{text}");
}

fn are_followed() {
    let host = &ready();
    let mut following = host.command("logs", &["-f", "-n", "0"]).spawn().unwrap();
    let mut read = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut texts = String::new();
    let mut wait_for = |part: &str| {
        while !texts.contains(part) {
            texts.push_str(&read.next().expect("a line").unwrap());
        }
    };
    wait_for("asking");
    std::thread::sleep(std::time::Duration::from_secs(1));
    ask(host, "/before-rotation");
    wait_for("/before-rotation");
    host.sh("logrotate --force /etc/logrotate.d/nginx");
    ask(host, "/after-rotation");
    wait_for("/after-rotation");
    host.sh("docker restart redis-flask");
    wait_for("Ready to accept connections");
    ask(host, "/flask/api/health");
    wait_for(r#"\"path\":\"/flask/api/health\""#);
    // Of many in one moment none is left out.
    let urls = vec![host.url("/flask/api/ping"); 40];
    let args: Vec<_> = ["-Z"].into_iter().chain(urls.iter().map(String::as_str)).collect();
    Provisioned::curl(&args);
    while texts.matches(r#"\"path\":\"/flask/api/ping\""#).count() < urls.len() {
        texts.push_str(&read.next().expect("a line").unwrap());
    }
    let stopped = Command::new("kill").args(["-INT", &following.id().to_string()]).status();
    assert!(stopped.unwrap().success());
    assert_eq!(following.wait().unwrap().code(), Some(0), "Ctrl-C is how it ends");
    assert!(!host.sh_ok("pgrep -f 'journalctl.*[-]-follow'"), "nothing is left on the host");
    // What was rotated away is found, too.
    let (_, events) = host.hwctl("logs", &["main", "--since", "1h"]);
    let all = format!("{events:?}");
    assert!(all.contains("/before-rotation") && all.contains("/after-rotation"));
}

fn are_asked_for_rightly() {
    let host = &ready();
    let (code, events) = host.hwctl("logs", &["site3"]);
    assert_eq!(code, 2);
    assert!(failure(&events).contains("main, site1, site2, flask, nginx, redis, api"));
    let (code, text) = printed(&mut plain(host, "logs", &["--since", "yesterday"]));
    assert!(code == 2 && text.contains("`yesterday` is not a time"), "{text}");
}

fn of_a_broken_host() {
    let host = &ready();
    let broken = ("docker stop redis-flask", "docker start redis-flask");
    while_broken(host, broken, || ask(host, "/flask/api/health"));
    let (_, events) = host.hwctl("logs", &["--errors", "--since", "10m"]);
    let found = lines(&events);
    assert!(!found.is_empty() && found.iter().all(|line| line["is_error"] == true));
    assert!(found.iter().any(|line| line["log"] == "api"), "the API cannot reach Redis");
    // A log that cannot be read hides no other.
    let broken = ("systemctl stop docker.socket docker", "systemctl start docker.socket docker");
    let (code, events) = while_broken(host, broken, || host.hwctl("logs", &[]));
    assert_eq!(code, 0, "{events:#?}");
    let warned = events.iter().find(|event| event["event"] == "warning").expect("a warning");
    assert!(warned["message"].as_str().unwrap().contains("docker does not run"), "{warned}");
    assert!(!lines(&events).is_empty());
}

/// Anybody can write to the logs by asking for something.
fn hold_nothing_that_a_terminal_obeys() {
    let host = &ready();
    let hostile: [&[u8]; 5] = [
        b"\xc2\x9b31m-c1",
        b"\x9b2J-byte",
        b"\xe2\x80\xae-bidi",
        b"\xe2\x80\x8b-zero",
        b"%1b%5b2J%c2%9b-quoted",
    ];
    for (part, folder) in hostile.iter().flat_map(|part| [(part, "/"), (part, "/flask/")]) {
        let mut curl = Command::new("curl");
        let target = [folder.as_bytes(), *part].concat();
        curl.args(["-sk", "-m", "10", "-o", "/dev/null", &host.url("/"), "--request-target"]);
        curl.arg(OsStr::from_bytes(&target)).arg("-A").arg(OsStr::from_bytes(part));
        assert!(curl.status().unwrap().success());
    }
    host.sh(
        "printf 'an \\033]0;title\\007 \\233 \\302\\233 in-the-file\\n' >>/var/log/nginx/error.log",
    );
    super::wait_until("the API's log", || {
        let (_, events) = host.hwctl("logs", &["api", "-n", "9"]);
        lines(&events).iter().any(|line| line["text"].as_str().unwrap().contains("-quoted"))
    });

    for json in [&[][..], &["--json"]] {
        let output = plain(host, "logs", &[&["-n", "500"][..], json].concat()).output().unwrap();

        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let obeyed = |c: char| {
            (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{202e}' | '\u{7f}')
        };
        let bad: Vec<_> = text.lines().filter(|line| line.contains(obeyed)).collect();
        assert!(bad.is_empty(), "{bad:#?}");
        for part in ["-c1", "-byte", "-bidi", "-zero", "-quoted", "in-the-file"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
