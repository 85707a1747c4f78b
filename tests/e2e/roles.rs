//! Hosts that are not for everything: a role brings its parts and no others.

use serde_json::Value;

use crate::host::{Provisioned, changes, failure, outcome};

crate::tests! {
    Lab: [
        a_host_is_for_redis_alone_then_for_the_web,
        the_api_is_left_out_where_it_is_null_and_comes_back,
        redis_is_left_out_where_it_is_null_and_comes_back_with_its_data,
        hosts_that_lack_a_part_are_passed_over,
        a_part_that_goes_is_not_left_without_what_it_needs,
        a_unit_whose_file_is_gone_is_stopped_with_its_part,
        roles_are_read_with_their_places,
    ],
}

fn a_host_is_for_redis_alone_then_for_the_web() {
    let host = Provisioned::fresh("trixie");
    let only = |role: &str| format!("roles=[{role}]");
    let run = |verb: &str, role: &str, args: &[&str]| {
        let set = only(role);
        host.hwctl(verb, &[&["--set", &set], args].concat())
    };

    let (code, events) = run("provision", "redis", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!changes(&events).iter().any(|id| id.contains("nginx") || id.contains("flask-app.s")));
    assert!(!host.sh_ok("dpkg -s nginx") && !host.sh_ok("test -e /etc/nginx/ssl"));
    assert_eq!(open_ports(&host), "22", "what nothing serves stays closed");
    for verb in ["status", "verify", "doctor"] {
        let (code, events) = run(verb, "redis", &[]);
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }
    let (code, events) = run("provision", "redis", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    assert!(host.sh_ok("check-flask"), "{}", host.sh("check-flask; true"));
    let (code, events) = run("restart", "redis", &["redis"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "restarted"), "{events:#?}");
    // A part that the host neither has nor had.
    for verb in ["plan", "provision"] {
        let (code, events) = run(verb, "redis", &["--only", "sites"]);
        assert_eq!(code, 2, "{verb}: {events:#?}");
        assert!(failure(&events).contains("has or had the part `sites`"), "{verb}: {events:#?}");
        let (code, events) = run(verb, "redis", &["--only", "sites,redis"]);
        assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{verb}: {events:#?}");
        assert_eq!(lacking(&events), ["vm: this host has no part `sites`"], "{verb}");
    }
    write_twins(&host);
    let (code, events) = host.hwctl("plan", &["-i", "twins.yaml", "--only", "sites"]);
    assert_eq!(code, 3, "one of the hosts lacks it, the other is to get it: {events:#?}");
    assert_eq!(lacking(&events), ["data: this host has no part `sites`"]);
    // What the host has not is refused before it is contacted.
    let lacking: [(&str, &[&str]); 5] = [
        ("restart", &["nginx"]),
        ("deploy", &[]),
        ("secret rotate", &[]),
        ("cert show", &[]),
        ("cert renew", &[]),
    ];
    for (verb, args) in lacking {
        let (code, events) = run(verb, "redis", args);
        assert_eq!(code, 2, "{verb}: {events:#?}");
        assert!(failure(&events).contains("has no part"), "{verb}: {events:#?}");
    }
    let port = format!("{}:6379", host.host.address);
    assert!(!host.sh_ok(&format!("timeout 1 bash -c '</dev/tcp/{}'", port.replace(':', "/"))));

    // The web comes to it, goes, and comes back with the way back: its pages, its API and its certificate.
    let verified = |when: &str| {
        let (code, events) = host.hwctl("verify", &[]);
        assert_eq!(code, 0, "{when}: {events:#?}");
    };
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    verified("after the web has come");
    assert_eq!(open_ports(&host), "22 80 443");
    let certificate = host.sh("sha256sum /etc/nginx/ssl/homework.crt");
    // systemd remembers a unit that has failed after its file is gone.
    host.sh("cd /var/lib/hwctl; mv parts.json x; ! systemctl start hwctl-renew.service; mv x parts.json");
    assert_eq!(host.sh("systemctl is-failed hwctl-renew.service"), "failed");
    let (code, events) = run("provision", "redis", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.sh_ok("test -e /usr/local/lib/hwctl/api/flask-app"));
    assert_eq!(open_ports(&host), "22", "the ports go with what they were open for");
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    verified("after the rollback");
    assert_eq!(host.sh("sha256sum /etc/nginx/ssl/homework.crt"), certificate);

    // Another role: what the first one brought goes, and its data stays.
    let (code, events) = run("provision", "web", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"container redis-flask"), "{events:#?}");
    assert!(host.sh_ok("dpkg -s nginx"));
    let ping = Provisioned::curl(&[&host.url("/flask/api/ping")]);
    assert_eq!(ping, r#"{"status":"ok"}"#);
    for verb in ["status", "verify", "doctor"] {
        let (code, events) = run(verb, "web", &[]);
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }

    // Both: the whole stack, with the data of before.
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = host.hwctl("verify", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
}

/// Which hosts are told to have no part of a name.
fn lacking(events: &[Value]) -> Vec<String> {
    let warnings = events.iter().filter(|event| event["event"] == "warning");
    let told = warnings.filter_map(|event| {
        Some(format!("{}: {}", event["host"].as_str()?, event["message"].as_str()?))
    });
    told.filter(|message| message.contains("has no part")).collect()
}

/// The TCP ports that ufw lets in over IPv4.
fn open_ports(host: &Provisioned) -> String {
    host.sh("ufw status | sed -n 's,^\\([0-9]*\\)/tcp *ALLOW.*,\\1,p' | sort -nu | xargs")
}

/// Makes `twins.yaml`, which has the host twice: as `data` for Redis alone, and as `web` for the rest.
fn write_twins(host: &Provisioned) {
    let inventory = std::fs::read_to_string(host.folder().join("inventory.yaml")).unwrap();
    let (head, vm) = inventory.split_once("    vm:\n").expect("the host");
    let twins =
        format!("{head}    data:\n      roles: [redis]\n{vm}    web:\n      roles: [web]\n{vm}");
    std::fs::write(host.folder().join("twins.yaml"), twins).unwrap();
}

/// One host by two names, of which the inventory says different things.
fn hosts_that_lack_a_part_are_passed_over() {
    let host = Provisioned::ready("trixie");
    write_twins(&host);
    let outcomes = |verb: &str, args: &[&str]| {
        let (code, events) = host.hwctl(verb, &[&["-i", "twins.yaml"], args].concat());
        let summary = events.iter().find(|event| event["event"] == "summary").unwrap();
        let hosts = summary["hosts"].as_array().unwrap();
        let outcome = |host: &Value| host["outcome"].as_str().unwrap().to_owned();
        (code, hosts.iter().map(outcome).collect::<Vec<_>>().join(" "))
    };

    assert_eq!(outcomes("restart", &["nginx"]), (0, "unchanged restarted".to_owned()));
    assert_eq!(outcomes("restart", &["redis"]), (0, "restarted unchanged".to_owned()));
    assert_eq!(outcomes("cert show", &[]), (0, "unchanged answered".to_owned()));
    assert_eq!(outcomes("deploy", &["--check"]), (0, "unchanged unchanged".to_owned()));
    assert_eq!(outcomes("redis", &["--", "PING"]), (0, "answered unchanged".to_owned()));
    assert_eq!(outcomes("backup", &["copies"]), (0, "answered unchanged".to_owned()));
    let (code, events) = host.hwctl("logs", &["-i", "twins.yaml", "redis", "-n", "1"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(events.iter().any(|event| event["log"] == "redis" && event["host"] == "data"));
    let (code, events) = host.hwctl("logs", &["-i", "twins.yaml", "nonsense"]);
    assert_eq!(code, 2, "{events:#?}");
}

fn a_part_that_goes_is_not_left_without_what_it_needs() {
    let host = Provisioned::ready("trixie");
    let only_redis = ["--set", "roles=[redis]"];
    let units =
        || host.sh("systemctl show -p Id,LoadState,ActiveState,InvocationID nginx flask-app");
    let before = units();

    for verb in ["plan", "provision"] {
        let (code, events) = host.hwctl(verb, &[&only_redis[..], &["--skip", "nginx"]].concat());
        let told = failure(&events);
        assert_eq!((code, changes(&events)), (1, Vec::new()), "{verb}: {told}");
        assert!(told.contains("`unit nginx.service` would stay without"), "{told}");
        assert!(told.contains("removes `certificate /etc/nginx/ssl/homework.crt`"), "{told}");
        assert!(told.contains("run without `--skip nginx`"), "{told}");
    }

    assert_eq!(units(), before);
    // What needs nothing that goes may stay.
    let (code, events) = host.hwctl("plan", &[&only_redis[..], &["--skip", "api"]].concat());
    assert_eq!(code, 3, "{events:#?}");
}

fn a_unit_whose_file_is_gone_is_stopped_with_its_part() {
    let host = Provisioned::ready("trixie");
    host.sh("rm /etc/systemd/system/flask-app.service; systemctl daemon-reload");
    let state = || host.sh("systemctl show -P LoadState -P ActiveState flask-app.service | xargs");
    assert_eq!(state(), "not-found active");

    let (code, events) = host.hwctl("provision", &["--set", "roles=[redis]"]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(state(), "not-found inactive");
}

fn roles_are_read_with_their_places() {
    let host = Provisioned::fresh("trixie");
    for (roles, why) in [
        ("[]", "`roles` is empty"),
        ("[web, web]", "`roles[1]` is in the list already"),
        ("[webb]", "`roles[0]` takes one of"),
        ("web", "`roles` takes a list"),
    ] {
        let (code, events) = host.hwctl("plan", &["--set", &format!("roles={roles}")]);
        assert_eq!(code, 2, "{events:#?}");
        assert!(failure(&events).contains(why), "{roles}: {}", failure(&events));
    }
    assert!(host.is_untouched());
}

fn the_api_is_left_out_where_it_is_null_and_comes_back() {
    let host = Provisioned::ready("trixie");
    let visits = host.count_visit();
    let without = ["--set", "api=null"];

    let (code, events) = host.hwctl("provision", &without);

    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.sh_ok("test -e /etc/systemd/system/flask-app.service"));
    let status =
        |path: &str| Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", &host.url(path)]);
    assert_eq!([status("/flask/api/ping"), status("/open/")], ["404", "200"]);
    assert!(!Provisioned::curl(&[&host.url("/")]).contains("swagger"));
    for verb in ["status", "verify", "doctor"] {
        let (code, events) = host.hwctl(verb, &without);
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }
    let (code, events) = host.hwctl("provision", &without);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.count_visit(), visits + 1);
}

fn redis_is_left_out_where_it_is_null_and_comes_back_with_its_data() {
    let host = Provisioned::ready("trixie");
    let visits = host.count_visit();
    let without = ["--set", "redis=null"];

    let (code, events) = host.hwctl("provision", &without);

    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"container redis-flask"), "{events:#?}");
    assert!(!host.sh_ok("docker inspect redis-flask"));
    assert!(host.sh_ok("test -d /var/lib/docker/volumes/flask-app_redis-data/_data/appendonlydir"));
    for verb in ["status", "verify"] {
        let (code, events) = host.hwctl(verb, &without);
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }
    let (code, events) = host.hwctl("provision", &without);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.count_visit(), visits + 1);
}
