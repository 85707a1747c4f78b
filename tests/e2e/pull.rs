//! An image that is pulled from a registry: Debian's own, on the lab host itself.

use crate::host::{Provisioned, changes, failure};

crate::tests! {
    Lab: [an_image_is_pulled_layer_by_layer, an_image_is_pulled_with_a_login_that_nobody_keeps],
}

const IMAGE: &str = "redis.image=127.0.0.1:5000/redis:7";

fn an_image_is_pulled_layer_by_layer() {
    let host = Provisioned::ready("trixie");
    let path = host.folder().join("inventory.yaml");
    let inventory = std::fs::read_to_string(&path).unwrap();
    let lines = inventory.lines().filter(|line| !line.contains("image_archive"));
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();

    // Nothing listens there yet: Redis goes on with the image that it has.
    let (code, events) = host.hwctl("provision", &["--set", IMAGE]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("does not reach the registry `127.0.0.1:5000`"), "{told}");
    assert!(told.contains("nothing was changed"), "{told}");
    assert!(told.contains("redis.image_archive"), "{told}");
    assert!(host.sh_ok("check-flask"));

    a_registry_has_it(&host);
    let (code, events) = host.hwctl("provision", &["--set", IMAGE]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"image 127.0.0.1:5000/redis:7"));
    let told: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "change_progress")
        .filter_map(|event| Some((event["message"].as_str()?, event["fraction"].as_f64()?)))
        .filter(|(message, _)| message.contains(" of 2 layers"))
        .collect();
    assert!(told.iter().any(|(message, _)| message.contains(" MB")), "{events:#?}");
    let (message, fraction) = told.last().expect("progress");
    assert!(message.starts_with("2 of 2 layers, ") && *fraction > 0.999, "{told:?}");
    assert!(told.is_sorted_by_key(|(_, fraction)| *fraction), "{told:?}");
    let (code, events) = host.hwctl("plan", &["--set", IMAGE]);
    assert_eq!((code, changes(&events)), (0, vec![]), "a tag that is there is not pulled again");

    // Where docker itself comes with the run, the container waits for its image, which waits for apt.
    host.sh("docker rm -f redis-flask >/dev/null && \
         apt-get purge -qq -y docker.io >/dev/null 2>&1 && rm -rf /var/lib/docker/*");
    for (image, why) in [
        (
            "redis.image=127.0.0.1:5000/redis:8",
            "the registry `127.0.0.1:5000` does not have it (404)",
        ),
        (
            "redis.image=127.0.0.1:5000/absent:7",
            "the registry `127.0.0.1:5000` does not have it (404)",
        ),
        ("redis.image=127.0.0.1:5999/redis:7", "does not reach the registry `127.0.0.1:5999`"),
    ] {
        let (code, events) = host.hwctl("provision", &["--set", image]);
        assert_eq!(code, 1, "{events:#?}");
        let told = failure(&events);
        assert!(told.contains("`redis.image` cannot be pulled") && told.contains(why), "{told}");
        assert!(told.contains("nothing was changed"), "{told}");
        assert!(!host.sh_ok("command -v dockerd"), "apt has begun");
    }
    let (code, events) = host.hwctl("provision", &["--set", IMAGE]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"packages apt"), "{events:#?}");
    assert!(changes(&events).contains(&"image 127.0.0.1:5000/redis:7"), "{events:#?}");
    assert!(host.sh_ok("check-flask"));
}

fn an_image_is_pulled_with_a_login_that_nobody_keeps() {
    const TOKEN: &str = "marked-secret-of-a-registry";
    let host = Provisioned::ready("trixie");
    host.sh("apt-get install -qq --no-install-recommends docker-registry apache2-utils >/dev/null 2>&1 && \
         cd /etc/docker/registry && sed -i '/^auth:/,$d' config.yml && \
         printf 'auth:\\n  htpasswd:\\n    realm: lab\\n    path: /etc/docker/registry/users\\n' >>config.yml");
    let password = host.host.root().join("root/token");
    std::fs::write(&password, TOKEN).unwrap();
    host.sh("htpasswd -iBc /etc/docker/registry/users deploy </root/token && chmod 644 /etc/docker/registry/users && \
         systemctl restart docker-registry && sleep 1 && \
         docker login -u deploy --password-stdin 127.0.0.1:5000 </root/token && \
         docker tag redis:7-alpine 127.0.0.1:5000/shop:1 && docker push -q 127.0.0.1:5000/shop:1 && \
         docker rmi 127.0.0.1:5000/shop:1 && docker logout 127.0.0.1:5000 && \
         rm -r /root/token /root/.docker");
    let set = |password: &str| {
        format!(
            "containers={{ shop: {{ image: 127.0.0.1:5000/shop:1, tmpfs: [/data], command: [sleep, 1000000], \
             registry: {{ user: deploy, password: {{ file: {password} }} }} }} }}"
        )
        .replace("[sleep", "[busybox, sleep")
    };
    std::fs::write(host.folder().join("token"), TOKEN).unwrap();
    std::fs::write(host.folder().join("wrong"), "marked-secret-that-is-wrong").unwrap();

    let (code, events) = host.hwctl("provision", &["--set", &set("wrong")]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("`containers.shop.image` cannot be pulled"), "{told}");
    assert!(told.contains("containers.shop.registry"), "{told}");
    assert!(told.contains("nothing was changed"), "{told}");
    // Where Docker is still to be installed, hwctl itself asks the registry.
    host.sh("systemctl stop docker.socket docker.service");
    host.sh("mv /usr/sbin/dockerd /usr/sbin/dockerd.away && mv /run/docker.sock /run/away.sock");
    let (code, events) = host.hwctl("plan", &["--set", &set("wrong")]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("the registry `127.0.0.1:5000` denies access (401)"), "{told}");
    host.sh("mv /usr/sbin/dockerd.away /usr/sbin/dockerd && mv /run/away.sock /run/docker.sock");
    host.sh("systemctl restart docker.socket docker.service");
    let (code, events) = host.hwctl("provision", &["--set", &set("token")]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"image 127.0.0.1:5000/shop:1"), "{events:#?}");

    assert!(!host.sh_ok("test -e /root/.docker"));
    let found = host.sh(
        "grep -rls marked-secret /var/lib/hwctl /etc /root /home /var/log /run 2>/dev/null || true",
    );
    assert_eq!(found, "");
    let (code, events) = host.hwctl("plan", &["--set", &set("token")]);
    assert_eq!((code, changes(&events)), (0, vec![]));
}

/// The stand-in with a layer more than docker has already.
fn a_registry_has_it(host: &Provisioned) {
    host.sh("apt-get install -qq --no-install-recommends docker-registry >/dev/null 2>&1 && \
         sed -i '/^auth:/,$d' /etc/docker/registry/config.yml && \
         systemctl restart docker-registry && sleep 1");
    host.sh("docker create --name grown redis:7-alpine && \
         head -c 40000000 /dev/urandom > /tmp/more && docker cp -q /tmp/more grown:/more && \
         docker commit grown 127.0.0.1:5000/redis:7 && docker rm grown && \
         docker push -q 127.0.0.1:5000/redis:7 && docker rmi 127.0.0.1:5000/redis:7");
}
