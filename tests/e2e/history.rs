//! The journal of a host: what it tells of its runs, and the way back through them.

use crate::host::{self, Provisioned, action, changes, failure, kept, outcome, runs};
use serde_json::Value;

crate::tests! {
    Lab: [runs_are_told_and_taken_back_one_after_the_other, before_the_first_run_there_was_no_stack, a_run_whose_engine_is_killed_is_interrupted_and_can_be_taken_back, a_way_back_that_nginx_does_not_accept_is_refused],
}

fn ok(told: (i32, Vec<Value>)) -> Vec<Value> {
    assert_eq!(told.0, 0, "{:#?}", told.1);
    told.1
}

fn port(host: &Provisioned) -> String {
    host.sh("docker port redis-flask")
}

fn runs_are_told_and_taken_back_one_after_the_other() {
    let host = Provisioned::fresh("trixie");

    // Nothing was ever done here.
    assert_eq!(runs(&ok(host.hwctl("history", &[]))), []);
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 1);
    assert!(failure(&events).contains("there is no run to roll back"), "{events:#?}");

    ok(host.hwctl("provision", &[]));
    ok(host.hwctl("provision", &[]));
    let told = runs(&ok(host.hwctl("history", &[])));
    assert_eq!(told.len(), 1, "a run that changes nothing leaves no trace: {told:?}");
    assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("provision", "kept"));
    assert!(told[0].2 > 30, "{told:?}");

    a_change_is_rolled_back_and_again(&host);
    a_text_is_brought_back_as_it_was_shown(&host);
    wrong_questions_are_refused(&host);
    the_key_is_renewed_and_brought_back(&host);
    a_run_that_fails_is_told_as_undone(&host);
    what_failed_stays_for_a_look(&host);
    the_version_of_the_hosts_own_commands_stays(&host);
}

fn a_change_is_rolled_back_and_again(host: &Provisioned) {
    ok(host.hwctl("provision", &["--set", "redis.port=6390"]));
    assert!(port(host).ends_with(":6390"));

    // The plan is shown and nothing is done.
    let (code, events) = host.hwctl("rollback", &["--check"]);
    assert_eq!(code, 3, "{events:#?}");
    let planned = ["file /etc/hwctl/api/env", "container redis-flask"];
    assert!(planned.iter().all(|id| changes(&events).contains(id)), "{events:#?}");
    assert!(port(host).ends_with(":6390"));

    let events = ok(host.hwctl("rollback", &["--yes"]));
    assert_eq!(outcome(&events), "changed");
    assert!(port(host).ends_with(":6379"));
    assert_eq!(host.hwctl("plan", &[]).0, 0, "the host is as the inventory has it again");

    // A rollback is a run: it can be rolled back, and that too.
    ok(host.hwctl("rollback", &["--yes"]));
    assert!(port(host).ends_with(":6390"));
    ok(host.hwctl("rollback", &["--yes"]));
    assert!(port(host).ends_with(":6379"));
    assert_eq!(host.hwctl("plan", &[]).0, 0);
    assert!(host.sh_ok("check-flask"), "{}", host.sh("check-flask; true"));
    let told = runs(&ok(host.hwctl("history", &[])));
    let verbs: Vec<_> = told.iter().map(|run| run.0.as_str()).collect();
    assert_eq!(verbs, ["rollback", "rollback", "rollback", "provision", "provision"]);
}

fn a_text_is_brought_back_as_it_was_shown(host: &Provisioned) {
    let page = "/var/www/main/index.html";
    let before = host.sh(&format!("sed -i s/iframe/planted/ {page}; cat {page}"));
    ok(host.hwctl("provision", &[]));
    assert_ne!(host.sh(&format!("cat {page}")), before);
    let (_, events) = host.hwctl("rollback", &["--check"]);
    let plan = events.iter().find(|event| event["event"] == "plan").expect("a plan");
    let shown = &plan["changes"][0]["details"][0];
    assert_eq!(shown["after"].as_str().map(str::trim), Some(before.as_str()), "{plan:#}");
    ok(host.hwctl("rollback", &["--yes"]));
    assert_eq!(host.sh(&format!("cat {page}")), before);
    ok(host.hwctl("provision", &[]));
}

