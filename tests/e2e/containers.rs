//! Containers of the operator's own: a database and a worker beside the built-in stack, with one image that the lab has.

use std::fs;

use crate::host::{Provisioned, action, causes, changes, failure, lab, outcome, wait_until};
use serde_json::Value;

crate::tests! {
    Lab: [
        containers_are_provisioned_changed_undone_and_removed,
        a_port_is_open_to_its_network_alone,
        what_cannot_be_is_refused_before_anything_begins,
    ],
}

const SECRET: &str = "marked-secret-of-a-container";
/// Serves what it has on its port, and its environment only by what it does.
const SERVE: &str = "[sh, -c, 'echo \"$GREETING\" > /data/greeting; test \"$(printf %s \"$DB_PASSWORD\" | busybox wc -c)\" = 28 || exit 7; exec busybox httpd -f -p 8080 -h /data']";

/// Puts `containers` into the inventory, in place of those that are there.
fn declare(host: &Provisioned, containers: &str) {
    let path = host.folder().join("inventory.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let begin = text.find("    containers:\n").unwrap_or_else(|| text.find("  hosts:\n").unwrap());
    let end = text.find("  hosts:\n").unwrap();
    let block = match containers.trim_end() {
        "" => String::new(),
        lines => format!("    containers:\n      {}\n", lines.replace('\n', "\n      ")),
    };
    fs::write(&path, format!("{}{block}{}", &text[..begin], &text[end..])).unwrap();
}

fn shop(extra: &str) -> String {
    format!(
        "shop-db:\n  image: redis:7-alpine\n  image_archive: {}\n  user: 999:1000\n  command: {SERVE}\n  \
         env: {{ GREETING: hello, DB_PASSWORD: {{ file: db-password }}, TOKEN: {{ made: shop-token }} }}\n  \
         volumes: [shop-data:/data]\n  ports: [{{ port: 5432, to: 8080 }}]\n  networks: [shop]\n{extra}",
        lab().redis_archive().unwrap().display(),
    )
}

fn provision(host: &Provisioned, code: i32) -> Vec<Value> {
    let (found, events) = host.hwctl("provision", &[]);
    assert_eq!(found, code, "{events:#?}");
    events
}

fn greeting(host: &Provisioned) -> String {
    host.sh("curl -s -m 5 http://127.0.0.1:5432/greeting || true")
}

fn containers_are_provisioned_changed_undone_and_removed() {
    let host = Provisioned::ready("trixie");
    fs::write(host.folder().join("db-password"), SECRET).unwrap();

    they_are_made_and_stay(&host);
    the_secret_shows_nowhere(&host);
    the_verbs_know_them(&host);
    a_change_of_the_environment_restarts_it(&host);
    a_bad_new_version_is_undone(&host);
    a_new_image_keeps_the_data(&host);
    without_an_entry_it_goes_and_its_data_stays(&host);
}

fn they_are_made_and_stay(host: &Provisioned) {
    let worker = "worker:\n  image: redis:7-alpine\n  command: [sh, -c, 'until busybox nc -w 1 shop-db 8080 </dev/null; do busybox sleep 0.1; done; echo found it; exec busybox sleep 1000000']\n  networks: [shop]\n  depends: [shop-db]\n  tmpfs: [/tmp, /data]\n  memory: 32M\n";
    declare(host, &shop(worker));

    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!(code, 3, "{events:#?}");
    let planned = changes(&events);
    for id in [
        "container shop-db",
        "container worker",
        "volume shop-data",
        "network shop",
        "secret shop-token",
        "file /etc/hwctl/containers/shop-db.env",
    ] {
        assert!(planned.contains(&id), "{id}: {planned:?}");
    }
    for id in ["container redis-flask", "unit docker.service", "unit nginx.service"] {
        assert!(!planned.contains(&id), "{id}: {planned:?}");
    }
    provision(host, 0);

    assert_eq!(greeting(host), "hello");
    wait_until("the worker reaches the database by its name", || {
        host.sh("docker logs worker 2>&1").contains("found it")
    });
    let events = provision(host, 0);
    assert_eq!(outcome(&events), "unchanged", "{events:#?}");
    let inspected = host.sh("docker inspect shop-db worker");
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    for container in inspected.as_array().unwrap() {
        let config = &container["HostConfig"];
        assert_eq!(config["ReadonlyRootfs"], true);
        assert_eq!(config["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(config["SecurityOpt"], serde_json::json!(["no-new-privileges"]));
    }
    assert_eq!(inspected[0]["HostConfig"]["PortBindings"]["8080/tcp"][0]["HostIp"], "127.0.0.1");
}

fn the_secret_shows_nowhere(host: &Provisioned) {
    // `Provisioned::read` looks at all that hwctl has printed.
    for command in [
        "docker inspect shop-db",
        "docker logs shop-db 2>&1",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
        "cat /var/lib/hwctl/parts.json",
        "cat /var/lib/hwctl/manifest",
        "runuser -u ubuntu -- sh -c 'cat /proc/[0-9]*/environ 2>/dev/null | tr \"\\0\" \"\\n\"' || true",
        "journalctl --no-pager --all | tail -n 3000",
    ] {
        assert!(!host.sh(command).contains(SECRET), "{command}");
    }
    let made = host.sh("cat /var/lib/hwctl/secrets/shop-token");
    assert!(!host.sh("docker inspect shop-db").contains(&made));
    assert_eq!(host.sh("stat -c '%a %u %g' /etc/hwctl/containers/shop-db.env"), "400 999 1000");
    assert!(
        host.sh("cat /etc/hwctl/containers/shop-db.env").contains(&format!("TOKEN=\"{made}\""))
    );
}

fn the_verbs_know_them(host: &Provisioned) {
    let (code, documents) = host.hwctl("status", &[]);
    assert_eq!(code, 0, "{documents:#?}");
    let told = documents[0].to_string();
    assert!(told.contains("container shop-db") && told.contains("container worker"), "{told}");
    assert_eq!(told.matches("\"docker.service\"").count(), 1, "{told}");
    let started = "docker inspect -f '{{.State.StartedAt}}' worker";
    let before = host.sh(started);
    let (code, events) = host.hwctl("restart worker", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_ne!(host.sh(started), before);
    let (code, events) = host.hwctl("logs worker", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(events.iter().any(|line| line.to_string().contains("found it")), "{events:#?}");

    host.sh("docker stop -t 1 shop-db");
    let (_, events) = host.hwctl("doctor", &[]);
    assert!(
        events.iter().any(|event| event.to_string().contains("container-stopped")),
        "{events:#?}"
    );
    let (code, events) = host.hwctl("status", &[]);
    assert_eq!(code, 1, "{events:#?}");
    let events = provision(host, 0);
    assert_eq!(action(&events, "container shop-db"), "start", "{events:#?}");
}

fn a_change_of_the_environment_restarts_it(host: &Provisioned) {
    declare(host, &shop("").replace("GREETING: hello", "GREETING: \"a $b `c` \\\\ d\""));

    let events = provision(host, 0);

    assert_eq!(causes(&events), ["file /etc/hwctl/containers/shop-db.env"]);
    assert_eq!(action(&events, "container worker"), "remove", "{events:#?}");
    assert!(changes(&events).contains(&"container shop-db"), "{events:#?}");
    assert_eq!(greeting(host), "a $b `c` \\ d");
    assert!(!host.sh_ok("docker inspect worker"), "it is no longer in the inventory");
}

fn a_bad_new_version_is_undone(host: &Provisioned) {
    let id = host.sh("docker inspect -f '{{.Id}}' shop-db");
    for (from, to) in [
        ("user: 999:1000", "user: 999:1000\n  health: [sh, -c, 'exit 1']"),
        ("exec busybox httpd", "exit 3; exec busybox httpd"),
    ] {
        declare(host, &shop("").replace(from, to));

        let (code, events) = host.hwctl("provision", &[]);

        assert_eq!(code, 4, "{events:#?}");
        let told = failure(&events);
        assert!(told.contains("the running one was not touched"), "{told}");
        assert_eq!(host.sh("docker inspect -f '{{.Id}}' shop-db"), id);
        assert_eq!(greeting(host), "a $b `c` \\ d");
    }
}

fn a_new_image_keeps_the_data(host: &Provisioned) {
    host.sh("docker exec shop-db sh -c 'echo precious > /data/kept' && docker tag redis:7-alpine shop:2");
    declare(
        host,
        &shop("").replace("image: redis:7-alpine", "image: shop:2").replace("image_archive", "#"),
    );

    let events = provision(host, 0);

    assert!(changes(&events).contains(&"container shop-db"), "{events:#?}");
    assert_eq!(host.sh("curl -s http://127.0.0.1:5432/kept"), "precious");
    assert_eq!(greeting(host), "hello");
}

fn without_an_entry_it_goes_and_its_data_stays(host: &Provisioned) {
    declare(host, "");

    provision(host, 0);

    assert!(!host.sh_ok("docker inspect shop-db"));
    assert!(!host.sh_ok("docker network inspect shop"));
    assert!(!host.sh_ok("test -e /etc/hwctl/containers/shop-db.env"));
    assert!(host.sh_ok("docker volume inspect shop-data"));
    assert!(host.sh("docker run --rm -v shop-data:/data redis:7-alpine sh -c 'read -r a </data/kept; echo $a'").contains("precious"));
    assert!(host.sh_ok("check-flask"));
}

fn a_port_is_open_to_its_network_alone() {
    let host = Provisioned::ready("trixie");
    let web = |from: &str| {
        format!(
            "web:\n  image: redis:7-alpine\n  tmpfs: [/data]\n  volumes: [{{ path: /srv/web, target: /www }}]\n  command: [busybox, httpd, -f, -p, 8080, -h, /www]\n  \
             ports: [{{ port: 8081, to: 8080, from: {from} }}]\n"
        )
    };
    let address = host.sh("ip -4 -o route get 1.1.1.1 2>/dev/null || ip -4 route show default");
    let gateway =
        address.split_whitespace().skip_while(|word| *word != "via").nth(1).unwrap().to_owned();

    declare(&host, &web(&format!("{gateway}/32")));
    provision(&host, 0);
    assert!(host.answers_within(8081, std::time::Duration::from_secs(3)));
    assert_eq!(host.sh("stat -c '%a %U' /srv/web"), "750 root");
    host.sh("echo a folder of the host >/srv/web/page && chmod 644 /srv/web/page");
    let page = Provisioned::curl(&[&format!("http://{}:8081/page", host.host.address)]);
    assert_eq!(page, "a folder of the host\n");
    let events = provision(&host, 0);
    assert_eq!(outcome(&events), "unchanged", "{events:#?}");

    declare(&host, &web("203.0.113.0/24"));
    let events = provision(&host, 0);
    assert!(changes(&events).contains(&"firewall ufw"), "{events:#?}");
    assert!(!host.answers(8081));
    assert!(host.sh("iptables -S DOCKER-USER").contains("-s 203.0.113.0/24"));
    assert!(host.sh("ufw status").contains("8081/tcp"));

    declare(&host, "");
    provision(&host, 0);
    assert!(!host.sh("iptables -S DOCKER-USER").contains("8081"));
    assert!(host.sh_ok("test -e /srv/web/page"), "what is in the folder is the operator's");
}

fn what_cannot_be_is_refused_before_anything_begins() {
    let host = Provisioned::ready("trixie");
    let base = "image: redis:7-alpine";
    for (containers, expected) in [
        (format!("db:\n  {base}\n  ports: [6379]\n"), "two parts would listen on port 6379"),
        (format!("db:\n  {base}\n  ports: [443]\n"), "cannot have 443: that port is nginx's"),
        (format!("db:\n  {base}\n  ports: [22]\n"), "cannot have 22: that port is ssh's"),
        (format!("nginx:\n  {base}\n"), "two parts are called `nginx`"),
        (format!("redis-flask:\n  {base}\n"), "two parts would have the container `redis-flask`"),
        (
            format!("db:\n  {base}\n  volumes: [flask-app_redis-data:/x]\n"),
            "two parts would have the volume",
        ),
        (
            format!("db:\n  {base}\n  user: postgres\n"),
            "`containers.db.user` takes the number of a user",
        ),
        (format!("db:\n  {base}\n  depends: [cache]\n"), "there is no such container"),
        (
            format!("db:\n  {base}\n  volumes: [{{ path: /etc/x, target: /x }}]\n"),
            "it is a folder of the system",
        ),
        (
            format!("db:\n  {base}\n  memory: much\n"),
            "`containers.db.memory` takes an amount of memory",
        ),
        (format!("db:\n  {base}\n  env: {{ A: [1] }}\n"), "`containers.db.env.A` takes the value"),
        ("db:\n  ports: [5432]\n".to_owned(), "`containers.db` lacks `image`"),
    ] {
        declare(&host, &containers);

        let (code, events) = host.hwctl("provision", &[]);

        assert_eq!(code, 2, "{containers}: {events:#?}");
        let told = failure(&events);
        assert!(told.contains(expected), "{expected:?} is not in {told}");
        assert!(told.contains("inventory.yaml:"), "{told}");
    }

    declare(&host, "db:\n  image: 127.0.0.1:5999/absent:1\n");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("does not reach the registry `127.0.0.1:5999`"), "{told}");
    assert!(told.contains("`containers.db.image` cannot be pulled"), "{told}");
    assert!(told.contains("nothing was changed"), "{told}");

    // What the image keeps would be lost with the next change of it.
    declare(&host, &format!("db:\n  {base}\n"));
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("nothing was changed"), "{told}");
    assert!(told.contains("keeps data at `/data`, and no volume is there"), "{told}");
    assert!(told.contains("add `db-data:/data` to `containers.db.volumes`"), "{told}");

    host.sh("docker run -d --name db redis:7-alpine && ln -s /etc /srv/link");
    declare(&host, &format!("db:\n  {base}\n"));
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("a container `db` that hwctl has not made"), "{events:#?}");
    assert!(host.sh_ok("docker rm -f db"));
    declare(&host, &format!("db:\n  {base}\n  volumes: [{{ path: /srv/link, target: /x }}]\n"));
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("/srv/link"), "{events:#?}");
}
