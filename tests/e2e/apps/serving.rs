//! What nginx does for apps: several instances, users, names, web sockets, and a page while an app is out of service.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::Shop;
use super::native::BY_PORT;
use crate::host::{Provisioned, changes, failure, outcome, wait_until};

crate::tests! {
    Lab: [
        several_instances_share_the_requests_of_an_app,
        what_comes_after_a_switch_undoes_it_if_it_fails,
        an_app_of_its_own_name_has_users_and_a_second_name,
        an_app_is_taken_out_of_service_and_put_back,
        a_websocket_stays_open_while_another_app_is_deployed,
    ],
}

fn several_instances_share_the_requests_of_an_app() {
    let shop = Shop::new();
    let apps = BY_PORT.replace("health:", "instances: 3\n        health:");
    shop.write("one", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(shop.instances().lines().count(), 3, "{}", shop.instances());
    let upstream = shop.host.sh("cat /etc/nginx/upstreams/shop.conf");
    assert!(upstream.contains("least_conn;") && upstream.matches("server 127").count() == 3);
    let (code, events) = shop.hwctl("status", &[]);
    assert_eq!(code, 0, "{events:#?}");

    // One that is away loses no request: nginx asks another.
    shop.under_load("one instance ends", || {
        shop.host.sh("systemctl kill -s KILL $(systemctl list-units --plain --no-legend 'shop-*-2.service' | cut -d' ' -f1)");
        sleep(Duration::from_secs(3));
        (0, Vec::new())
    });

    super::a_new_version_takes_over(&shop, &apps);
    let fewer = BY_PORT.replace("health:", "instances: 2\n        health:");
    shop.write("two", &fewer);
    let (code, events) = shop.provision_under_load("fewer instances", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(shop.instances().lines().count(), 2, "{}", shop.instances());
}

fn what_comes_after_a_switch_undoes_it_if_it_fails() {
    let shop = Shop::new();
    let apps = BY_PORT.replace(
        "health:",
        "after: ['echo \"$GREETING\" >>\"$STATE_DIRECTORY/after\"']\n        health:",
    );
    let apps = apps.replace("$STATE_DIRECTORY", "/var/lib/app-shop");
    shop.write("one", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(shop.host.sh("cat /var/lib/app-shop/after"), "it's 100% $HOME");
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    shop.write("two", &apps.replace("after: [", "after: ['echo told; exit 3', "));
    let (code, events) = shop.provision_under_load("a failing line after the switch", &[]);
    assert_eq!(code, 4, "{events:#?}");
    assert!(failure(&events).contains("told"), "{}", failure(&events));
    assert!(shop.body("/shop/").starts_with("one "));
}

fn an_app_of_its_own_name_has_users_and_a_second_name() {
    let shop = Shop::new();
    let apps = BY_PORT.replace(
        "path: /shop",
        "host: shop.example.com\n        redirect_www: true\n        users: { anna: { file: password } }",
    );
    fs::write(shop.host.folder().join("password"), "marked-secret-of-anna").unwrap();
    shop.write("one", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");

    let address = shop.host.host.address;
    let resolve = |name: &str, port: u16| format!("{name}:{port}:{address}");
    let ask = |url: &str, more: &[&str]| {
        let names = ["shop.example.com", "www.shop.example.com"];
        let all: Vec<_> =
            names.iter().flat_map(|name| [resolve(name, 443), resolve(name, 80)]).collect();
        let all: Vec<&str> = all.iter().flat_map(|to| ["--resolve", to]).collect();
        Provisioned::curl(&[all.as_slice(), more, &["-i", url]].concat())
    };
    let refused = ask("https://shop.example.com/", &[]);
    assert!(refused.starts_with("HTTP/2 401"), "{refused}");
    assert!(refused.contains("For users only"), "{refused}");
    let let_in = ask("https://shop.example.com/", &["-u", "anna:marked-secret-of-anna"]);
    assert!(let_in.contains("one it's 100%"), "{let_in}");
    for url in ["https://www.shop.example.com/x?y=1", "http://www.shop.example.com/x?y=1"] {
        let led = ask(url, &[]);
        assert!(led.contains("ocation: https://shop.example.com/x?y=1"), "{led}");
    }
    let names =
        shop.host.sh("openssl x509 -in /etc/nginx/ssl/homework.crt -noout -ext subjectAltName");
    assert!(names.contains("DNS:shop.example.com, DNS:www.shop.example.com"), "{names}");

    // A client's view of the name is a check of its own.
    let (code, documents) = shop.hwctl("verify", &[]);
    let told = documents[0].to_string();
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("https://shop.example.com/shop/healthz"), "{told}");
    assert!(told.contains("https://www.shop.example.com/"), "{told}");
    let open = apps.replace("        users: { anna: { file: password } }\n", "");
    shop.write("one", &open);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(ask("https://shop.example.com/", &[]).contains("one it's 100%"));
    shop.host.sh("systemctl stop 'shop-*'");
    let (code, documents) = shop.hwctl("verify", &[]);
    assert_eq!(code, 1, "{documents:#?}");
    assert!(documents[0].to_string().contains("502"), "{documents:#?}");
}

fn an_app_is_taken_out_of_service_and_put_back() {
    let shop = Shop::new();
    let apps = format!(
        "{}{}",
        BY_PORT.replace("health:", "maintenance: page.html\n        health:"),
        BY_PORT.replace("shop:\n", "other:\n").replace("/shop", "/other")
    );
    fs::write(shop.host.folder().join("page.html"), "<h1>Closed for a day</h1>").unwrap();
    shop.write("one", &apps);
    let (code, events) = shop.hwctl("maintenance", &["on", "shop"]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("has no `/etc/hwctl/maintenance`"), "{events:#?}");
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let workers = "ps -C nginx -o pid= | sort";
    let before = shop.host.sh(workers);

    let (code, events) = shop.hwctl("maintenance", &["on", "shop"]);

    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    let get = |path: &str, more: &[&str]| {
        Provisioned::curl(&[&["-i"], more, &[shop.host.url(path).as_str()]].concat())
    };
    for (path, more) in [("/shop/", &[][..]), ("/shop/any", &["-X", "POST", "-d", "x=1"])] {
        let answer = get(path, more);
        assert!(answer.starts_with("HTTP/2 503"), "{answer}");
        assert!(answer.contains("retry-after: 300"), "{answer}");
        assert!(answer.contains("content-type: text/html"), "{answer}");
        assert!(answer.contains("<h1>Closed for a day</h1>"), "{answer}");
    }
    for path in ["/other/", "/", "/open/"] {
        assert!(get(path, &[]).starts_with("HTTP/2 200"), "{path}");
    }
    assert_eq!(shop.host.sh(workers), before, "nginx was not reloaded");
    let (code, documents) = shop.hwctl("status", &[]);
    assert_eq!(code, 0, "{documents:#?}");
    assert!(documents[0].to_string().contains("\"maintenance\""), "{documents:#?}");
    let (code, events) = shop.hwctl("maintenance", &["on", "shop"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    // It stays so over a run, which looks at the app all the same.
    shop.write("two", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(get("/shop/", &[]).starts_with("HTTP/2 503"));
    shop.write("three", &apps.replacen("GREETING:", "BROKEN: 1, GREETING:", 1));
    let (code, events) = shop.hwctl("provision", &["--only", "shop"]);
    assert_eq!(code, 4, "{events:#?}");
    let (code, events) = shop.hwctl("maintenance", &["off"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    assert!(shop.body("/shop/").starts_with("two "));

    let (code, _) = shop.hwctl("maintenance", &["on", "other"]);
    assert_eq!(code, 0);
    let answer = get("/other/", &[]);
    assert!(answer.starts_with("HTTP/2 503") && answer.contains("Back soon"), "{answer}");
    let (code, events) = shop.hwctl("maintenance", &["on", "sop"]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("there is no app `sop`"), "{events:#?}");
    let (code, events) = shop.host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!shop.host.sh_ok("test -e /etc/hwctl/maintenance || test -e /etc/hwctl/pages"));
}

/// An app that says the time over a WebSocket, frames written by hand.
const CLOCK: &str = r#"
import base64, hashlib, os, socketserver, time

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        headers = {}
        line = self.rfile.readline()
        while line.strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
            line = self.rfile.readline()
        key = headers.get("sec-websocket-key")
        if not key:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n")
        while True:
            text = ("tick %f" % time.time()).encode()
            self.wfile.write(bytes([0x81, len(text)]) + text)
            self.wfile.flush()
            time.sleep(0.2)

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn a_websocket_stays_open_while_another_app_is_deployed() {
    let shop = Shop::new();
    let clock = "      clock:\n        path: /clock\n        source: clock\n        run: [python3, clock.py]\n        \
                 packages: [python3]\n";
    let apps = format!("{BY_PORT}{clock}");
    fs::create_dir_all(shop.host.folder().join("clock")).unwrap();
    fs::write(shop.host.folder().join("clock/clock.py"), CLOCK).unwrap();
    shop.write("one", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");

    let mut client = Command::new("curl")
        .args(["-sk", "--http1.1", "-N", "--max-time", "120"])
        .args(["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"])
        .args([
            "-H",
            "Sec-WebSocket-Version: 13",
            "-H",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ])
        .arg(shop.host.url("/clock/"))
        .stdout(fs::File::create(shop.host.folder().join("heard")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let heard = || {
        let heard = fs::read(shop.host.folder().join("heard")).unwrap();
        String::from_utf8_lossy(&heard).matches("tick").count()
    };
    wait_until("the socket is open", || heard() > 2);

    shop.write("two", &apps);
    let (code, events) = shop.hwctl("deploy", &["shop"]);

    assert_eq!(code, 0, "{events:#?}");
    assert!(!changes(&events).iter().any(|id| id.contains("clock")), "{events:#?}");
    let before = heard();
    wait_until("the socket goes on", || heard() > before + 5);
    assert!(client.try_wait().unwrap().is_none(), "the connection is open");
    client.kill().unwrap();
    client.wait().unwrap();
}