fn wrong_questions_are_refused(host: &Provisioned) {
    for verb in ["history", "rollback"] {
        let yes = if verb == "rollback" { &["nonsense", "--yes"][..] } else { &["nonsense"][..] };
        let (code, events) = host.hwctl(verb, yes);
        assert_eq!(code, 1, "{events:#?}");
        assert!(failure(&events).contains("has no run `nonsense`"), "{events:#?}");
    }
    // Nobody can be asked.
    let before = runs(&ok(host.hwctl("history", &[])));
    for verb in ["rollback", "destroy"] {
        assert_eq!(host.hwctl(verb, &[]).0, 2);
    }
    assert_eq!(runs(&ok(host.hwctl("history", &[]))), before);
}

fn the_key_is_renewed_and_brought_back(host: &Provisioned) {
    let body = r#"{"username":"admin","password":"marked-secret-api"}"#;
    let login = ["-H", "Content-Type: application/json", "-d", body];
    let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());
    let bearer = format!("Authorization: Bearer {}", host::fields(&answer, "token"));
    let url = host.url("/flask/api/count");
    let status =
        || Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &bearer, &url]);
    assert_eq!(status(), "200");

    assert_eq!(host.hwctl("secret rotate", &["--check"]).0, 3);
    assert_eq!(status(), "200");
    ok(host.hwctl("secret rotate", &[]));
    assert_eq!(status(), "401", "a token of the old key");
    assert_eq!(host.hwctl("plan", &[]).0, 0);
    ok(host.hwctl("rollback", &["--yes"]));
    assert_eq!(status(), "200", "a token of the key that is back");
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

fn a_run_that_fails_is_told_as_undone(host: &Provisioned) {
    with_redis_that_does_not_start(host);
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 4, "{events:#?}");
    let events = ok(host.hwctl("history", &[]));
    let history = events.iter().find(|event| event["event"] == "history").expect("a history");
    let last = &history["runs"][0];
    assert_eq!(last["outcome"], "undone", "{last:#}");
    assert!(last["why"].as_str().is_some_and(|why| why.contains("redis-flask")), "{last:#}");
    let (code, events) = host.hwctl("rollback", &[last["id"].as_str().unwrap(), "--yes"]);
    assert_eq!(code, 1);
    assert!(failure(&events).contains("was undone"), "{events:#?}");
    without_templates(host);
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

fn with_redis_that_does_not_start(host: &Provisioned) {
    let own = include_str!("../../templates/redis/redis.conf");
    template(
        host,
        "redis/redis.conf",
        &own.replace("maxclients 512", "maxclients 512\nno-such-directive yes"),
    );
}

