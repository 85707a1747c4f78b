//! A balancer in front of web hosts: who gets through and as whom, and what clients notice when a web host ends.

pub(crate) mod neighbors;
mod pool;
pub(crate) mod tokens;
pub(crate) mod virtual_address;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{MARK, Provisioned, wait_until};
use crate::load::{Answer, CONNECTIONS, Load, told};
use pool::{Pool, ended, outcomes};

crate::tests! {
    Lab: [a_balancer_passes_clients_on_to_two_web_hosts],
}

/// Most requests that may fail when a web host ends, as a share of those within [`WINDOW`].
const MAX_FAILED: f64 = 0.01;
/// The same where nginx lives and answers 502 for the API until a check has failed twice. One in three requests is to the API.
const MAX_FAILED_BY_API: f64 = 0.05;
/// Within this time after a web host has ended, requests may fail, and later none.
const WINDOW: Duration = Duration::from_secs(5);
const PATHS: [&str; 3] = ["/", "/open/", "/flask/api/ping"];

fn a_balancer_passes_clients_on_to_two_web_hosts() {
    let pool = Pool::fresh("trixie", 2);

    let events = pool.must("provision", &[]);
    assert_eq!(ended(&events).last().map(String::as_str), Some("lb"), "what is in front is last");
    let events = pool.must("provision", &[]);
    assert_eq!(outcomes(&events), ["lb unchanged", "web1 unchanged", "web2 unchanged"]);
    for verb in ["status", "verify", "doctor"] {
        pool.must(verb, &[]);
    }
    assert_eq!(pool.servers(), ["web1 ok", "web2 ok"]);

    for path in PATHS {
        assert_eq!(pool.status(path, &[]), "200", "{path}");
    }
    let redirect = Provisioned::curl(&["-i", &pool.lb.http_url("/open/?a=b")]);
    assert!(redirect.starts_with("HTTP/1.1 301"), "{redirect}");
    assert!(redirect.contains(&format!("location: {}", pool.lb.url("/open/?a=b"))), "{redirect}");
    clients_are_who_they_are(&pool);
    the_balancer_is_closed_and_small(&pool);
    verbs_know_the_balancer(&pool);
    a_web_host_that_ends_costs_little(&pool);
    a_drained_host_stays_so_over_a_reload(&pool);
    web_hosts_take_turns(&pool);
    a_web_host_that_fails_stops_the_others(&pool);
    a_web_host_that_is_not_reached_stays(&pool);
    a_web_host_that_leaves_the_inventory_leaves_the_balancer(&pool);
    all_is_given_back(&pool);
}

fn clients_are_who_they_are(pool: &Pool) {
    let login = format!("admin:{MARK}site");
    let web2 = &pool.web[1];
    // The list of `/close` has this machine's address, and not that of a web host.
    assert_eq!(pool.status("/close/", &["-u", &login]), "200");
    assert_eq!(pool.status("/close/", &[]), "401");
    let forbidden = |more: &str| pool.status_for(web2, "/close/", &format!("-u {login} {more}"));
    assert_eq!(forbidden(""), "403");
    let operator = pool.operator();
    for header in ["X-Forwarded-For", "X-Real-IP", "Forwarded"] {
        assert_eq!(forbidden(&format!("-H '{header}: {operator}'")), "403", "{header}");
    }
    // curl says with this option that it is a proxy, before the first byte of TLS.
    assert_eq!(forbidden("--haproxy-protocol"), "000");
    // The port for balancers is closed to all others, with and without what they say of themselves.
    let web1 = pool.web[0].host.address;
    assert!(!pool.web[0].answers(8443));
    let stranger =
        format!("curl -sk -m 2 -o /dev/null -w '%{{http_code}}' https://{web1}:8443/; :");
    assert_eq!(web2.sh(&stranger), "000");
    assert_eq!(web2.sh(&stranger.replace("-sk", "-sk --haproxy-protocol")), "000");
    // Logs have the client.
    let seen = |of: &Provisioned| of.sh("cat /var/log/nginx/site2_access.log");
    let logs = pool.web.iter().map(seen).collect::<String>();
    let from = |address: &str| logs.lines().any(|line| line.starts_with(&format!("{address} ")));
    assert!(from(&operator) && from(&web2.host.address.to_string()), "{logs}");
    assert!(!from(&pool.lb.host.address.to_string()), "{logs}");
}

