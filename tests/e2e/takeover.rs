//! Hosts that another version of hwctl has made: an older one's are taken over as they are, a newer one's
//! are left alone.

use std::fs;
use std::path::PathBuf;

use hwctl::resource::{decode, encode};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::host::{Provisioned, changes, failure, runs};

crate::tests! {
    Lab: [
        a_host_from_before_the_format_numbers_is_taken_over_as_it_is,
        another_version_is_one_change_and_restarts_nothing,
        destroy_may_be_the_first_verb_on_a_host_from_before_the_format_numbers,
        a_host_of_a_newer_format_is_left_alone,
        a_part_of_a_newer_version_is_kept_or_the_run_is_refused,
        what_an_older_destroy_left_does_not_count,
    ],
}

/// The manifest on the host.
fn manifest(host: &Provisioned) -> PathBuf {
    host.host.root().join("var/lib/hwctl/manifest")
}

/// The head of each run in the journal on the host, oldest first.
fn heads(host: &Provisioned) -> Vec<PathBuf> {
    let runs = fs::read_dir(host.host.root().join("var/lib/hwctl/runs")).unwrap();
    let mut heads: Vec<_> = runs.map(|run| run.unwrap().path().join("run.json")).collect();
    heads.sort();
    heads
}

/// The number that an element of the manifest is, if it is one.
fn number(element: &ByteBuf) -> Option<u32> {
    let fields: Value = decode(element).ok()?;
    u32::try_from(fields["format"].as_u64()?).ok()
}

fn elements(host: &Provisioned) -> Vec<ByteBuf> {
    decode(&fs::read(manifest(host)).unwrap()).unwrap()
}

/// The number of the manifest, and that of the newest run.
fn numbers(host: &Provisioned) -> (Option<u32>, Value) {
    let head = fs::read(heads(host).last().expect("a run")).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    (elements(host).iter().find_map(number), head["format"].clone())
}

/// Makes the records those of the version before the numbers: that one kept no specs of parts either.
fn make_old(host: &Provisioned) {
    host.sh("rm /var/lib/hwctl/parts.json; rm -f /var/lib/hwctl/runs/*/parts.json");
    let mut elements = elements(host);
    elements.retain(|element| number(element).is_none());
    fs::write(manifest(host), encode(&elements).unwrap()).unwrap();
    for path in heads(host) {
        let mut head: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        head.as_object_mut().unwrap().remove("format").expect("a number");
        fs::write(&path, serde_json::to_vec_pretty(&head).unwrap()).unwrap();
    }
    assert_eq!(numbers(host), (None, Value::Null));
}

/// When what serves was started, and its timers.
fn started(host: &Provisioned) -> String {
    host.sh(
        "systemctl show -p Id,InvocationID,ActiveEnterTimestamp nginx.service flask-app.socket \
         flask-app.service docker.service hwctl-renew.timer; \
         docker inspect -f '{{.Id}} {{.State.StartedAt}}' redis-flask",
    )
}

