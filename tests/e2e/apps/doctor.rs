//! What `doctor` says of an app that does not serve: the cause, and a next step that is safe.

use serde_json::Value;

use super::Shop;
use super::containers::{BY_IMAGE, shop as shop_of_images};
use super::native::BY_PORT;
use crate::host::wait_until;

crate::tests! {
    Lab: [
        the_cause_of_an_app_that_does_not_serve_is_found,
        the_cause_of_a_container_that_does_not_serve_is_found,
        a_container_that_runs_out_of_memory_is_told_so,
    ],
}

/// The first finding.
fn found(shop: &Shop) -> Value {
    let (code, events) = shop.hwctl("doctor", &[]);
    assert_eq!(code, 1, "{events:#?}");
    let diagnosis = events.iter().rfind(|event| event["event"] == "diagnosis");
    diagnosis.unwrap_or_else(|| panic!("no diagnosis: {events:#?}"))["findings"][0].clone()
}

fn assert_cause(shop: &Shop, cause: &str, says: &str, next: &str) {
    let finding = found(shop);
    assert_eq!(finding["cause"], cause, "{finding:#?}");
    assert!(finding.to_string().contains(says), "`{says}` is not in {finding:#?}");
    let told = finding["next"].as_str().unwrap_or_default();
    assert!(told.contains(next), "`{next}` is not in {told}");
}

/// A number that a command on the host prints.
fn counted(shop: &Shop, command: &str) -> u32 {
    shop.host.sh(command).parse().unwrap()
}

fn the_cause_of_an_app_that_does_not_serve_is_found() {
    let shop = Shop::new();
    shop.write("one", BY_PORT);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let unit = shop.instances();
    let folder = shop.host.sh("echo /usr/local/lib/hwctl/apps/shop/*");

    shop.host.sh(&format!("systemctl stop {unit}"));
    assert_cause(&shop, "app-stopped", "does not run", "hwctl provision --only shop");
    let (code, events) = shop.hwctl("doctor", &["--fix"]);
    assert_eq!(code, 0, "{events:#?}");

    // Whatever the app does wrong: the file of the version is changed under it.
    let breaks = |what: &str| {
        shop.host.sh(&format!(
            "cp {folder}/app.py /root/app.py; {what}; systemctl restart {unit}; sleep 1.5"
        ));
    };
    let mends = || {
        shop.host.sh(&format!("cp /root/app.py {folder}/app.py; systemctl restart {unit}; sleep 1"))
    };
    let writes = |text: &str| format!("printf '%s' '{text}' >{folder}/app.py");
    let back = "hwctl deploy shop --rollback";
    for (what, cause, says) in [
        (writes("import sys; sys.exit(\"the reason\")"), "app-failing", "the reason"),
        (
            writes("import os; open(os.path.join(\"/etc\", \"x\"), \"w\")"),
            "app-failing",
            "Read-only file system",
        ),
        (writes("open(\"/etc/shadow\")"), "app-permission", "Permission denied"),
        (
            writes("raise OSError(98, \"Address already in use\")"),
            "app-port",
            "Address already in use",
        ),
        (
            writes(
                "import sys; sys.exit(\"shop: error while loading shared libraries: libshop.so.1: cannot open\")",
            ),
            "app-library",
            "libshop.so.1",
        ),
        (
            format!("sed -i 's/int(os.environ\\[\"PORT\"\\])/9123/' {folder}/app.py"),
            "app-elsewhere",
            "it listens on port 9123",
        ),
        (
            format!("sed -i 's/500 if broken else 200/500/' {folder}/app.py"),
            "app-unhealthy",
            "it answers 500",
        ),
    ] {
        breaks(&what);
        assert_cause(&shop, cause, says, back);
        mends();
    }

    // Not every kernel limits the memory of a unit.
    if shop.host.sh_ok(&format!("test -e /sys/fs/cgroup/system.slice/{unit}/memory.max")) {
        breaks(&writes("x = bytearray(2 << 30); x[::4096] = b\"x\" * len(x[::4096])"));
        wait_until("it is killed", || {
            shop.host.sh(&format!("systemctl show -p Result --value {unit}")) == "oom-kill"
        });
        assert_cause(&shop, "app-memory", "more memory", "apps.shop.memory");
        mends();
    }
    let (code, events) = shop.hwctl("doctor", &[]);
    assert_eq!(code, 0, "{events:#?}");

    // It serves, and is killed again and again.
    for ends in 1..=4 {
        shop.host.sh(&format!("systemctl kill -s KILL --kill-whom main {unit}"));
        wait_until("it runs again", || {
            counted(&shop, &format!("systemctl show -P NRestarts {unit}")) == ends
                && shop.host.sh(&format!("systemctl show -P SubState {unit}")) == "running"
        });
    }
    wait_until("it serves", || {
        shop.host.sh_ok("curl -fsko /dev/null https://127.0.0.1/shop/healthz")
    });
    assert_cause(&shop, "app-failing", "within the last 5 minutes", back);
    let (code, checks) = shop.hwctl("status", &[]);
    assert_eq!(code, 1, "{checks:#?}");
    mends();
    let (code, events) = shop.hwctl("doctor", &[]);
    assert_eq!(code, 0, "what was mended is well at once: {events:#?}");
}

