//! An image that is pulled from a registry: Debian's own, on the lab host itself.

use crate::host::{Provisioned, changes, failure};

crate::tests! {
    Lab: [an_image_is_pulled_layer_by_layer],
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
    let (code, events) = host.hwctl("provision", &["--set", IMAGE]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"packages apt"), "{events:#?}");
    assert!(changes(&events).contains(&"image 127.0.0.1:5000/redis:7"), "{events:#?}");
    assert!(host.sh_ok("check-flask"));
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
