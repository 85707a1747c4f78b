//! Apps that run on the host itself.

use std::fs;
use std::process::Command;

use super::{Shop, a_bad_version_is_undone, a_new_version_takes_over};
use crate::host::{Provisioned, changes, failure, outcome};

crate::tests! {
    Lab: [
        an_app_with_a_port_is_deployed_without_a_lost_request,
        an_app_with_a_socket_of_systemd_is_deployed_without_a_lost_request,
        an_app_of_its_own_name_is_built_on_the_host,
        what_cannot_be_is_refused_with_its_place,
        a_program_that_cannot_run_is_named_before_the_switch,
        what_an_app_prints_shows_no_secret_and_leaves_nothing,
    ],
}

pub(super) const BY_PORT: &str = r#"
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
    assert_eq!(shop.host.sh("ls /usr/local/lib/hwctl/apps/shop | wc -l"), "1");
    a_bad_version_changes_nothing(&shop, BY_PORT);
    the_way_back_loses_nothing(&shop, BY_PORT);
    it_leaves_with_the_inventory(&shop);
}

fn the_verbs_know_it(shop: &Shop) {
    shop.is_well();
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

fn a_bad_version_changes_nothing(shop: &Shop, apps: &str) {
    let before = shop.instances();
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
        a_bad_version_is_undone(shop, (what, &apps, says), &before);
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
    assert_eq!(shop.instances(), "");
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
        .replace("[python3, app.py]", "[python3, \"{folder}/built.py\"]")
        .replace("health:", "max_body: 64\n        health:");
    shop.write("one", &apps);

    let (code, events) = shop.hwctl("provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    let address = format!("shop.example.com:443:{}", shop.host.host.address);
    let get = |path: &str, more: &[&str]| {
        let url = format!("https://shop.example.com{path}");
        Provisioned::curl(&[&["--resolve", &address], more, &[&url]].concat())
    };
    assert!(get("/any/path", &[]).starts_with("one "), "{}", get("/any/path", &["-i"]));
    let status_of_a_body = |bytes: usize| {
        let body = "x".repeat(bytes);
        get("/", &["-d", &body, "-o", "/dev/null", "-w", "%{http_code}"])
    };
    assert_eq!(status_of_a_body(64 << 10), "200");
    assert_eq!(status_of_a_body((64 << 10) + 1), "413");
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
        (at("source: shop", "source: shop\n        instances: 0"), "`apps.shop.instances` takes"),
        (
            at("source: shop", "source: shop\n        redirect_www: true"),
            "`apps.shop.redirect_www` needs `host`",
        ),
        (at("source: shop", "source: shop\n        maintenance: absent.html"), "is not a file"),
        (at("      shop:", "      shop-1f9a03c7:"), "not usable as the name of an app"),
        (
            format!("{BY_PORT}    users: {{ app-shop: {{}} }}\n"),
            "two parts would have the user `app-shop`",
        ),
        (
            format!("{BY_PORT}    timers: {{ shop: {{ run: \"true\", on: daily }} }}\n"),
            "two parts would have the name `shop`",
        ),
        (
            format!("{BY_PORT}    units: {{ shop: {{ content: \"[Service]\" }} }}\n"),
            "two parts would have the name `shop`",
        ),
        (
            format!("{BY_PORT}    containers: {{ shop: {{ image: redis }} }}\n"),
            "two parts would have the name `shop`",
        ),
        (at("      shop:", "      site1:"), "two routes are called `site1`"),
        (
            format!(
                "{}{}",
                at("path: /shop", "host: www.a.example\n        redirect_www: true"),
                at("path: /shop", "host: a.example").replace("shop:\n", "other:\n")
            ),
            "`apps.shop.redirect_www` takes `a.example`, as `apps.other.host`",
        ),
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

/// A program that loads a library of its own, as the compiler of this machine makes them.
fn build_with_library(shop: &Shop, machine: u8) {
    let folder = shop.host.folder();
    fs::write(folder.join("lib.c"), "int answer(void) { return 42; }").unwrap();
    fs::write(folder.join("main.c"), "int answer(void); int main(void) { return answer(); }")
        .unwrap();
    for args in [
        &["-shared", "-o", "libshop-answer.so", "lib.c"][..],
        &["-o", "shop.bin", "main.c", "-L.", "-lshop-answer"],
    ] {
        let compiled = Command::new("cc").current_dir(folder).args(args).status().unwrap();
        assert!(compiled.success());
    }
    let path = folder.join("shop.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[18] = machine;
    fs::write(path, bytes).unwrap();
}

fn a_program_that_cannot_run_is_named_before_the_switch() {
    let shop = Shop::new();
    shop.write("one", BY_PORT);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let native = BY_PORT
        .replace("source: shop", "binary: shop.bin")
        .replace("        run: [python3, app.py]\n", "");

    build_with_library(&shop, 62);
    shop.write("two", &native);
    let (code, events) = shop.provision_under_load("a missing library", &[]);
    assert_eq!(code, 4, "{events:#?}");
    assert!(failure(&events).contains("libshop-answer.so"), "{}", failure(&events));
    assert!(shop.body("/shop/").starts_with("one "));

    build_with_library(&shop, 183);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 2, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("is a program for aarch64, and the host is x86_64"), "{told}");
    assert!(told.contains("`apps.shop.binary` (apps.yaml:"), "{told}");

    // Well twice and then not, again and again: it never counts as ready.
    shop.write("two", BY_PORT);
    let path = shop.host.folder().join("shop/app.py");
    let flaps = fs::read_to_string(&path).unwrap().replace(
        "broken = ",
        "Handler.count = getattr(Handler, \"count\", 0) + 1; broken = Handler.count % 3 == 0 or ",
    );
    fs::write(path, flaps).unwrap();
    let (code, events) = shop.provision_under_load("a health that flaps", &[]);
    assert_eq!(code, 4, "{events:#?}");
    assert!(failure(&events).contains("does not answer /shop/healthz within 5 s"), "{events:#?}");
    assert!(shop.body("/shop/").starts_with("one "));
}

const GIVEN: &str = "marked\"secret of $HOME";

fn what_an_app_prints_shows_no_secret_and_leaves_nothing() {
    let shop = Shop::new();
    let apps = |more: &str| {
        let env = "TOKEN: { made: shop-token }, GIVEN: { env: SHOP_GIVEN }";
        BY_PORT
            .replace("TOKEN: { made: shop-token }", env)
            .replace("health:", &format!("{more}\n        health:"))
    };
    let links = "find /etc/systemd/system -xtype l; ls -d /run/shop-* 2>/dev/null; \
                 systemctl list-units --all --plain --no-legend 'shop-*'; :";
    for (more, says) in
        [("before: [\"env; exit 3\"]", "exit status: 3"), ("listen: socket", "does not answer")]
    {
        let failing = "import os, time; print(dict(os.environ), os.environ['GIVEN'], flush=True); time.sleep(30)";
        shop.write("one", &apps(more));
        fs::write(shop.host.folder().join("shop/app.py"), failing).unwrap();
        let args = ["-i", "inventory.yaml", "-i", "apps.yaml"];
        let output =
            shop.host.command("provision", &args).env("SHOP_GIVEN", GIVEN).output().unwrap();
        let told =
            String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat())
                .into_owned();
        let (code, events) = Provisioned::read(&output);
        assert_eq!(code, 4, "{more}: {events:#?}");
        assert!(failure(&events).contains(says), "{more}: {events:#?}");
        assert!(failure(&events).contains("***"), "{more}: {events:#?}");
        assert!(!told.contains("marked") && !told.contains("secret of"), "{more}: {told}");
        let (_, history) = shop.host.hwctl("history", &[]);
        assert!(!format!("{history:?}").contains("marked"), "{history:#?}");
        assert_eq!(shop.host.sh(links), "", "{more}");
    }
    what_it_prints_in_a_restart_shows_none_either(&shop, &apps(""));
}

fn what_it_prints_in_a_restart_shows_none_either(shop: &Shop, apps: &str) {
    shop.write("one", apps);
    let args = ["-i", "inventory.yaml", "-i", "apps.yaml"];
    let mut command = shop.host.command("provision", &args);
    let (code, events) = Provisioned::read(&command.env("SHOP_GIVEN", GIVEN).output().unwrap());
    assert_eq!(code, 0, "{events:#?}");
    let fails = "import os, sys; print(os.environ['GIVEN'], flush=True); sys.exit('token ' + os.environ['TOKEN'])";
    shop.host.sh(&format!("echo \"{fails}\" >$(ls -d /usr/local/lib/hwctl/apps/shop/*)/app.py"));
    let token = shop.host.sh("cat /var/lib/hwctl/secrets/shop-token");

    let (code, events) = shop.hwctl("restart", &["shop"]);

    let told = format!("{events:?}");
    assert_eq!(code, 1, "{events:#?}");
    assert!(told.contains("***"), "{events:#?}");
    assert!(
        !told.contains("marked") && !told.contains("secret of") && !told.contains(&token),
        "{told}"
    );
}