fn what_failed_stays_for_a_look(host: &Provisioned) {
    let failed = |args: &[&str], path: &str| {
        let (code, events) = host.hwctl("provision", &[&["--keep-on-failure"], args].concat());
        assert_eq!((code, outcome(&events).as_str()), (1, "failed"), "{events:#?}");
        assert!(failure(&events).contains("was not undone"), "{events:#?}");
        assert_eq!(runs(&ok(host.hwctl("history", &[])))[0].1, "failed");
        assert!(host.sh_ok(path), "it is as it was when it failed");
    };
    // A change that cannot be made.
    with_redis_that_does_not_start(host);
    failed(
        &["--set", "sites.site1.allow=[10.9.8.7]"],
        "grep -q 10.9.8.7 /etc/nginx/sites-available/homework",
    );
    without_templates(host);
    ok(host.hwctl("rollback", &["--yes"]));
    assert_eq!(host.hwctl("plan", &[]).0, 0);
    // A check from outside.
    let own = include_str!("../../templates/app/env");
    template(host, "app/env", &own.replace("{{ secret(name=\"redis-password\") }}", "wrong"));
    failed(&["--set", "redis.port=6392"], "docker port redis-flask | grep -q 6392");
    without_templates(host);
    ok(host.hwctl("rollback", &["--yes"]));
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

/// Other versions of hwctl come to the host when they only look at it.
fn the_version_of_the_hosts_own_commands_stays(host: &Provisioned) {
    use std::io::Write as _;

    // A unit of the host runs one that no command does.
    let (unit, named) =
        ("/etc/systemd/system/own.service", "/usr/local/lib/hwctl/hwctl-00000000000000aa");
    host.sh(&format!("echo 'ExecStart={named} x' >{unit}; touch -d 2020-01-01 {named}"));
    let own = env!("CARGO_BIN_EXE_hwctl");
    let other = host.folder().join("hwctl");
    std::fs::copy(own, &other).unwrap();
    for _ in 0..4 {
        let mut file = std::fs::OpenOptions::new().append(true).open(&other).unwrap();
        file.write_all(b"another version").unwrap();
        ok(host.hwctl("history", &["--host-binary", other.to_str().unwrap()]));
    }
    assert_eq!(host.sh("ls /usr/local/lib/hwctl/hwctl-* | wc -l"), "5");
    assert!(host.sh_ok(&format!("test -e {named}")), "its unit would not start any more");
    host.sh(&format!("rm {named} {unit}"));
    assert!(host.sh_ok("check-flask"));
}

fn before_the_first_run_there_was_no_stack() {
    let host = Provisioned::fresh("trixie");
    let list = "dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' | grep ' installed'";
    let packages = host.sh(list);
    ok(host.hwctl("provision", &[]));

    let events = ok(host.hwctl("rollback", &["--yes"]));
    assert_eq!(action(&events, "unit flask-app.service"), "stop");
    assert_eq!(action(&events, "file /etc/systemd/system/flask-app.service"), "remove");
    assert!(kept(&events).contains(&"volume flask-app_redis-data"), "{events:#?}");
    assert_eq!(host.sh(list), packages);
    for path in ["/home/ubuntu/Flask-app", "/var/www/main", "/etc/nginx/ssl", "/etc/hwctl"] {
        assert!(!host.sh_ok(&format!("test -e {path}")), "{path}");
    }
    assert!(!host.sh_ok("id flask-app"));
    assert!(!host.answers(443) && !host.answers(80));
    assert_eq!(host.sh("systemctl --failed --no-legend"), "");

    // The images are gone, so this way back is closed, and that is said before anything is done.
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 1);
    let told = failure(&events);
    assert!(told.contains("cannot be brought back") && told.contains("hwctl provision"), "{told}");
    ok(host.hwctl("provision", &[]));
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

fn a_run_whose_engine_is_killed_is_interrupted_and_can_be_taken_back() {
    let host = Provisioned::ready("trixie");
    // The reload of nginx kills the engine in the middle of its run.
    let folder = "/etc/systemd/system/nginx.service.d";
    let kill = "[Service]\nExecReload=\nExecReload=/usr/bin/pkill -9 -f 'hwctl-[0-9a-f]* engine'\n";
    host.sh(&format!(
        "mkdir -p {folder}; printf '{kill}' > {folder}/x.conf; systemctl daemon-reload"
    ));
    let own = include_str!("../../templates/nginx/nginx.conf");
    template(&host, NGINX, &own.replace("keepalive_timeout 65s", "keepalive_timeout 66s"));
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 5, "{events:#?}");
    host.sh(&format!("rm {folder}/x.conf; systemctl daemon-reload"));
    assert_eq!(host.sh("grep -c 'keepalive_timeout 66s' /etc/nginx/nginx.conf"), "1");

    let told = runs(&ok(host.hwctl("history", &[])));
    assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("provision", "interrupted"), "{told:?}");
    ok(host.hwctl("rollback", &["--yes"]));
    assert!(!host.sh_ok("grep -q 'keepalive_timeout 66s' /etc/nginx/nginx.conf"));
    let told = runs(&ok(host.hwctl("history", &[])));
    assert_eq!(told[1].1, "interrupted");
    std::fs::remove_dir_all(host.folder().join("templates")).unwrap();
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

fn a_way_back_that_nginx_does_not_accept_is_refused() {
    let host = Provisioned::ready("trixie");
    let own = include_str!("../../templates/nginx/nginx.conf");
    template(&host, NGINX, &own.replace("worker_rlimit_nofile 16384;", ""));
    ok(host.hwctl("provision", &[]));
    // Since then another file has the directive that the earlier text has too.
    host.sh("echo 'worker_rlimit_nofile 9;' > /etc/nginx/modules-enabled/50-other.conf");
    host.sh("systemctl reload nginx");
    let now = host.sh("sha256sum /etc/nginx/nginx.conf");

    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("line 1 of `/etc/nginx/modules-enabled/50-other.conf`"), "{told}");
    assert!(told.contains("nothing was changed on the host"), "{told}");
    assert_eq!(host.sh("sha256sum /etc/nginx/nginx.conf"), now);
    host.sh("nginx -t -q");
    assert!(host.answers(443));
}

/// A template of nginx's configuration.
const NGINX: &str = "nginx/nginx.conf";

/// Puts a template of the operator's own beside the inventory.
fn template(host: &Provisioned, name: &str, text: &str) {
    let path = host.folder().join("templates").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn without_templates(host: &Provisioned) {
    std::fs::remove_dir_all(host.folder().join("templates")).unwrap();
}
