//! A machine that provisions itself at its first boot, by Debian's cloud-init.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::{Provisioned, changes, lab, outcome, refused, runs};

crate::tests! {
    Nothing: [what_a_machine_cannot_find_out_is_refused, a_bundle_has_what_its_machine_needs_and_no_more],
    Lab: [a_machine_of_a_group_provisions_itself, a_host_provisions_itself_from_its_user_data_alone],
}

const NAME: [&str; 5] = ["cloud-init", "web", "--out", "out", "--embed"];

/// What hwctl says of variables of a group.
fn says_of(vars: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("all: {{ children: {{ web: {{ vars: {{ {vars} }} }} }} }}\n");
    fs::write(folder.path().join("inventory.yaml"), text).unwrap();
    let said = refused(folder.path(), &NAME);
    assert!(!folder.path().join("out").exists(), "something was written");
    said
}

fn what_a_machine_cannot_find_out_is_refused() {
    let site = "sites: { site2: { users: { admin: { command: [cat, /etc/site] } } } }";
    for text in ["{{ db_password | b64encode }}", "{{ lookup('env', 'PATH') }}"] {
        let said = says_of(&format!(
            "api: null, {site}, db_password: marked-secret, files: {{ /etc/x: {{ content: \"{text}\" }} }}"
        ));
        assert!(said.contains("`content` would be in the bundle as plain text"), "{said}");
    }
    for (vars, path) in [
        ("api: { users: { admin: marked-secret } }", "api.users.admin"),
        ("api: { users: { admin: { env: MARKED } } }", "api.users.admin"),
        ("api: { users: { admin: { file: marked } } }", "api.users.admin"),
        ("x_it: marked-secret, api: { users: { admin: '{{ x_it }}' } }", "api.users.admin"),
    ] {
        let said = says_of(&format!("{site}, {vars}"));
        assert!(said.contains("inventory.yaml:1:") && said.contains(path), "{said}");
        assert!(said.contains("the machine cannot find out for itself"), "{said}");
        assert!(said.contains("{ command: [PROGRAM, ARGUMENT] }"), "{said}");
        assert!(said.contains("nothing was written") && !said.contains("marked-secret"), "{said}");
    }
    let api = "api: { users: { admin: { command: [./token] } } }";
    let said = says_of(&format!("{site}, {api}"));
    assert!(said.contains("does not have the program `./token`"), "{said}");
    let said = says_of("api: { users: { admin: { command: [token] } } }");
    assert!(said.contains("`sites.site2.users` is not set"), "{said}");
    let said = says_of(&format!("api: null, {site}, redis: {{ image_archive: /srv/redis.tar }}"));
    assert!(said.contains("begins at the inventory's folder"), "{said}");
    let said = says_of(&format!("api: null, {site}, files: {{ /etc/x: {{ source: absent }} }}"));
    assert!(said.contains("`absent` is not a file"), "{said}");

    let said = says_of(&format!(
        "api: null, {site}, db_password: marked-secret, files: {{ /etc/x: {{ content: 'p={{{{ db_password }}}}' }} }}"
    ));
    assert!(
        said.contains("`content` would be in the bundle as plain text, and it may be a secret"),
        "{said}"
    );
    assert!(said.contains("nothing was written") && !said.contains("marked-secret"), "{said}");
    let shop = "apps: { shop: { path: /shop, image: 'shop:1', user: '1000:1000', env: { API_TOKEN: marked-secret } } }";
    let said = says_of(&format!("api: null, {site}, {shop}"));
    assert!(said.contains("apps.shop.env.API_TOKEN") && !said.contains("marked-secret"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("inventory.yaml"), "all: { hosts: { vm1: } }\n").unwrap();
    let said = refused(folder.path(), &NAME);
    assert!(said.contains("the inventory has no host or group `web`"), "{said}");
    for url in [
        "ftp://files.example.com/x",
        "https://files.example.com/a b",
        "https://",
        "https://u:pw@h/x",
    ] {
        let said = refused(folder.path(), &["cloud-init", "vm1", "--out", "out", "--url", url]);
        assert!(said.contains("write a URL such as https://"), "{said}");
    }
}

const FLEET: &str = r#"
all:
  vars:
    x_city: Oslo
    x_street: Storgata
    x_greeting: "Hello from {{ x_city }}"
    db_password: marked-secret
    files: { /etc/motd: { content: "{{ x_greeting }}, {{ '{{' }} home }}\n" } }
  children:
    web:
      vars:
        redis: null
        api: null
        roles: [web]
        sites: { site1: { source: ../pages }, site2: null }
      hosts:
        web1: { ansible_host: 192.0.2.11, x_note: marked-secret }
    lb:
      hosts:
        lb1: { ansible_host: 192.0.2.10, hwctl: { roles: [balancer], watch: { every: 1d } } }
    other:
      hosts: { other1: { redis: null, api: null, sites: { site2: null }, x_other: marked-secret } }
"#;

fn a_bundle_has_what_its_machine_needs_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    fs::create_dir_all(&site).unwrap();
    fs::create_dir_all(folder.path().join("pages/deep")).unwrap();
    fs::write(folder.path().join("pages/deep/index.html"), "a page").unwrap();
    fs::write(site.join("inventory.yaml"), FLEET).unwrap();
    fs::create_dir(site.join("templates")).unwrap();
    fs::write(site.join("templates/motd"), "{{ vars.x_city }}").unwrap();
    let url = "https://files.example.com/it's.tar.gz";
    let make = |name: &str| {
        let mut hwctl = Command::new(env!("CARGO_BIN_EXE_hwctl"));
        hwctl.current_dir(&site).args(["cloud-init", name, "--out", "out", "--url", url]);
        let made = hwctl.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let said = String::from_utf8(made.stdout).unwrap();
        assert!(said.contains("wrote `out/user-data`") && said.contains(url), "{said}");
        fs::read(site.join("out/bundle.tar.gz")).unwrap()
    };
    let first = make("web");
    assert!(first == make("web"), "two bundles of the same inventory differ");

    let data = fs::read_to_string(site.join("out/user-data")).unwrap();
    assert!(data.len() < 16 << 10, "AWS takes no user-data of {} bytes", data.len());
    assert!(data.contains(&hwctl::resource::sha256(&first)));
    let checked = Command::new("sh").arg("-n").arg(site.join("out/user-data")).status().unwrap();
    assert!(checked.success());

    let bundle = unpacked(&site.join("out/bundle.tar.gz"));
    let text = fs::read_to_string(bundle.path().join("files/inventory/inventory.yaml")).unwrap();
    for absent in ["marked-secret", "other1", "web1"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    assert!(bundle.path().join("files/pages/deep/index.html").exists());
    // It says the same there as here, of the machine and of what is in front of it.
    let vars = |host: &str| {
        let mut hwctl = Command::new(bundle.path().join("hwctl"));
        hwctl.current_dir(bundle.path().join("files/inventory")).args([
            "inventory",
            "--host",
            host,
        ]);
        let read = hwctl.output().unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        serde_json::from_slice::<serde_json::Value>(&read.stdout).unwrap()
    };
    let own = vars("hwctl-member-name");
    // Variables that no template asks for stay here.
    assert_eq!((own["x_city"].as_str(), own.get("x_street")), (Some("Oslo"), None));
    assert_eq!(own["hwctl"]["api"], serde_json::Value::Null);
    assert!(own["hwctl"].as_object().unwrap().contains_key("api"), "{own}");
    assert_eq!(own["hwctl"]["sites"]["site1"]["source"], "../pages");
    let motd = &own["hwctl"]["files"]["/etc/motd"]["content"]["__ansible_unsafe"];
    assert_eq!(motd, "Hello from Oslo, {{ home }}\n");
    let balancer = vars("lb1");
    assert_eq!(balancer["ansible_host"], "192.0.2.10");
    assert_eq!(balancer["hwctl"]["roles"], serde_json::json!(["balancer"]));
    assert!(balancer["hwctl"].get("watch").is_none(), "{balancer}");
}

fn unpacked(bundle: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar");
    let done = tar.arg("-xzf").arg(bundle).arg("-C").arg(folder.path()).status().unwrap();
    assert!(done.success());
    folder
}

/// A host with cloud-init, and an inventory with what such a machine finds out for itself.
fn machine(release: &str) -> Provisioned {
    let machine = Provisioned::fresh(release);
    machine.sh("export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && \
         apt-get -qq install -y --no-install-recommends cloud-init >/dev/null 2>&1");
    // The lab has set up the network, the login and the host's keys.
    let settings = "datasource_list: [NoCloud, None]\nnetwork: { config: disabled }\nusers: []\n\
                    ssh_deletekeys: false\npreserve_hostname: true\nlocale: C.UTF-8\n";
    write(&machine, "etc/cloud/cloud.cfg.d/99-lab.cfg", settings);
    write(&machine, "etc/api-password", "marked-secret-api\n");
    let archive = lab().redis_archive().unwrap();
    fs::copy(archive, machine.folder().join("redis.tar")).unwrap();
    let text = format!(
        "all:\n  children:\n    web:\n      vars:\n        redis: {{ image_archive: redis.tar }}\n        \
         sites: {{ site2: null }}\n        \
         api: {{ users: {{ admin: {{ command: [cat, /etc/api-password] }} }} }}\n      \
         hosts:\n        vm:\n          ansible_host: {}\n          ansible_user: {}\n          \
         ansible_ssh_private_key_file: {}\n",
        machine.host.address,
        machine.host.ssh_user(),
        machine.host.identity().display(),
    );
    fs::write(machine.folder().join("inventory.yaml"), text).unwrap();
    machine
}

fn write(machine: &Provisioned, path: &str, text: &str) {
    let path = machine.host.root().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn make(machine: &Provisioned, words: &[&str]) {
    let mut hwctl = Command::new(env!("CARGO_BIN_EXE_hwctl"));
    let made = hwctl.current_dir(machine.folder()).args(words).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Boots with the user-data and waits until cloud-init and hwctl are done.
fn first_boot(machine: &Provisioned) {
    let data = fs::read_to_string(machine.folder().join("out/user-data")).unwrap();
    write(machine, "var/lib/cloud/seed/nocloud/user-data", &data);
    write(machine, "var/lib/cloud/seed/nocloud/meta-data", "instance-id: first\n");
    machine.host.reboot().unwrap();
    let unit = "hwctl-first-boot.service";
    let patience = Duration::from_mins(4);
    let began = std::time::Instant::now();
    while !machine.sh_ok(&format!("test -e /var/lib/hwctl/runs && ! systemctl cat {unit}")) {
        let told = || {
            machine.sh(&format!(
                "journalctl --no-pager -u {unit} -u cloud-final; cat /var/log/cloud-init-output.log; cloud-init status --long || true"
            ))
        };
        assert!(began.elapsed() < patience, "{}", told());
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn is_provisioned(machine: &Provisioned) {
    let ping = Provisioned::curl(&[&machine.url("/flask/api/ping")]);
    assert_eq!(ping, r#"{"status":"ok"}"#);
    let (code, events) = machine.hwctl("history", &[]);
    let found = runs(&events);
    assert!(code == 0 && found.len() == 1, "{events:#?}");
    let left = machine
        .sh("ls /var/lib/hwctl/first-boot 2>&1; systemctl --failed --plain --no-legend; \
                           journalctl --no-pager | grep -c marked-secret; true");
    assert!(left.contains("No such file") && left.ends_with("\n0"), "{left}");
}

fn a_machine_of_a_group_provisions_itself() {
    let machine = machine("trixie");
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = machine.host.address.to_string();
    let operator = format!("{}.1", host.rsplit_once('.').unwrap().0);
    let url = format!("http://{operator}:{port}/bundle.tar.gz");
    make(&machine, &["cloud-init", "web", "--out", "out", "--url", &url]);
    let bundle = fs::read(machine.folder().join("out/bundle.tar.gz")).unwrap();
    let served = std::thread::spawn(move || serve(&listener, &bundle));
    first_boot(&machine);
    assert_eq!(served.join().unwrap(), 3, "it asks until the bundle is there");
    is_provisioned(&machine);
    let names =
        machine.sh("openssl x509 -in /etc/nginx/ssl/homework.crt -noout -ext subjectAltName");
    assert!(names.contains(&host), "{names}");

    // The operator names it in the inventory, and goes on as with any host.
    let (code, events) = machine.hwctl("plan", &["--set", "api.users.admin=marked-secret-api"]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
    let (code, events) = machine.hwctl("status", &[]);
    assert_eq!(code, 0, "{events:#?}");
}

/// Serves the bundle to the third who asks, after one who hears of nothing and one who gets another file.
fn serve(listener: &TcpListener, bundle: &[u8]) -> usize {
    for (turn, stream) in listener.incoming().enumerate() {
        let mut stream = stream.unwrap();
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            if line.unwrap().is_empty() {
                break;
            }
        }
        let (status, body) = match turn {
            0 => ("404 Not Found", &b"none"[..]),
            1 => ("200 OK", &b"not the bundle"[..]),
            _ => ("200 OK", bundle),
        };
        write!(stream, "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(body).unwrap();
        if turn == 2 {
            return 3;
        }
    }
    0
}

fn a_host_provisions_itself_from_its_user_data_alone() {
    let machine = machine("bookworm");
    make(&machine, &["cloud-init", "vm", "--out", "out", "--embed"]);
    first_boot(&machine);
    is_provisioned(&machine);
    fs::write(machine.folder().join("password"), "marked-secret-api").unwrap();
    let inventory = machine.folder().join("inventory.yaml");
    let text = fs::read_to_string(&inventory).unwrap();
    let text = text.replace("command: [cat, /etc/api-password]", "file: password");
    fs::write(&inventory, text).unwrap();
    let (code, events) = machine.hwctl("provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{:?}", changes(&events));
}