fn a_host_from_before_the_format_numbers_is_taken_over_as_it_is() {
    let host = Provisioned::ready("trixie");
    make_old(&host);
    let before = started(&host);

    let only = ["--only", "nginx"];
    let verbs = [("plan", &[][..]), ("status", &[]), ("provision", &only), ("status", &[])];
    for (verb, args) in verbs.into_iter().chain([("provision", &[][..]), ("verify", &[])]) {
        let (code, events) = host.hwctl(verb, args);
        assert_eq!(code, 0, "{verb}: {events:#?}");
        if verb == "status" {
            let told = events[0].to_string();
            let names = ["container redis-flask", "flask-app.service", "nginx.service", "firewall"];
            assert!(names.iter().all(|name| told.contains(name)), "{told}");
        }
    }
    assert_eq!(numbers(&host), (None, Value::Null), "nothing had to be written");
    assert_eq!(started(&host), before);
    assert_eq!(
        host.sh("check-flask >/dev/null && systemctl start hwctl-renew && echo well"),
        "well"
    );

    let (code, events) = host.hwctl("cert renew", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(numbers(&host), (Some(1), json!(1)));
    let (_, events) = host.hwctl("history", &[]);
    let told = runs(&events);
    let told: Vec<_> = told.iter().map(|(verb, end, _)| (verb.as_str(), end.as_str())).collect();
    assert_eq!(told, [("cert renew", "kept"), ("provision", "kept")]);

    let history = events.iter().find(|event| event["event"] == "history").unwrap();
    let first = history["runs"][1]["id"].as_str().unwrap();
    let (code, events) = host.hwctl("rollback", &[first, "--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.sh_ok("command -v nginx"), "the run without a number is taken back");
}

fn another_version_is_one_change_and_restarts_nothing() {
    let host = Provisioned::ready("trixie");
    let other = host.folder().join("hwctl");
    let mut binary = fs::read(env!("CARGO_BIN_EXE_hwctl")).unwrap();
    binary.extend_from_slice(b"another version");
    fs::write(&other, binary).unwrap();
    let before = started(&host);

    let (code, events) = host.hwctl("provision", &["--host-binary", other.to_str().unwrap()]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(changes(&events), ["link /usr/local/lib/hwctl/hwctl"]);
    assert_eq!(started(&host), before);
    assert!(host.sh_ok("check-flask && systemctl start hwctl-renew"));
}

fn destroy_may_be_the_first_verb_on_a_host_from_before_the_format_numbers() {
    let host = Provisioned::fresh("trixie");
    host.sh("DEBIAN_FRONTEND=noninteractive apt-get install -yq nginx");
    host.sh("sed -i 's/worker_connections 768/worker_connections 777/' /etc/nginx/nginx.conf");
    // As with apt-get remove, configuration files of packages that hwctl installed stay.
    let digests = "find /etc/nginx -type f -exec sha256sum {} + | sort -k2; \
                   dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' | grep ' installed'; \
                   systemctl is-active nginx; \
                   find /etc/systemd/system /usr/local -name '*hwctl*' -o -name '*flask*'";
    let before = host.sh(digests);
    assert_eq!(host.hwctl("provision", &[]).0, 0);
    make_old(&host);

    let (code, events) = host.hwctl("destroy", &["--yes"]);

    assert_eq!(code, 0, "{events:#?}");
    let after = host.sh(digests);
    let other: Vec<_> = after.lines().filter(|line| !before.contains(line)).collect();
    assert!(after == before, "other than before: {other:?}");
    assert_eq!(numbers(&host), (Some(1), json!(1)));
}

fn a_host_of_a_newer_format_is_left_alone() {
    let host = Provisioned::ready("trixie");
    let mut elements = elements(&host);
    elements.push(ByteBuf::from(encode(&json!({ "format": 2, "more": [] })).unwrap()));
    fs::write(manifest(&host), encode(&elements).unwrap()).unwrap();
    let before = (started(&host), fs::read(manifest(&host)).unwrap(), heads(&host));

    for (verb, args) in [
        ("plan", &[][..]),
        ("provision", &["--set", "logrotate.keep=9"]),
        ("rollback", &["--yes"]),
        ("destroy", &["--yes"]),
    ] {
        let (code, events) = host.hwctl(verb, args);
        let told = failure(&events);
        assert_eq!((code, changes(&events)), (1, Vec::new()), "{verb}: {told}");
        assert!(
            told.contains("`/var/lib/hwctl/manifest` was written by a newer version"),
            "{told}"
        );
        assert!(told.contains("nothing was changed on the host"), "{told}");
        assert!(told.contains("use the newer hwctl"), "{told}");
    }
    assert_eq!((started(&host), fs::read(manifest(&host)).unwrap(), heads(&host)), before);
}

fn a_part_of_a_newer_version_is_kept_or_the_run_is_refused() {
    let host = Provisioned::ready("trixie");
    let path = host.host.root().join("var/lib/hwctl/parts.json");
    let mut specs: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mail = json!({ "name": "mail", "driver": "mail", "probes": [{ "look": "Sonar" }] });
    specs["parts"].as_array_mut().unwrap().push(mail.clone());
    fs::write(&path, specs.to_string()).unwrap();
    let kept = || {
        let specs: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        specs["parts"].as_array().unwrap().clone()
    };
    let before = (started(&host), kept());

    for (verb, args) in [("plan", &[][..]), ("provision", &["--set", "logrotate.keep=9"])] {
        let (code, events) = host.hwctl(verb, args);
        let told = failure(&events);
        assert_eq!((code, changes(&events)), (1, Vec::new()), "{verb}: {told}");
        assert!(told.contains("another build of hwctl has set up the part `mail`"), "{told}");
        assert!(told.contains("nothing was changed") && told.contains("newer hwctl"), "{told}");
    }
    assert_eq!((started(&host), kept()), before);

    // A run of other parts alone leaves it, and so does the way back.
    let only = ["--only", "packages,nginx", "--set", "logrotate.keep=9"];
    let (code, events) = host.hwctl("provision", &only);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(kept().last(), Some(&mail));
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(kept().last(), Some(&mail));
}

/// The version before specs of parts leaves their file where it is.
fn what_an_older_destroy_left_does_not_count() {
    let host = Provisioned::ready("trixie");
    host.sh("cp -p /var/lib/hwctl/parts.json /root/");
    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.sh_ok("test -e /var/lib/hwctl/parts.json"));
    host.sh("mv /root/parts.json /var/lib/hwctl/");

    let (code, events) = host.hwctl("status", &[]);
    assert_eq!(code, 1, "{events:#?}");
    let (code, events) = host.hwctl("provision", &["--only", "packages,redis"]);
    assert_eq!(code, 0, "{events:#?}");

    let specs = host.sh("cat /var/lib/hwctl/parts.json");
    let specs: Value = serde_json::from_str(&specs).unwrap();
    let names = specs["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str());
    assert_eq!(names.collect::<Option<Vec<_>>>().unwrap(), ["packages", "redis"]);
    let (code, events) = host.hwctl("status", &[]);
    assert_eq!(code, 0, "what the host has is well: {events:#?}");
    let (code, events) = host.hwctl("destroy", &["--yes", "--purge-data"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.sh_ok("test -e /var/lib/hwctl"));
}
