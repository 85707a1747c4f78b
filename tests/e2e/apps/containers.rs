//! Apps in containers, each version with an image of its own. The images are those of the lab's Redis under other names.

use std::fs;

use serde_json::Value;

use super::{Shop, a_bad_version_is_undone, a_new_version_takes_over};
use crate::host::{changes, failure, outcome};

crate::tests! {
    Lab: [
        an_app_in_a_container_is_deployed_without_a_lost_request,
        an_app_in_a_container_has_few_rights_and_goes_as_a_whole,
        what_an_app_in_a_container_cannot_have_is_refused,
    ],
}

pub(super) const BY_IMAGE: &str = r#"
      shop:
        path: /shop
        image: shop:VERSION
        image_archive: shop-VERSION.tar
        user: 999:1000
        tmpfs: [/tmp, /www]
        volumes: [shop-data:/data]
        command:
          - sh
          - -c
          - >-
            mkdir /www/shop; echo "VERSION $GREETING ${TOKEN:+True}" >/www/shop/index.html;
            cp /www/shop/index.html /www/shop/other; echo fine >/www/shop/healthz;
            echo "started VERSION"; exec busybox httpd -f -p "$PORT" -h /www
        health: /shop/healthz
        start_timeout: 5
        before: ['echo "VERSION ${TOKEN:+True}" >>/data/migrations']
        env: { GREETING: "it's 100% $HOME", TOKEN: { made: shop-token } }
"#;

/// A host, and images of each version as files beside the inventory.
pub(super) fn shop() -> Shop {
    let shop = Shop::new();
    for version in ["one", "two", "three"] {
        shop.host.sh(&format!(
            "docker tag redis:7-alpine shop:{version} && docker save -o /root/{version}.tar shop:{version} && \
             docker rmi shop:{version}"
        ));
        let saved = shop.host.host.root().join(format!("root/{version}.tar"));
        fs::copy(saved, shop.host.folder().join(format!("shop-{version}.tar"))).unwrap();
    }
    shop
}

fn images(shop: &Shop) -> String {
    shop.host.sh("docker images --format '{{.Repository}}:{{.Tag}}' | grep ^shop: | sort || true")
}

fn an_app_in_a_container_is_deployed_without_a_lost_request() {
    let shop = shop();
    shop.write("one", BY_IMAGE);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(shop.body("/shop/"), "one it's 100% $HOME True\n");
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    the_verbs_know_it(&shop);

    a_new_version_takes_over(&shop, BY_IMAGE);
    assert_eq!(images(&shop), "shop:one\nshop:two", "the image of before stays");
    a_bad_version_changes_nothing(&shop);
    the_way_back_loses_nothing(&shop);
    older_images_go(&shop);
}

fn the_verbs_know_it(shop: &Shop) {
    shop.is_well();
    let (code, events) = shop.hwctl("logs", &["shop"]);
    assert!(code == 0 && format!("{events:?}").contains("started one"), "{events:#?}");
    let started = "docker inspect -f '{{.State.StartedAt}}' $(docker ps -q --filter name='^shop-')";
    let before = shop.host.sh(started);
    let (code, events) = shop.hwctl("restart", &["shop"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "restarted"), "{events:#?}");
    assert_ne!(shop.host.sh(started), before);
}

fn a_bad_version_changes_nothing(shop: &Shop) {
    let before = shop.instances();
    let at = |from: &str, to: &str| {
        assert!(BY_IMAGE.contains(from), "{from}");
        BY_IMAGE.replace(from, to)
    };
    let bad = [
        ("ends at once", at("exec busybox", "echo the reason; exit 7; exec busybox"), "the reason"),
        ("is not healthy", at("echo fine >/www/shop/healthz;", ""), "it answers 404"),
        ("listens elsewhere", at("\"$PORT\"", "9999"), "does not answer /shop/healthz"),
        ("cannot migrate", at("before: [", "before: ['echo told; exit 9', "), "told"),
    ];
    for (what, apps, says) in bad {
        a_bad_version_is_undone(shop, (what, &apps, says), &before);
        let left = shop.host.sh("docker ps -a --format '{{.Names}}' --filter name='^shop-'");
        assert_eq!(left, before, "{what}");
    }
    shop.write("three", &at("shop-VERSION.tar", "shop-one.tar"));
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 2, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("has `shop:one`, and not `shop:three`"), "{told}");
    let unreachable = at("image: shop:", "image: 127.0.0.1:5999/shop:");
    shop.write("three", &unreachable.replace("        image_archive: shop-VERSION.tar\n", ""));
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("`apps.shop.image` cannot be pulled"), "{told}");
    assert!(told.contains("nothing was changed"), "{told}");
    shop.write("two", BY_IMAGE);
    let (code, events) = shop.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
}

