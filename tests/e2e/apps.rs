//! The operator's own apps: each kind is provisioned, and a new version takes the place of the old one while somebody uses
//! it, without a request lost.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::host::{Provisioned, changes, failure, outcome};
use crate::load::{Load, Target, assert_none_failed, told};

crate::tests! {
    Lab: [
        an_app_with_a_port_is_deployed_without_a_lost_request,
        an_app_with_a_socket_of_systemd_is_deployed_without_a_lost_request,
        an_app_of_its_own_name_is_built_on_the_host,
        what_cannot_be_is_refused_with_its_place,
    ],
}

/// An app of Python's standard library alone, which listens where its variables say.
const APP: &str = r#"
import os, socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        broken = os.environ.get("BROKEN") and self.path.endswith("/healthz")
        body = ("VERSION %s %s\n" % (os.environ.get("GREETING"), bool(os.environ.get("TOKEN")))).encode()
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "nginx"

class Server(ThreadingHTTPServer):
    request_queue_size = 1024

if os.environ.get("LISTEN_FDS"):
    server = Server(("", 0), Handler, bind_and_activate=False)
    server.socket = socket.socket(fileno=3)
    server.server_name, server.server_port = "shop", 0
else:
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.serve_forever()
"#;

/// A host with an inventory beside its own that has apps.
struct Shop {
    host: Provisioned,
}

impl Shop {
    fn new() -> Self {
        Self { host: Provisioned::ready("trixie") }
    }

    fn write(&self, version: &str, apps: &str) {
        let folder = self.host.folder();
        fs::create_dir_all(folder.join("shop")).unwrap();
        fs::write(folder.join("shop/app.py"), APP.replace("VERSION", version)).unwrap();
        fs::write(folder.join("apps.yaml"), format!("all:\n  vars:\n    apps:\n{apps}")).unwrap();
    }

    fn hwctl(&self, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
        self.host.hwctl(verb, &[&["-i", "inventory.yaml", "-i", "apps.yaml"], args].concat())
    }

    fn body(&self, path: &str) -> String {
        Provisioned::curl(&[&self.host.url(path)])
    }

    fn units(&self) -> String {
        let list = "systemctl list-units --plain --no-legend 'shop-*' | cut -d' ' -f1";
        self.host.sh(list)
    }

    /// Provisions while somebody uses the app with all connections, who has to notice nothing.
    fn provision_under_load(&self, during: &str, args: &[&str]) -> (i32, Vec<Value>) {
        let certificate = self.host.sh("cat /etc/nginx/ssl/homework.crt");
        let target = Target::new(self.host.host.address, &certificate, "");
        let load = Load::start(&target, &["/shop/", "/shop/other"], Duration::from_millis(5));
        sleep(Duration::from_millis(500));
        let done = self.hwctl("provision", args);
        sleep(Duration::from_millis(500));
        let answers = load.end();
        println!("  {during}: {}", told(&answers));
        assert!(answers.len() > 1000, "{during}: {}", told(&answers));
        let order: Vec<_> =
            done.1.iter().filter(|event| event["event"] == "change_started").collect();
        assert_none_failed(&answers, &format!("{during}: {order:#?}"));
        done
    }
}

const BY_PORT: &str = r#"
      shop:
        path: /shop
        source: shop
        run: [python3, app.py]
        packages: [python3]
        health: /shop/healthz
        start_timeout: 5
        env: { GREETING: "it's 100% $HOME", TOKEN: { made: shop-token } }
"#;

fn an_app_with_a_port_is_deployed_without_a_lost_request() {
    let shop = Shop::new();
    shop.write("one", BY_PORT);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(shop.body("/shop/"), "one it's 100% $HOME True\n");
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    the_verbs_know_it(&shop);

    a_new_version_takes_over(&shop, BY_PORT);
    a_bad_version_changes_nothing(&shop, BY_PORT);
    the_way_back_loses_nothing(&shop, BY_PORT);
    it_leaves_with_the_inventory(&shop);
}

fn the_verbs_know_it(shop: &Shop) {
    for verb in ["status", "verify", "doctor"] {
        let (code, events) = shop.hwctl(verb, &[]);
        assert_eq!(code, 0, "{verb}: {events:#?}");
    }
    let (code, events) = shop.hwctl("logs", &["shop"]);
    assert!(code == 0 && format!("{events:?}").contains("GET /shop/"), "{events:#?}");
    let (code, events) = shop.hwctl("restart", &["shop"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "restarted"), "{events:#?}");
    let token = shop.host.sh("cat /var/lib/hwctl/secrets/shop-token");
    let open = "grep -rs '@' /etc/systemd /var/lib/hwctl/runs /var/lib/hwctl/manifest; \
                grep -rs '@' /proc/[0-9]*/cmdline; true";
    let found = shop.host.sh(&open.replace('@', &token));
    assert_eq!(found, "", "the secret shows");
}

fn a_new_version_takes_over(shop: &Shop, apps: &str) {
    let before = shop.units();
    shop.write("two", apps);

    let (code, events) = shop.provision_under_load("a new version", &["--only", "shop"]);

    assert_eq!(code, 0, "{events:#?}");
    assert!(shop.body("/shop/").starts_with("two "), "{events:#?}");
    let after = shop.units();
    assert!(
        after != before && after.lines().count() == before.lines().count(),
        "{before}\n{after}"
    );
    assert_eq!(shop.host.sh("ls /usr/local/lib/hwctl/apps/shop | wc -l"), "1");
    let (code, events) = shop.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
}

