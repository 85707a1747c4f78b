//! Values that a shell would run: the inventory takes them as they are, or not at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hwctl::inventory::{Sources, load};
use hwctl::part::Kinds;
use serde_json::json;

use crate::host::{self, Provisioned};

crate::tests! {
    Lab: [values_that_a_shell_would_run_stay_values],
    Nothing: [what_cannot_be_quoted_everywhere_is_refused_with_its_place],
}

/// What a shell would do to say that it was there.
const PWNED: &str = "/tmp/hwctl-pwned";

/// Every trick in one word; a word, because names have no spaces.
fn hostile() -> String {
    format!("$(touch${{IFS}}{PWNED})`touch${{IFS}}{PWNED}`';touch${{IFS}}{PWNED};'\"&|><*?~#%\\!")
}

fn values_that_a_shell_would_run_stay_values() {
    let host = Provisioned::fresh("trixie");
    let hostile = hostile();
    // No `/` in the name of a folder or a file.
    let name = hostile.replace('/', "-");
    let folder = host.folder().join(format!("in {name}"));
    let site = folder.join(format!("pages {name}"));
    fs::create_dir_all(&site).unwrap();
    fs::write(site.join("index.html"), format!("{hostile}\n$(touch {PWNED})\n")).unwrap();
    fs::write(site.join(format!("{name}.html")), "here").unwrap();
    // ssh itself expands `%` and `${}` in the names of keys.
    let key = host.folder().join("key $(touch pwned) `x` '\"");
    symlink(host.host.identity(), &key).unwrap();
    let archive = folder.join(format!("redis {name}.tar"));
    symlink(host::lab().redis_archive().unwrap(), &archive).unwrap();
    fs::write(folder.join(format!("secret {name}")), &hostile).unwrap();
    let inventory = json!({ "all": {
        "vars": {
            "redis": { "image_archive": archive },
            "api": { "users": { "admin": { "command": ["printf", "%s", &hostile] } } },
            "sites": {
                "site1": { "source": site.file_name().unwrap().to_str() },
                "site2": { "users": { &hostile: { "file": format!("secret {name}") }, "admin": &hostile } },
            },
            "x_mine": &hostile,
        },
        "hosts": { "vm": {
            "ansible_host": host.host.address.to_string(),
            "ansible_user": host.host.ssh_user(),
            "ansible_ssh_private_key_file": key,
        } },
    } });
    let path = folder.join("inventory.yaml");
    fs::write(&path, inventory.to_string()).unwrap();
    let inventory = ["--inventory", path.to_str().unwrap()];

    for expected in ["changed", "unchanged"] {
        let (code, events) = host.hwctl("provision", &inventory);
        assert_eq!(code, 0, "{events:#?}");
        assert_eq!(host::outcome(&events), expected);
    }
    let page = host.sh("cat /var/www/site1/index.html");
    assert_eq!(page, format!("{hostile}\n$(touch {PWNED})"));
    assert_eq!(host.sh("ls /var/www/site1 | wc -l"), "2");
    // The password works: it arrived as it is.
    let answer = login(&host, &hostile);
    assert!(answer.contains("token"), "{answer}");
    assert!(host.sh_ok("grep -cF 'touch${IFS}' /etc/nginx/.htpasswd"));
    host.sh("check-flask && restart-flask");

    for place in ["/", "/tmp", "/root", "/home/ubuntu"] {
        assert!(!host.sh_ok(&format!("ls -A {place} | grep -i pwned")), "in {place}");
    }
    assert!(!Path::new(PWNED).exists());
    let made: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(made.len(), 4, "{made:?}");
}

fn login(host: &Provisioned, password: &str) -> String {
    let body = json!({ "username": "admin", "password": password }).to_string();
    let json = "Content-Type: application/json";
    Provisioned::curl(&["-H", json, "-d", &body, &host.url("/flask/auth/login")])
}

/// What becomes a part of a configuration or a command line takes no such value; the message says
/// where it stands.
fn what_cannot_be_quoted_everywhere_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    let variables = [
        "app_dir",
        "server_names.0",
        "sites.main.root",
        "sites.site1.path",
        "sites.site1.allow.0",
        "redis.image",
        "redis.container",
        "redis.volume",
        "firewall.allow.0",
        "tls.mode",
        "logrotate.every",
        "ansible_host",
        "ansible_user",
    ];
    let values = [
        "/$(touch /tmp/x)",
        "/`touch /tmp/x`",
        "/a;touch x",
        "/a\nb",
        "/a'b",
        "/a\"b",
        "/a b",
        "-oProxyCommand=touch",
        "/../etc",
        "/a/../../b",
        "../x",
        "",
    ];
    for variable in variables {
        for value in values {
            let mut node = json!(value);
            for part in variable.rsplit('.') {
                node = if part == "0" { json!([node]) } else { json!({ part: node }) };
            }
            let text = format!(
                "all:\n  hosts:\n    vm:\n      {}\n",
                node.to_string().trim_matches(['{', '}'])
            );
            let braces = text.matches('{').count().saturating_sub(text.matches('}').count());
            let text = format!("{}{}\n", text.trim_end(), "}".repeat(braces));
            fs::write(&path, &text).unwrap();
            let told = refusal(&path).unwrap_or_else(|| panic!("taken: {text}"));
            assert!(told.contains("inventory.yaml:4:"), "{text}: {told}");
        }
    }
}

fn refusal(path: &Path) -> Option<String> {
    let sets = vec!["sites.site2.users={a: b}".to_owned(), "api.users={a: b}".to_owned()];
    let told =
        |failure: hwctl::failure::Failure| format!("{} {}", failure.what, failure.why.join(" "));
    let inventory = match load(&Sources::at(path, sets)) {
        Ok(inventory) => inventory,
        Err(failure) => return Some(told(failure)),
    };
    let hosts = inventory.select(&[], None).map_err(told);
    let read = hosts.and_then(|hosts| Kinds::builtin().vars(&inventory, &hosts[0]).map_err(told));
    read.err()
}