fn the_balancer_is_closed_and_small(pool: &Pool) {
    let open = "ss -Hltn | awk '{print $4}' | grep -v '^127[.]' | sed 's/.*://' | sort -nu | xargs";
    assert_eq!(pool.lb.sh(open), "22 80 443");
    let metrics = pool.lb.sh("curl -s http://127.0.0.1:8405/metrics");
    for server in ["web1", "web2"] {
        let up =
            format!("haproxy_server_status{{proxy=\"web\",server=\"{server}\",state=\"UP\"}} 1");
        assert!(metrics.contains(&up), "{metrics}");
    }
    let other = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8405/";
    assert_eq!(pool.lb.sh(other), "404");
    assert_eq!(pool.lb.sh("stat -c '%a %U' /run/hwctl-balancer"), "700 root");
    let level = pool.lb.sh("systemd-analyze security hwctl-balancer.service | tail -1");
    let level = level.split_whitespace().find_map(|word| word.parse::<f32>().ok());
    assert!(level.is_some_and(|level| level < 3.0), "{level:?}");
    // The service of the package is off.
    assert_eq!(
        pool.lb.sh("systemctl is-enabled haproxy; systemctl is-active haproxy; :"),
        "disabled\ninactive"
    );
    assert!(!pool.lb.sh_ok("su -s /bin/sh nobody -c 'ls /run/hwctl-balancer'"));
}

fn verbs_know_the_balancer(pool: &Pool) {
    let load = Load::start_with(8, &pool.target(), &PATHS, Duration::from_millis(20));
    for _ in 0..2 {
        pool.must("restart", &["balancer", "--limit", "lb"]);
    }
    let answers = load.end();
    assert!(answers.len() > 100 && answers.iter().all(Answer::is_ok), "{}", told(&answers));
    let events = pool.must("logs", &["balancer", "--limit", "lb", "-n", "20"]);
    assert!(events.iter().any(|event| event["log"] == "balancer"), "{events:#?}");
    pool.lb.sh("systemctl stop hwctl-balancer");
    let (code, documents) = pool.hwctl("doctor", &["--limit", "lb"]);
    assert_eq!(code, 1, "{documents:#?}");
    assert!(format!("{documents:?}").contains("HAProxy does not run"), "{documents:#?}");
    pool.must("doctor", &["--limit", "lb", "--fix"]);
    pool.must("verify", &["--limit", "lb"]);
}

/// How many requests fail while `fault` goes on under load.
fn cost_of(pool: &Pool, name: &str, most: f64, fault: impl FnOnce()) {
    let load = Load::start_with(CONNECTIONS, &pool.target(), &PATHS, Duration::from_millis(20));
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    fault();
    std::thread::sleep(WINDOW + Duration::from_secs(3));
    let answers = load.end();
    let (during, other): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.ended >= began && answer.began <= began + WINDOW);
    let failed = during.iter().filter(|answer| !answer.is_ok()).count();
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let share = failed as f64 / during.len().max(1) as f64;
    crate::harness::say(&format!("{name}: {failed} of {} requests failed", during.len()));
    assert!(during.len() > 500 && share <= most, "{name}: {}", told(&answers));
    assert!(other.iter().all(|answer| answer.is_ok()), "{name}: {}", told(&answers));
}