fn the_cause_of_a_container_that_does_not_serve_is_found() {
    let shop = shop_of_images();
    shop.write("one", BY_IMAGE);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let container = shop.instances();

    shop.host.sh(&format!("docker stop -t 1 {container}"));
    assert_cause(&shop, "app-stopped", "does not run", "hwctl provision --only shop");
    shop.host.sh(&format!("docker start {container}; sleep 1"));
    shop.host.sh(&format!("docker exec {container} busybox rm /www/shop/healthz"));
    assert_cause(&shop, "app-unhealthy", "it answers 404", "hwctl restart shop");
    shop.host.sh(&format!("docker exec {container} sh -c 'echo fine >/www/shop/healthz'"));
    let (code, events) = shop.hwctl("doctor", &[]);
    assert_eq!(code, 0, "{events:#?}");

    // It serves for a second, and ends.
    shop.host.sh(&format!(
        "for i in 1 2 3 4 5; do kill -9 $(docker inspect -f '{{{{.State.Pid}}}}' {container}); sleep 3; done"
    ));
    assert_cause(&shop, "app-failing", "within the last 5 minutes", "log");
    let (code, checks) = shop.hwctl("status", &[]);
    assert!(code == 1 && format!("{checks:?}").contains("does not stay up"), "{checks:#?}");
    shop.host.sh(&format!("docker restart {container}; sleep 2"));
    let (code, events) = shop.hwctl("doctor", &[]);
    assert_eq!(code, 0, "what was mended is well at once: {events:#?}");

    shop.host.sh(&format!("docker rm -f {container}"));
    assert_cause(&shop, "app-absent", "is gone", "hwctl provision --only shop");
    shop.host.sh("docker rmi -f shop:one");
    assert_cause(
        &shop,
        "app-image",
        "docker has no image `shop:one`",
        "hwctl provision --only shop",
    );
    let (code, events) = shop.hwctl("doctor", &["--fix"]);
    assert_eq!(code, 0, "{events:#?}");
}

fn a_container_that_runs_out_of_memory_is_told_so() {
    let shop = Shop::new();
    let archive = "redis:7-alpine";
    shop.host.sh(&format!("docker save -o /root/box.tar {archive}"));
    let saved = shop.host.host.root().join("root/box.tar");
    std::fs::copy(saved, shop.host.folder().join("box.tar")).unwrap();
    let containers = "all:\n  vars:\n    containers:\n      box:\n        image: redis:7-alpine\n        \
                      image_archive: box.tar\n        memory: 32M\n        tmpfs: [/data]\n        \
                      command: [sh, -c, 'sleep 5; x=$(busybox yes | busybox head -c 300000000); sleep 1000']\n";
    std::fs::write(shop.host.folder().join("apps.yaml"), containers).unwrap();
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    // Not every kernel limits the memory of a container.
    if shop.host.sh("docker info --format '{{.MemoryLimit}}'") != "true" {
        return;
    }

    wait_until("it was killed a few times", || {
        counted(&shop, "docker inspect -f '{{.RestartCount}}' box") > 2
    });

    assert_cause(&shop, "container-memory", "more memory than it may", "more as `memory`");
}
