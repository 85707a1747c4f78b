//! The examples that people copy: each is provisioned from its own folder, as a user would, and asked from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::host::{MARK, Provisioned, fields, lab, outcome, wait_until};
use crate::postgres;
use crate::webdriver::Browser;

crate::tests! {
    Lab: [a_shop_in_python_sells, a_board_in_node_is_written_on_together, flask_is_what_the_api_is],
}

/// An example in a copy of its folder, for a lab host.
struct Example {
    host: Provisioned,
    folder: tempfile::TempDir,
}

impl Example {
    fn new(name: &str) -> Self {
        Self::on(Provisioned::ready("trixie"), name)
    }

    fn on(host: Provisioned, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        let copied =
            Command::new("cp").arg("-rT").args([&example, folder.path()]).status().unwrap();
        assert!(copied.success());
        // Where the host is, a user writes into the inventory as well.
        let path = folder.path().join("inventory.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let address = "ansible_host: 192.0.2.10, ansible_user: ubuntu";
        assert!(text.contains(address), "{text}");
        let reached = format!(
            "ansible_host: {}, ansible_user: {}, ansible_ssh_private_key_file: {}",
            host.host.address,
            host.host.ssh_user(),
            host.host.identity().display(),
        );
        fs::write(&path, text.replace(address, &reached)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        the_host_reaches_pypi(&host);
        Self { host, folder }
    }

    fn hwctl(&self, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
        let mut command = self.host.command(verb, args);
        command.current_dir(self.folder.path());
        command.env("FLASK_ADMIN_PASSWORD", format!("{MARK}api"));
        Provisioned::read(&command.output().unwrap())
    }

    fn provision(&self, args: &[&str]) {
        let (code, events) = self.hwctl("provision", args);
        assert_eq!(code, 0, "{events:#?}");
        let (code, events) = self.hwctl("provision", args);
        assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
        for verb in ["status", "verify", "doctor"] {
            let (code, events) = self.hwctl(verb, &[]);
            assert_eq!(code, 0, "{verb}: {events:#?}");
        }
    }
}

/// pip on the host trusts whom this machine trusts, and takes packages from where this machine does.
fn the_host_reaches_pypi(host: &Provisioned) {
    let root = host.host.root();
    for file in ["etc/ssl/certs/ca-certificates.crt", "etc/pip.conf"] {
        let own = Path::new("/").join(file);
        if own.is_file() {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::copy(own, root.join(file)).unwrap();
        }
    }
}

fn a_shop_in_python_sells() {
    let shop = Example::new("shop");
    postgres::make_images(&shop.host);

    shop.provision(&[]);

    let url = |path: &str| shop.host.url(path);
    let json = |text: &str| serde_json::from_str::<Value>(text).expect(text);
    let shelves = || json(&Provisioned::curl(&[&url("/shop/")]));
    assert_eq!(shelves()[0], serde_json::json!({ "name": "apple", "cents": 40, "stock": 100 }));
    let sold = Provisioned::curl(&["-X", "POST", &url("/shop/items/apple/buy")]);
    assert_eq!(json(&sold)["stock"], 99);
    assert!(Provisioned::curl(&[&url("/")]).contains("What is on the shelves"));
    assert!(!shop.host.answers(5432), "the database is for the host alone");

    shop.host.sh("systemctl start shop-copy.service");
    let copy = shop.host.sh("zcat /srv/shop-copies/*.sql.gz");
    assert!(copy.contains("CREATE TABLE public.items"), "{copy}");
    assert!(shop.host.sh("systemctl list-timers --all").contains("shop-copy.timer"));

    // A new version of the shop keeps what was sold.
    let file = shop.folder.path().join("shop/shop.py");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("jsonify(status=\"ok\")", "jsonify(status=\"new\")")).unwrap();
    let (code, events) = shop.hwctl("provision", &["--only", "shop"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(Provisioned::curl(&[&url("/shop/healthz")]).contains("new"));
    assert_eq!(shelves()[0]["stock"], 99);
}

fn a_board_in_node_is_written_on_together() {
    const NAME: &str = "board.example.com";
    let board = Example::new("board");

    board.provision(&[]);

    let (first, second) = (
        Browser::start(NAME, board.host.host.address),
        Browser::start(NAME, board.host.host.address),
    );
    for browser in [&first, &second] {
        browser.open(&format!("https://{NAME}/"));
    }
    wait_until("the board is connected", || first.run("return socket.readyState") == 1);
    let note = "größer als \u{1f980} <b>";
    first.find("input").type_in(note);
    first.find("button").click();
    for browser in [&first, &second] {
        assert_eq!(browser.find("li").text(), note);
        assert_eq!(browser.console(), [""; 0]);
    }
    let host = board.host.url("/");
    assert!(!Provisioned::curl(&[&host]).contains("Board"), "it has a name of its own");
}

fn flask_is_what_the_api_is() {
    let host = Provisioned::ready("trixie");
    the_api_counts(&host);

    // Where the API does not listen already: the example has the path of its socket.
    let flask = Example::on(Provisioned::fresh("trixie"), "flask");
    let archive = lab().redis_archive().unwrap();
    let archive = format!("redis.image_archive={}", archive.display());
    flask.provision(&["--set", &archive]);
    the_api_counts(&flask.host);
    assert!(!flask.host.sh_ok("test -e /etc/systemd/system/flask-app.service"));

    // Other programs on the host reach it where the API would be, after a new version and after a boot, too.
    let ping = || {
        let socket = "--unix-socket /run/gunicorn/flask.sock";
        flask.host.sh(&format!("curl -fsS {socket} http://localhost/flask/api/ping"))
    };
    assert_eq!(fields(&ping(), "status"), "ok");
    let before = flask.host.sh("readlink /run/gunicorn/flask.sock");
    let file = flask.folder.path().join("flask/app.py");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "\n# Another version.\n").unwrap();
    let (code, events) = flask.hwctl("deploy", &["counter", "--set", &archive]);
    assert_eq!(code, 0, "{events:#?}");
    assert_ne!(flask.host.sh("readlink /run/gunicorn/flask.sock"), before);
    assert_eq!(fields(&ping(), "status"), "ok");
    flask.host.sh("rm -r /run/gunicorn && systemd-tmpfiles --create --boot");
    assert_eq!(fields(&ping(), "status"), "ok");
}

/// What a client of the API can do, whatever it is written in.
fn the_api_counts(host: &Provisioned) {
    let ask = |args: &[&str], path: &str| {
        let answer =
            Provisioned::curl(&[&["-w", "\n%{http_code}"], args, &[&host.url(path)]].concat());
        let (body, status) = answer.rsplit_once('\n').expect("a status");
        (status.parse::<u16>().unwrap(), body.to_owned())
    };
    let (status, body) = ask(&[], "/flask/api/ping");
    assert_eq!(status, 200);
    assert_eq!(fields(&body, "status"), "ok");
    assert_eq!(ask(&[], "/flask/api/health").0, 200);
    assert_eq!(ask(&[], "/flask/api/count").0, 401);
    assert_eq!(ask(&["-H", "Authorization: Bearer not.a.token"], "/flask/api/count").0, 401);

    let login = |password: &str| {
        let body = format!(r#"{{"username":"admin","password":"{password}"}}"#);
        ask(&["-H", "Content-Type: application/json", "-d", &body], "/flask/auth/login")
    };
    let (status, body) = login("wrong");
    assert_eq!(status, 401);
    let refusal: Value = serde_json::from_str(&body).expect(&body);
    assert!(refusal["error"]["message"].is_string(), "{body}");
    assert_eq!(login(&format!("{MARK}api")).0, 200);
    let counted = host.count_visit();
    assert_eq!(host.count_visit(), counted + 1);

    let (status, page) = ask(&[], "/flask/swagger/");
    assert!(status == 200 && page.contains("swagger-ui"), "{page}");
    let (status, document) = ask(&[], "/flask/openapi.json");
    let document: Value = serde_json::from_str(&document).expect(&document);
    assert!(status == 200 && document["paths"]["/flask/api/count"].is_object(), "{document}");
}