fn a_web_host_that_ends_costs_little(pool: &Pool) {
    let web1 = &pool.web[0];
    let down = ["web1 down", "web2 ok"];
    let up = ["web1 ok", "web2 ok"];
    // Any way but a stop: systemd would start it again at once.
    let ways = [
        ("stopped", "systemctl stop nginx", "systemctl start nginx"),
        (
            "killed",
            "systemctl mask --runtime nginx; systemctl kill -s KILL nginx",
            "systemctl unmask --runtime nginx; systemctl reset-failed nginx; systemctl start nginx",
        ),
        ("frozen", "systemctl kill -s STOP nginx", "systemctl kill -s CONT nginx"),
    ];
    for (name, fault, end) in ways {
        cost_of(pool, name, MAX_FAILED, || drop(web1.sh(fault)));
        assert_eq!(pool.servers(), down, "{name}");
        let (code, documents) = pool.hwctl("doctor", &["--limit", "lb"]);
        assert_eq!(code, 1, "{name}: {documents:#?}");
        assert!(format!("{documents:?}").contains("`web1` gets no work"), "{documents:#?}");
        web1.sh(end);
        wait_until("the host is back", || pool.servers() == up);
    }
    // The API alone: pages of both hosts go on, and work goes to the other one.
    cost_of(pool, "the API stopped", MAX_FAILED_BY_API, || {
        drop(web1.sh("systemctl stop flask-app.socket flask-app.service"));
    });
    assert_eq!(pool.servers(), down);
    // Without any host that can do its work, those that answer serve their pages.
    pool.web[1].sh("systemctl stop flask-app.socket flask-app.service");
    wait_until("pages are served", || {
        pool.status("/open/", &[]) == "200" && pool.status("/flask/api/ping", &[]) == "502"
    });
    for host in &pool.web {
        host.sh("systemctl start flask-app.socket flask-app.service");
    }
    wait_until("both hosts are back", || pool.servers() == up);
}

fn a_drained_host_stays_so_over_a_reload(pool: &Pool) {
    let ask = |command: &str| {
        pool.lb.sh(&format!(
            "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); \
             s.connect(\"/run/hwctl-balancer/admin.sock\"); s.sendall(b\"{command}\\n\"); \
             print(s.makefile().read())'"
        ))
    };
    ask("set server web/web1 state drain");
    pool.must("restart", &["balancer", "--limit", "lb"]);
    assert!(
        ask("show stat")
            .lines()
            .any(|line| line.starts_with("web,web1,") && line.contains(",DRAIN,"))
    );
    // A restart begins anew.
    pool.lb.sh("systemctl restart hwctl-balancer");
    assert!(
        ask("show stat").lines().any(|line| line.starts_with("web,web1,") && line.contains(",UP,"))
    );
}

/// Which web hosts got no work from the balancer, and then some again, in this order.
fn turns(events: &[Value]) -> Vec<String> {
    let steps = events.iter().filter(|event| event["event"] == "step");
    let turn = |step: &Value| {
        let turn = step["message"].as_str()?.strip_prefix("`lb` gives this host ")?;
        Some(format!("{}: {turn}", step["host"].as_str()?))
    };
    steps.filter_map(turn).collect()
}

fn web_hosts_take_turns(pool: &Pool) {
    let load = Load::start_with(CONNECTIONS, &pool.target(), &PATHS, Duration::from_millis(50));
    let events = pool.must("restart", &["api", "--limit", "web*"]);
    let mut first_turns = turns(&events);
    let second_turns = first_turns.split_off(2);
    for (turn, again) in [(&first_turns, &second_turns), (&second_turns, &first_turns)] {
        let host = turn[0].split(':').next().unwrap();
        assert_eq!(turn[..], [format!("{host}: no more work"), format!("{host}: work again")]);
        assert!(again.iter().all(|other| !other.starts_with(host)), "{again:?}");
    }
    let events = pool.must("provision", &["--set", "api.workers=3"]);
    assert_eq!(turns(&events).len(), 4, "{events:#?}");
    let answers = load.end();
    assert!(answers.len() > 1000 && answers.iter().all(Answer::is_ok), "{}", told(&answers));
    assert_eq!(pool.servers(), ["web1 ok", "web2 ok"]);
    // What changes nothing takes nobody away.
    assert!(turns(&pool.must("provision", &["--set", "api.workers=3"])).is_empty());
}

