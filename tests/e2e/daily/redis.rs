//! `hwctl redis`, `backup` and `restore`.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{plain, printed, ready, while_broken};
use crate::host::{Provisioned, failure, runs};

crate::tests! {
    Lab: [
        answers_and_its_password_is_not_seen,
        is_saved_and_put_back,
        a_damaged_copy_is_refused,
        what_cannot_be_loaded_is_put_back,
        that_is_stopped_is_told,
    ],
}

const FILE: &str = "visits.backup";

fn ask(host: &Provisioned, words: &[&str]) -> String {
    let (code, text) = printed(&mut plain(host, "redis", &[&["--"], words].concat()));
    assert_eq!(code, 0, "{text}");
    text.trim().to_owned()
}

fn data(events: &[Value], kind: &str) -> Value {
    let told = events.iter().find(|event| event["event"] == kind);
    told.unwrap_or_else(|| panic!("no `{kind}`: {events:#?}"))["data"].clone()
}

fn answers_and_its_password_is_not_seen() {
    let host = &ready();
    assert_eq!(ask(host, &["SET", "visits", "41"]), "OK");
    assert_eq!(ask(host, &["GET", "visits"]), "41");
    assert_eq!(ask(host, &["ECHO", "$HOME  'x'"]), "$HOME  'x'");
    let password = host.sh("cat /var/lib/hwctl/secrets/redis-password");
    // While a command runs, nobody else on the host sees the password.
    let mut waiting = plain(host, "redis", &["--", "BLPOP", "nothing", "6"]).spawn().unwrap();
    super::wait_until("redis-cli runs", || host.sh_ok("pgrep -f '[r]edis-cli BLPOP'"));
    let seen = host.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(seen.contains("BLPOP") && !seen.contains(&password));
    let as_user = "for p in /proc/[0-9]*; do cat $p/environ 2>/dev/null; done | tr '\\0' '\\n'";
    let output = host.host.ssh(as_user).unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&password));
    let inspected = host.sh("docker inspect redis-flask");
    assert!(!inspected.contains(&password));
    waiting.wait().unwrap();
}

fn is_saved_and_put_back() {
    let host = &ready();
    ask(host, &["SET", "visits", "4100"]);
    let (code, events) = host.hwctl("backup", &[FILE]);
    assert_eq!(code, 0, "{events:#?}");
    let saved = data(&events, "backed_up");
    assert_eq!((&saved["keys"], &saved["visits"]), (&1.into(), &4100.into()));
    let mode = std::fs::metadata(host.folder().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!host.sh_ok("test -e /var/lib/docker/volumes/flask-app_redis-data/_data/dump.rdb"));

    ask(host, &["SET", "visits", "7"]);
    ask(host, &["SET", "something", "else"]);
    let (code, events) = host.hwctl("restore", &[FILE]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(data(&events, "restored"), saved);
    assert_eq!(ask(host, &["GET", "visits"]), "4100");
    assert_eq!(ask(host, &["DBSIZE"]), "1");
    // It stays over a restart, is as declared, and the API counts on from it.
    host.sh("docker restart redis-flask");
    super::wait_until("Redis answers", || host.sh_ok("check-flask"));
    assert_eq!(ask(host, &["GET", "visits"]), "4100");
    assert_eq!(host.hwctl("plan", &[]).0, 0);
    let (_, found) = host.hwctl("verify", &[]);
    let found = super::check(&found[0]["hosts"][0], "counting twice").1.to_owned();
    assert_eq!(found, "4101, then 4102");
    let (verb, outcome, _) = runs(&host.hwctl("history", &[]).1).remove(0);
    assert_eq!((verb.as_str(), outcome.as_str()), ("restore", "kept"));

    // Of several hosts: a file each.
    let (code, text) =
        printed(&mut plain(host, "backup", &["-i", "twins.yaml", "--host", "web1", "all"]));
    assert!(code == 0 && text.contains(" in all"), "{text}");
    std::fs::remove_file(host.folder().join("all")).unwrap();
    let (code, text) = printed(&mut plain(host, "backup", &["-i", "twins.yaml", "all"]));
    assert_eq!(code, 0, "{text}");
    assert!(host.folder().join("all/web2.hwctl-backup").is_file());
    let (code, text) = printed(&mut plain(host, "restore", &["-i", "twins.yaml", FILE]));
    assert!(code == 2 && text.contains("one file is not restored on several hosts"), "{text}");
}

fn a_damaged_copy_is_refused() {
    let host = &ready();
    assert_eq!(host.hwctl("backup", &[FILE]).0, 0);
    let mut bytes = std::fs::read(host.folder().join(FILE)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(host.folder().join("damaged"), &bytes).unwrap();
    for (file, why) in [
        ("damaged", "its checksum is another"),
        ("inventory.yaml", "no file of `hwctl backup`"),
        ("nowhere", "No such file"),
    ] {
        let started = host.sh("docker inspect -f '{{.State.StartedAt}}' redis-flask");
        let (code, events) = host.hwctl("restore", &[file]);
        assert_eq!(code, 2, "{events:#?}");
        assert!(failure(&events).contains(why), "{events:#?}");
        assert_eq!(host.sh("docker inspect -f '{{.State.StartedAt}}' redis-flask"), started);
    }
}

/// The checksum is right, and Redis does not take what is in it.
fn what_cannot_be_loaded_is_put_back() {
    let host = &ready();
    assert_eq!(ask(host, &["SET", "visits", "4100"]), "OK");
    let bytes = b"REDIS0011 and then nothing that makes sense".as_slice();
    let sha256 = hwctl::resource::sha256(bytes);
    let head = format!(
        "hwctl-backup 1\n{{\"host\":\"vm\",\"made\":\"\",\"hwctl\":\"\",\"data\":{{\"keys\":1,\
         \"visits\":1,\"bytes\":{}}},\"sha256\":\"{sha256}\"}}\n",
        bytes.len()
    );
    std::fs::write(host.folder().join("senseless"), [head.as_bytes(), bytes].concat()).unwrap();
    let (code, events) = host.hwctl("restore", &["senseless"]);
    assert_eq!(code, 4, "{events:#?}");
    assert!(failure(&events).contains("its data of before is back"), "{events:#?}");
    super::wait_until("Redis answers", || host.sh_ok("check-flask"));
    assert_eq!(ask(host, &["GET", "visits"]), "4100");
    let left = host.sh("ls /var/lib/docker/volumes/flask-app_redis-data/_data");
    assert_eq!(left, "appendonlydir");
    let (verb, outcome, _) = runs(&host.hwctl("history", &[]).1).remove(0);
    assert_eq!((verb.as_str(), outcome.as_str()), ("restore", "undone"));
}

fn that_is_stopped_is_told() {
    let host = &ready();
    let broken = ("docker stop redis-flask", "docker start redis-flask");
    while_broken(host, broken, || {
        let (code, events) = host.hwctl("redis", &["--", "GET", "visits"]);
        assert_eq!(code, 1, "{events:#?}");
        let (code, events) = host.hwctl("backup", &["none.backup"]);
        assert_eq!(code, 1);
        assert!(failure(&events).contains("reach Redis on"), "{events:#?}");
    });
    assert!(!host.folder().join("none.backup").exists(), "no half of a file");
}
