//! The operator's own apps: each kind is provisioned, and a new version takes the place of the old one while somebody uses
//! it, without a request lost.

pub(crate) mod containers;
pub(crate) mod doctor;
pub(crate) mod native;
pub(crate) mod serving;
pub(crate) mod verbs;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::host::{Provisioned, changes, failure};
use crate::load::{Load, Target, assert_none_failed, told};

/// An app of Python's standard library alone, which listens where its variables say.
const APP: &str = r#"
import os, socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Each answer is one write: an app that is killed has sent all of it or nothing.
    wbufsize = -1
    def do_GET(self):
        broken = os.environ.get("BROKEN") and self.path.endswith("/healthz")
        body = ("VERSION %s %s\n" % (os.environ.get("GREETING"), bool(os.environ.get("TOKEN")))).encode()
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
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
pub(super) struct Shop {
    pub(super) host: Provisioned,
}

impl Shop {
    pub(super) fn new() -> Self {
        Self { host: Provisioned::ready("trixie") }
    }

    /// Writes the inventory and the app. `VERSION` in either is replaced.
    pub(super) fn write(&self, version: &str, apps: &str) {
        let apps = apps.replace("VERSION", version);
        let folder = self.host.folder();
        fs::create_dir_all(folder.join("shop")).unwrap();
        fs::write(folder.join("shop/app.py"), APP.replace("VERSION", version)).unwrap();
        fs::write(folder.join("apps.yaml"), format!("all:\n  vars:\n    apps:\n{apps}")).unwrap();
    }

    pub(super) fn hwctl(&self, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
        self.host.hwctl(verb, &[&["-i", "inventory.yaml", "-i", "apps.yaml"], args].concat())
    }

    pub(super) fn body(&self, path: &str) -> String {
        Provisioned::curl(&[&self.host.url(path)])
    }

    /// The units and containers of the app that run.
    pub(super) fn instances(&self) -> String {
        let list = "systemctl list-units --plain --no-legend 'shop-*' | cut -d' ' -f1; \
                    docker ps --format '{{.Names}}' --filter name='^shop-' | sort";
        self.host.sh(list)
    }

    /// Provisions while somebody uses the app with all connections, who has to notice nothing.
    pub(super) fn provision_under_load(&self, during: &str, args: &[&str]) -> (i32, Vec<Value>) {
        self.under_load(during, || self.hwctl("provision", args))
    }

    /// Every verb that looks at the host finds nothing wrong.
    pub(super) fn is_well(&self) {
        for verb in ["status", "verify", "doctor"] {
            let (code, events) = self.hwctl(verb, &[]);
            assert_eq!(code, 0, "{verb}: {events:#?}");
        }
    }

    /// Does something while somebody uses the app with all connections, who has to notice nothing.
    pub(super) fn under_load(
        &self,
        during: &str,
        work: impl FnOnce() -> (i32, Vec<Value>),
    ) -> (i32, Vec<Value>) {
        let certificate = self.host.sh("cat /etc/nginx/ssl/homework.crt");
        let target = Target::new(self.host.host.address, &certificate, "");
        // Six hundred requests a second meet a gap of some milliseconds, and leave CPU to other tests.
        let load = Load::start(&target, &["/shop/", "/shop/other"], Duration::from_millis(50));
        sleep(Duration::from_millis(500));
        let done = work();
        sleep(Duration::from_millis(500));
        let answers = load.end();
        println!("  {during}: {}", told(&answers));
        assert!(answers.len() > 200, "{during}: {}", told(&answers));
        let order: Vec<_> =
            done.1.iter().filter(|event| event["event"] == "change_started").collect();
        assert_none_failed(&answers, &format!("{during}: {order:#?}"));
        done
    }
}

/// A version that cannot serve is undone while somebody uses the app, and the second version serves on.
pub(super) fn a_bad_version_is_undone(
    shop: &Shop,
    (what, apps, says): (&str, &str, &str),
    before: &str,
) {
    shop.write("three", apps);
    let (code, events) = shop.provision_under_load(what, &[]);
    assert_eq!(code, 4, "{what}: {events:#?}");
    assert!(failure(&events).contains(says), "{what}: {}", failure(&events));
    assert!(shop.body("/shop/").starts_with("two "), "{what}");
    assert_eq!(shop.instances(), before, "{what}");
}

pub(super) fn a_new_version_takes_over(shop: &Shop, apps: &str) {
    let before = shop.instances();
    shop.write("two", apps);

    let (code, events) = shop.provision_under_load("a new version", &["--only", "shop"]);

    assert_eq!(code, 0, "{events:#?}");
    assert!(shop.body("/shop/").starts_with("two "), "{events:#?}");
    let after = shop.instances();
    assert!(
        after != before && after.lines().count() == before.lines().count(),
        "{before}\n{after}"
    );
    let (code, events) = shop.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
}