fn a_web_host_that_fails_stops_the_others(pool: &Pool) {
    pool.lb.break_at_the_end();
    let (code, events) = pool.hwctl("provision", &["--only", "nginx", "--limit", "web*"]);
    assert_eq!(code, 4, "{events:#?}");
    let mut outcomes: Vec<String> =
        outcomes(&events).iter().map(|it| it.split(' ').nth(1).unwrap().to_owned()).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["skipped", "undone"], "{events:#?}");
    pool.lb.mend();
    assert_eq!(turns(&events).len(), 2, "{events:#?}");
    assert_eq!(pool.servers(), ["web1 ok", "web2 ok"]);
    pool.must("provision", &[]);
}

fn a_web_host_that_is_not_reached_stays(pool: &Pool) {
    let before = pool.lb.sh("cat /etc/hwctl/balancer/haproxy.cfg");
    pool.web[1].host.cut_network().unwrap();
    let args = ["--connect-timeout", "3"];
    let (code, events) = pool.hwctl("provision", &args);
    assert_eq!(code, 5, "{events:#?}");
    assert_eq!(outcomes(&events), ["lb unchanged", "web1 unchanged", "web2 unreachable"]);
    let warned = events.iter().any(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["event"] == "warning"
            && event["host"] == "lb"
            && message.starts_with("`web2` was not reached")
    });
    assert!(warned, "{events:#?}");
    assert_eq!(pool.lb.sh("cat /etc/hwctl/balancer/haproxy.cfg"), before);
    assert_eq!(pool.status("/", &[]), "200");
    pool.web[1].host.restore_network().unwrap();
    wait_until("the host is back", || pool.servers() == ["web1 ok", "web2 ok"]);
}

fn a_web_host_that_leaves_the_inventory_leaves_the_balancer(pool: &Pool) {
    pool.declare(1, "      balancer: { port: 9443 }\n");
    let events = pool.must("provision", &[]);
    let plan = events.iter().find(|event| event["event"] == "plan" && event["host"] == "lb");
    let plan = plan.expect("a plan of the balancer").to_string();
    assert!(plan.contains("file /etc/hwctl/balancer/haproxy.cfg"), "{plan}");
    assert_eq!(pool.servers(), ["web1 ok"]);
    let address = pool.web[0].host.address;
    let servers = pool.lb.sh("grep '^ *server ' /etc/hwctl/balancer/haproxy.cfg | sort -u");
    assert_eq!(servers.trim(), format!("server web1 {address}:9443"));
    assert!(!pool.web[0].sh("ss -Hltn").contains(":8443 "));
    assert_eq!(pool.status("/flask/api/ping", &[]), "200");
}

fn all_is_given_back(pool: &Pool) {
    pool.declare(2, "");
    let events = pool.must("destroy", &["--yes"]);
    assert_eq!(
        ended(&events).first().map(String::as_str),
        Some("lb"),
        "what is in front goes first"
    );
    let left = pool
        .lb
        .sh("ls -d /etc/hwctl/balancer /etc/systemd/system/hwctl-balancer* /run/hwctl-balancer 2>/dev/null; \
         dpkg -l haproxy 2>/dev/null | grep ^ii; ss -Hltn '( sport = :443 or sport = :80 )'; :");
    assert_eq!(left, "");
    // As with `apt-get remove`, configuration files of packages stay.
    let left = "ls -d /etc/nginx/sites-*/homework /etc/hwctl/api 2>/dev/null; \
                ss -Hltn '( sport = :443 or sport = :8443 or sport = :9443 )'; :";
    for host in &pool.web {
        assert_eq!(host.sh(left), "");
    }
}
