//! `--only` and `--skip`: a run of a part of the stack changes that part and leaves the others.

use std::fs;
use std::process::Command;

use crate::host::{MARK, Provisioned, causes, changes, failure, outcome};
use serde_json::Value;

crate::tests! {
    Lab: [a_part_is_changed_and_the_others_stay, the_host_knows_its_parts_by_itself],
}

fn a_part_is_changed_and_the_others_stay() {
    let host = Provisioned::ready("trixie");

    a_changed_page_arrives(&host);
    what_is_passed_over_stays_and_is_not_removed(&host);
    a_service_is_judged_by_what_it_was_started_with(&host);
    what_was_wrong_before_does_not_undo_the_run(&host);
    what_the_part_breaks_does(&host);
    a_part_asks_for_its_own_passwords_alone(&host);
    wrong_tags_are_refused(&host);
    a_summary_is_short(&host);
}

/// What a host looks at is what its last run declared, not what the inventory says by now.
fn the_host_knows_its_parts_by_itself() {
    let host = Provisioned::ready("trixie");
    let kept = || host.sh("cat /var/lib/hwctl/parts.json");
    let checks = |command: &str| {
        let document: Value = serde_json::from_str(&host.sh(command)).unwrap();
        let checks = document["hosts"][0]["checks"].as_array().unwrap().clone();
        checks.iter().map(|check| check["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let has_container =
        |name: &str| checks("check-flask --json; true").contains(&format!("container {name}"));
    assert!(has_container("redis-flask"));

    // Another part alone leaves the specs of this one.
    let renamed = ["--set", "redis.container=redis-new"];
    let (code, events) = host.hwctl("provision", &[&renamed[..], &["--only", "sites"]].concat());
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    assert!(has_container("redis-flask"));
    let (code, events) = host.hwctl("provision", &renamed);
    assert_eq!(code, 0, "{events:#?}");
    assert!(has_container("redis-new") && !has_container("redis-flask"));
    let (code, events) = host.hwctl("status", &[]);
    assert_eq!(code, 0, "the inventory names another container: {events:#?}");
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(has_container("redis-flask") && !has_container("redis-new"));

    // A rollback of a run of a version that kept none leaves what is known of the host.
    let (code, events) = host.hwctl("provision", &["--set", "logrotate.keep=9"]);
    assert_eq!(code, 0, "{events:#?}");
    let known = kept();
    host.sh("rm /var/lib/hwctl/runs/*/parts.json");
    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(kept(), known);

    // A host that an older version has provisioned keeps them with the next run, which changes nothing.
    let before = kept();
    host.sh("rm /var/lib/hwctl/parts.json");
    let (code, events) = host.hwctl("status", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    assert_eq!(kept(), before);
    assert!(!before.contains(MARK), "{before}");

    // What a newer version has written is not understood, and nothing is changed.
    host.sh("sed -i 's/\"format\": 1/\"format\": 99/' /var/lib/hwctl/parts.json");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("has format 99"), "{events:#?}");
    for verb in ["status", "plan", "doctor"] {
        let (code, events) = host.hwctl(verb, &[]);
        assert_eq!(code, 1, "{verb}: {events:#?}");
    }
    host.sh("rm /var/lib/hwctl/parts.json");
    assert!(!host.sh_ok("check-flask"), "nobody knows whether the host is healthy");
    host.sh("echo damaged > /var/lib/hwctl/parts.json");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(kept(), before);

    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.sh_ok("test -e /var/lib/hwctl/parts.json"));
}

fn page(host: &Provisioned, text: &str) {
    let folder = host.folder().join("templates/www/site1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("index.html"), format!("<!doctype html><title>{text}</title>")).unwrap();
}

fn a_changed_page_arrives(host: &Provisioned) {
    page(host, "one");
    let (code, events) = host.hwctl("provision", &["--only", "sites"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(changes(&events), ["file /var/www/site1/index.html"]);
    assert!(Provisioned::curl(&[&host.url("/open/")]).contains("<title>one"));
}

fn what_is_passed_over_stays_and_is_not_removed(host: &Provisioned) {
    page(host, "two");
    host.sh("echo '# by hand' >> /etc/nginx/nginx.conf");
    // site2 without users has no file of them: that one is not a part of `nginx`.
    let set = ["--set", "sites.site2.users={}"];
    let (code, events) = host.hwctl("plan", &[&set[..], &["--only", "nginx"]].concat());
    assert_eq!(code, 3);
    assert_eq!(
        causes(&events),
        ["file /etc/nginx/nginx.conf", "file /etc/nginx/sites-available/homework"]
    );
    let (code, events) = host.hwctl("plan", &[&set[..], &["--skip", "nginx"]].concat());
    assert_eq!(code, 3);
    // The landing page no longer shows a lock.
    let pages = ["file /var/www/main/index.html", "file /var/www/site1/index.html"];
    assert_eq!(causes(&events), pages);
    assert!(changes(&events).contains(&"file /etc/nginx/.htpasswd"), "{events:#?}");
    let parts = ["--only", "nginx,sites", "--skip", "sites"];
    let (code, events) = host.hwctl("provision", &parts);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(causes(&events), ["file /etc/nginx/nginx.conf"]);
    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (3, vec!["file /var/www/site1/index.html"]));
    assert_eq!(host.hwctl("provision", &[]).0, 0);
}

/// A command may have a person type something, so it runs only for a part that needs its password.
fn a_part_asks_for_its_own_passwords_alone(host: &Provisioned) {
    let asks = |name: &str| {
        let command = format!("echo {name} >> asked; printf %s-password {name}");
        let path = format!("{name}.users");
        let users = format!("{path}={{ admin: {{ command: [sh, -c, '{command}'] }} }}");
        ["--set".to_owned(), users]
    };
    let sets = [asks("api"), asks("sites.site2")].concat();
    let asked = |verb: &str, args: &[&str]| {
        let sets = sets.iter().map(String::as_str);
        let args: Vec<_> = sets.chain(args.iter().copied()).collect();
        let (code, events) = host.hwctl(verb, &args);
        let path = host.folder().join("asked");
        let words = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let mut words: Vec<_> = words.lines().map(str::to_owned).collect();
        words.sort();
        (code, words, events)
    };

    for part in ["nginx", "redis", "tls", "firewall", "host"] {
        let (code, words, events) = asked("plan", &["--only", part]);
        assert_eq!((code, words.len(), changes(&events).len()), (0, 0, 0), "{part}: {words:?}");
    }
    let (code, words, events) = asked("plan", &["--only", "api"]);
    assert_eq!((code, words), (3, vec!["api".to_owned()]), "{events:#?}");
    assert_eq!(causes(&events), ["file /etc/hwctl/api/env"]);
    let (_, words, _) = asked("plan", &["--skip", "api"]);
    assert_eq!(words, ["sites.site2"]);
    let (_, words, _) = asked("plan", &[]);
    assert_eq!(words, ["api", "sites.site2"]);
    let (code, words, events) = asked("cert renew", &["--check"]);
    assert_eq!((code, words.len()), (3, 0), "{events:#?}");
}

/// nginx reads the certificate, which is of another part.
fn a_service_is_judged_by_what_it_was_started_with(host: &Provisioned) {
    for tag in ["nginx", "api", "redis", "firewall"] {
        let (code, events) = host.hwctl("plan", &["--only", tag]);
        assert_eq!((code, changes(&events)), (0, vec![]), "{tag}");
    }
    // A new certificate alone: nginx is told by the next run of its part, and stays told.
    host.sh("rm /etc/nginx/ssl/homework.crt");
    let (code, events) = host.hwctl("provision", &["--only", "tls"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    for args in [&["--only", "nginx"][..], &[]] {
        let (code, events) = host.hwctl("plan", args);
        assert_eq!((code, changes(&events)), (3, vec!["unit nginx.service"]), "{args:?}");
    }
    assert_eq!(host.hwctl("provision", &["--only", "nginx"]).0, 0);
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

fn warnings(events: &[Value]) -> String {
    let warnings = events.iter().filter(|event| event["event"] == "warning");
    warnings.map(ToString::to_string).collect()
}

fn what_was_wrong_before_does_not_undo_the_run(host: &Provisioned) {
    host.sh("docker stop redis-flask");
    page(host, "three");
    let (code, events) = host.hwctl("provision", &["--only", "sites"]);
    assert_eq!(code, 0, "{events:#?}");
    let told = warnings(&events);
    assert!(told.contains("already failing before this run, and still failing: "), "{told}");
    assert!(told.contains("/flask/api/health (503"), "{told}");
    let (code, events) = host.hwctl("provision", &["--only", "redis"]);
    assert_eq!((code, causes(&events)), (0, vec!["container redis-flask"]), "{events:#?}");
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

fn what_the_part_breaks_does(host: &Provisioned) {
    let template = fs::read_to_string("templates/nginx/homework").unwrap();
    let folder = host.folder().join("templates/nginx");
    fs::create_dir_all(&folder).unwrap();
    let broken = template
        .replace("location ^~ {{ app.path_with_slash | nginx }} {", "location ^~ /elsewhere/ {");
    assert!(broken != template, "the template has another place for the API");
    fs::write(folder.join("homework"), broken).unwrap();
    let (code, events) = host.hwctl("provision", &["--only", "nginx"]);
    assert_eq!(code, 4, "{events:#?}");
    assert!(failure(&events).contains("/flask/api/ping"), "{events:#?}");
    // What only shows while it is taken up: an address that is not the host's. nginx's own test of
    // the configuration passes, and so does `systemctl reload`.
    let lying = template.replacen("    listen 80;", "    listen 80;\n    listen 192.0.2.1:81;", 1);
    fs::write(folder.join("homework"), lying).unwrap();
    let (code, events) = host.hwctl("provision", &["--only", "nginx"]);
    assert_eq!(code, 4, "{events:#?}");
    assert!(failure(&events).contains("192.0.2.1:81 failed (99"), "{events:#?}");
    fs::remove_file(folder.join("homework")).unwrap();
    assert_eq!(host.hwctl("plan", &[]).0, 0);
}

/// Counts of each part, and none of their changes.
fn a_summary_is_short(host: &Provisioned) {
    let plan = host.command("plan", &["--summary", "--set", "logrotate.keep=13"]);
    let args = plan.get_args().filter(|arg| *arg != "--json");

    let output =
        Command::new(plan.get_program()).args(args).current_dir(host.folder()).output().unwrap();

    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("vm: 1 change: host 1"), "{told}");
    assert!(told.lines().count() <= 3 && !told.contains("rotate 13"), "{told}");
}

fn wrong_tags_are_refused(host: &Provisioned) {
    for (args, near) in [(["--only", "site"], "`sites`"), (["--skip", "sites,ngnix"], "`nginx`")] {
        let (code, events) = host.hwctl("provision", &args);
        assert_eq!(code, 2, "{events:#?}");
        let told = failure(&events);
        assert!(told.contains("there is no part `") && told.contains(near), "{told}");
        assert!(told.contains("There are packages, tls, sites, nginx, redis, api"), "{told}");
        assert!(told.contains("no host was contacted"), "{told}");
    }
    let (code, events) = host.hwctl("restart", &["ngnix"]);
    assert_eq!(code, 2, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("`ngnix`") && told.contains("did you mean `nginx`?"), "{told}");
    let (code, events) = host.hwctl("restart", &["firewall"]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("there is nothing to restart called `firewall`"));
    let (code, events) = host.hwctl("plan", &["--only", "sites", "--skip", "sites"]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("excludes every part"), "{events:#?}");
}
