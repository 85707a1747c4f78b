//! What is in the way on a host is found before anything begins, and named.

use crate::host::{Provisioned, failure, kept, wait_until};

crate::tests! {
    Lab: [
        a_source_of_apt_that_does_not_answer_is_named_and_done_without,
        the_holder_of_a_port_is_named_in_the_plan_and_by_doctor,
        a_folder_from_which_no_program_may_run_is_named,
        settings_of_docker_that_redis_cannot_run_with_are_refused_in_the_plan,
        a_docker_that_is_switched_off_is_told_and_a_broken_one_is_refused,
    ],
}

const DOCKER: &str = "{ DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
                      docker.io docker-cli iptables; } >/dev/null 2>&1";

/// The plan of a host with an obstacle: what the failure says. Nothing was touched.
fn refused(host: &Provisioned) -> String {
    let (code, events) = host.hwctl("plan", &[]);
    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(host.is_untouched(), "{told}");
    told
}

fn a_source_of_apt_that_does_not_answer_is_named_and_done_without() {
    let host = Provisioned::fresh("trixie");
    host.sh(
        "echo 'deb [trusted=yes] http://127.0.0.1:9/apt stable main' >/etc/apt/sources.list.d/dead.list; \
         touch -d '3 days ago' /var/lib/apt/lists/*_Packages* 2>/dev/null || :",
    );
    let lists = "ls -lR --time-style=full-iso /var/lib/apt/lists";
    let before = host.sh(lists);

    let (code, events) = host.hwctl("plan", &[]);

    assert_eq!(code, 3, "{events:#?}");
    let told = serde_json::to_string(&events).unwrap();
    assert_eq!(kept(&events), ["packages apt"], "{told}");
    assert!(told.contains("`http://127.0.0.1:9/apt stable`") && told.contains("refused"), "{told}");
    assert_eq!(host.sh(lists), before, "a plan changes nothing");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
}

fn the_holder_of_a_port_is_named_in_the_plan_and_by_doctor() {
    let host = Provisioned::fresh("trixie");
    let archive = crate::host::lab().redis_archive().unwrap();
    std::fs::copy(archive, host.host.root().join("root/image.tar")).unwrap();
    host.sh(&format!(
        "mkdir -p /etc/docker; echo '{{ \"userland-proxy\": false }}' >/etc/docker/daemon.json; {DOCKER}; \
         docker load -q -i /root/image.tar; docker run -d --name theirs -p 6379:6379 redis:7-alpine"
    ));

    let told = refused(&host);
    assert!(told.contains("port 6379") && told.contains("the container `theirs`"), "{told}");
    assert!(told.contains("redis.port"), "{told}");
    host.sh("docker rm -f theirs");
    let listen = "systemd-run --unit=stray --socket-property=ListenStream=127.0.0.1:6379 sleep 999";
    host.sh(listen);
    let told = refused(&host);
    assert!(told.contains("is taken by `systemd`"), "{told}");
    let (code, events) = host.hwctl("provision", &["--set", "redis.port=6380"]);
    assert_eq!(code, 0, "{events:#?}");

    host.sh("docker stop redis-flask; systemctl stop stray.socket");
    host.sh(&listen.replace("6379", "6380").replace("stray", "other"));
    let (code, events) = host.hwctl("doctor", &["--set", "redis.port=6380"]);
    let told = serde_json::to_string(&events).unwrap();
    assert!(code == 1 && told.contains("port 6380 is taken by `systemd`"), "{told}");
    host.sh("systemctl stop other.socket");
    wait_until("doctor mends it", || {
        host.hwctl("doctor", &["--fix", "--set", "redis.port=6380"]).0 == 0
    });
}

fn a_folder_from_which_no_program_may_run_is_named() {
    let host = Provisioned::fresh("trixie");
    host.sh("rm -rf /usr/local/lib/hwctl; mount -t tmpfs -o noexec none /usr/local/lib");

    let (code, events) = host.hwctl("plan", &[]);

    let told = failure(&events);
    assert!(code == 1 && told.contains("noexec") && told.contains("findmnt"), "{told}");
    host.sh("mount -o remount,exec /usr/local/lib");
    assert_eq!(host.hwctl("plan", &[]).0, 3);
}

fn settings_of_docker_that_redis_cannot_run_with_are_refused_in_the_plan() {
    let host = Provisioned::fresh("trixie");
    let write = |settings: &str| {
        host.sh(&format!("mkdir -p /etc/docker; echo '{settings}' >/etc/docker/daemon.json"));
    };

    write(r#"{ "userns-remap": "default" }"#);
    assert!(refused(&host).contains("userns-remap"));
    write(r#"{ "hosts": ["unix:///run/docker.sock"] }"#);
    assert!(refused(&host).contains("exclude each other"));
    write("{ \"bip\": ");
    assert!(refused(&host).contains("no JSON"));
    host.sh("rm /etc/docker/daemon.json; mkdir -p /snap/bin; touch /snap/bin/docker");
    assert!(refused(&host).contains("snap"));
    host.sh("rm -r /snap");

    // Beside a command of its own, `hosts` is right.
    write(r#"{ "hosts": ["fd://"] }"#);
    host.sh(
        "mkdir -p /etc/systemd/system/docker.service.d /run/user/1000; touch /run/user/1000/docker.sock; \
         printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd\\n' \
         >/etc/systemd/system/docker.service.d/own.conf",
    );
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(serde_json::to_string(&events).unwrap().contains("also runs without root for"));
}

fn a_docker_that_is_switched_off_is_told_and_a_broken_one_is_refused() {
    let host = Provisioned::fresh("trixie");
    host.sh(&format!(
        "{DOCKER}; systemctl disable --now docker.socket docker.service; mkdir -p /etc/docker; \
         echo '{{ \"no-such-setting\": 1 }}' >/etc/docker/daemon.json"
    ));

    let told = refused(&host);
    assert!(told.contains("no-such-setting"), "{told}");
    host.sh("rm /etc/docker/daemon.json");
    let (code, events) = host.hwctl("provision", &[]);
    let told = serde_json::to_string(&events).unwrap();
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("Docker is installed and switched off"), "{told}");

    // What Docker says of a start that fails is in the message.
    host.sh("systemctl stop docker.socket docker; touch /root/no-folder; \
         echo '{ \"data-root\": \"/root/no-folder\" }' >/etc/docker/daemon.json");
    let (code, events) = host.hwctl("provision", &[]);
    let told = failure(&events);
    assert!(code != 0 && told.contains("points to a file"), "{told}");
}