fn a_bad_version_changes_nothing(shop: &Shop, apps: &str) {
    let before = shop.units();
    let bad = [
        ("ends at once", apps.replace("app.py", "absent.py"), "absent.py"),
        ("is not healthy", apps.replace("GREETING:", "BROKEN: 1, GREETING:"), "it answers 500"),
        (
            "cannot migrate",
            apps.replace("health:", "before: [echo told; exit 9]\n        health:"),
            "told",
        ),
    ];
    for (what, apps, says) in bad {
        shop.write("three", &apps);
        let (code, events) = shop.provision_under_load(what, &[]);
        assert_eq!(code, 4, "{what}: {events:#?}");
        assert!(failure(&events).contains(says), "{what}: {}", failure(&events));
        assert!(shop.body("/shop/").starts_with("two "), "{what}");
        assert_eq!(shop.units(), before, "{what}");
    }
    shop.write("two", apps);
    let (code, events) = shop.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
}

fn the_way_back_loses_nothing(shop: &Shop, apps: &str) {
    let (code, events) = shop.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(shop.body("/shop/").starts_with("one "), "{events:#?}");
    shop.write("one", apps);
    let (code, events) = shop.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
}

fn it_leaves_with_the_inventory(shop: &Shop) {
    let (code, events) = shop.host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(shop.units(), "");
    let left = "ls -d /usr/local/lib/hwctl/apps /etc/hwctl/apps /etc/systemd/system/shop-* 2>/dev/null; \
                getent passwd app-shop; true";
    assert_eq!(shop.host.sh(left), "");
    let (code, events) = shop.host.hwctl("verify", &[]);
    assert_eq!(code, 0, "{events:#?}");
}

fn an_app_with_a_socket_of_systemd_is_deployed_without_a_lost_request() {
    let shop = Shop::new();
    let apps = BY_PORT.replace("path:", "listen: activated\n        path:");
    shop.write("one", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(shop.body("/shop/").starts_with("one "));

    a_new_version_takes_over(&shop, &apps);
    a_bad_version_changes_nothing(&shop, &apps);
    it_leaves_with_the_inventory(&shop);
}

fn an_app_of_its_own_name_is_built_on_the_host() {
    let shop = Shop::new();
    let apps = BY_PORT
        .replace("path: /shop", "host: shop.example.com")
        .replace(
            "run:",
            "build: ['cp app.py built.py', 'mkdir made && touch made/file']\n        run:",
        )
        .replace("[python3, app.py]", "[python3, \"{folder}/built.py\"]");
    shop.write("one", &apps);

    let (code, events) = shop.hwctl("provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    let address = format!("shop.example.com:443:{}", shop.host.host.address);
    let get = |path: &str, more: &[&str]| {
        let url = format!("https://shop.example.com{path}");
        Provisioned::curl(&[&["--resolve", &address], more, &[&url]].concat())
    };
    assert!(get("/any/path", &[]).starts_with("one "), "{}", get("/any/path", &["-i"]));
    assert!(shop.body("/").contains("<iframe"), "the host's own page stays");
    let names =
        shop.host.sh("openssl x509 -in /etc/nginx/ssl/homework.crt -noout -ext subjectAltName");
    assert!(names.contains("DNS:shop.example.com"), "{names}");
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    shop.write("two", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(get("/", &[]).starts_with("two "));
    assert_eq!(
        shop.host.sh("ls /usr/local/lib/hwctl/apps/shop | wc -l"),
        "1",
        "the old build is gone"
    );
    it_leaves_with_the_inventory(&shop);
}

fn what_cannot_be_is_refused_with_its_place() {
    let shop = Shop::new();
    let at = |from: &str, to: &str| BY_PORT.replace(from, to);
    let cases = [
        (at("path: /shop", "path: /open"), "two routes have the path `/open`"),
        (at("path: /shop", "path: /flask/x"), "which is an application's"),
        (at("path: /shop", "path: /"), "`apps.shop.path` takes a URL path"),
        (at("path: /shop", "x: 1"), "unknown key `x`"),
        (at("      shop:", "      redis:"), "not usable as the name of an app"),
        (at("source: shop", "source: absent"), "is not a folder"),
        (at("run: [python3, app.py]", ""), "lacks `run`"),
        (at("GREETING:", "PORT: 1, GREETING:"), "cannot set `PORT`"),
        (at("health: /shop/healthz", "health: shop"), "`apps.shop.health` takes a URL path"),
        (at("start_timeout: 5", "memory: lots"), "`apps.shop.memory` takes"),
    ];
    for (apps, says) in cases {
        shop.write("one", &apps);
        let (code, events) = shop.hwctl("provision", &[]);
        let told = failure(&events);
        assert!(told.contains(says), "`{says}` is not in {told}");
        assert!(told.contains("apps.yaml:"), "{told}");
        assert_eq!(code, 2, "{events:#?}");
    }
    shop.write(
        "one",
        &at("python3, app.py", "python3, app.py")
            .replace("source: shop", "binary: shop/app.py")
            .replace("run: [python3, app.py]", ""),
    );
    let (code, events) = shop.hwctl("provision", &[]);
    assert!(failure(&events).contains("is no Linux program"), "{events:#?}");
    assert_eq!(code, 2);
}