fn the_way_back_loses_nothing(shop: &Shop) {
    let (code, events) = shop.under_load("a rollback", || shop.hwctl("rollback", &["--yes"]));
    assert_eq!(code, 0, "{events:#?}");
    assert!(shop.body("/shop/").starts_with("one "), "{events:#?}");
    shop.write("one", BY_IMAGE);
    let (code, events) = shop.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");
}

fn older_images_go(shop: &Shop) {
    for version in ["two", "three"] {
        shop.write(version, BY_IMAGE);
        let (code, events) = shop.hwctl("provision", &["--only", "shop"]);
        assert_eq!(code, 0, "{events:#?}");
        assert!(shop.body("/shop/").starts_with(version));
    }
    assert_eq!(images(shop), "shop:three\nshop:two");
    let migrations = shop.host.sh("cat /var/lib/docker/volumes/shop-data/_data/migrations");
    assert!(migrations.ends_with("two True\nthree True"), "{migrations}");
    let (code, events) = shop.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(shop.body("/shop/").starts_with("two "));
}

fn an_app_in_a_container_has_few_rights_and_goes_as_a_whole() {
    let shop = shop();
    let apps =
        BY_IMAGE.replace("health:", "instances: 2\n        networks: [shop]\n        health:");
    shop.write("one", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");

    let instances = shop.instances();
    assert_eq!(instances.lines().count(), 2, "{instances}");
    let inspected = shop.host.sh("docker inspect $(docker ps -q --filter name='^shop-')");
    let token = shop.host.sh("cat /var/lib/hwctl/secrets/shop-token");
    assert!(!inspected.contains(&token), "the secret shows");
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    for container in inspected.as_array().unwrap() {
        let config = &container["HostConfig"];
        assert_eq!(config["ReadonlyRootfs"], true);
        assert_eq!(config["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(config["PortBindings"]["8080/tcp"][0]["HostIp"], "127.0.0.1");
    }
    let open = "grep -rs '@' /etc/systemd /var/lib/hwctl/runs /var/lib/hwctl/manifest; \
                grep -rs '@' /proc/[0-9]*/cmdline; true";
    assert_eq!(shop.host.sh(&open.replace('@', &token)), "", "the secret shows");

    let (code, events) = shop.host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(shop.instances(), "");
    assert_eq!(images(&shop), "");
    assert!(shop.host.sh_ok("docker volume inspect shop-data"), "its data stays");
    assert!(!shop.host.sh_ok("ls -d /etc/hwctl/containers/shop-*"));

    shop.write("two", &apps);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = shop.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!shop.host.sh_ok("ls -d /etc/hwctl/containers/shop-* /var/lib/docker/containers/*"));
}

fn what_an_app_in_a_container_cannot_have_is_refused() {
    let shop = Shop::new();
    let base = "\n      shop:\n        path: /shop\n        image: redis:7-alpine\n";
    let with = |line: &str| format!("{base}        {line}\n");
    let cases = [
        (with("binary: shop"), "takes one of `binary`, `source` and `image`"),
        (with("run: [shop]"), "`apps.shop.run` needs a program on the host"),
        (with("listen: socket"), "`apps.shop.listen` needs a program on the host"),
        (with("user: root"), "`apps.shop.user` takes the number of a user"),
        (with("container_port: 0"), "`apps.shop.container_port` takes a whole number"),
        (with("env: { PORT: 1 }"), "cannot set `PORT`"),
        (with("volumes: [{ path: /etc/x, target: /x }]"), "it is a folder of the system"),
        (with("volumes: [data:/x, more:/x]"), "has two things at `/x`"),
        (with("volumes: [{ path: /var/www/site1, target: /x }]"), "overlap"),
        (with("volumes: [flask-app_redis-data:/x]"), "two parts would have the volume"),
        (
            base.replace("image: redis:7-alpine", "source: shop\n        user: 999"),
            "`apps.shop.user` needs `image`",
        ),
        (with("instances: 0"), "`apps.shop.instances` takes a whole number"),
    ];
    for (apps, says) in cases {
        shop.write("one", &apps);
        let (code, events) = shop.hwctl("provision", &[]);
        let told = failure(&events);
        assert!(told.contains(says), "`{says}` is not in {told}");
        assert!(told.contains("apps.yaml:"), "{told}");
        assert_eq!(code, 2, "{events:#?}");
    }
    shop.host.sh("ln -s /etc /srv/link");
    shop.write("one", &with("volumes: [{ path: /srv/link, target: /x }]"));
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("/srv/link"), "{events:#?}");
    // Docker would lose what the image keeps there with each new container.
    shop.write("one", &with("container_port: 22"));
    let (code, events) = shop.hwctl("plan", &[]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("keeps data at `/data`, and no volume is there"), "{told}");
    // Inside of a container these ports are nobody's.
    shop.write("one", &with("container_port: 22\n        tmpfs: [/data]"));
    let (_, events) = shop.hwctl("plan", &[]);
    assert!(changes(&events).iter().any(|id| id.starts_with("container shop-")), "{events:#?}");
}
