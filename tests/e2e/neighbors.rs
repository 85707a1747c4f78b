//! A host that is not empty: containers and packages of others stay as they are, or the plan names
//! what becomes of them.

use std::time::Duration;

use serde_json::Value;

use crate::host::{Provisioned, changes, failure, kept, wait_until};

crate::tests! {
    Lab: [
        published_ports_of_others_are_named_and_given_back,
        eighty_published_ports_stay_or_are_named,
        published_ports_are_closed_whatever_their_network_is_called,
        a_program_with_a_rule_of_its_own_stays_and_is_expected,
        another_firewall_is_refused_in_the_plan,
        ssh_stays_as_narrow_as_its_owner_made_it,
        a_rotation_of_others_for_the_same_logs_is_named_in_the_plan,
        a_docker_that_was_there_is_used,
        a_package_that_would_go_is_named_and_stays,
        a_package_of_others_that_dpkg_cannot_finish_is_no_obstacle,
        what_is_protected_from_changes_is_refused_in_the_plan,
        a_policy_against_starting_services_leaves_a_way_there_and_back,
    ],
}

const OPEN: &str = "firewall.allow=[80/tcp, 443/tcp, 8081/tcp]";

/// The details of a planned change, as text.
fn details(events: &[Value], id: &str) -> String {
    let plan = events.iter().find(|event| event["event"] == "plan").expect("a plan");
    let mut changes = plan["changes"].as_array().unwrap().iter();
    changes.find(|change| change["id"] == id).map_or_else(String::new, Value::to_string)
}

/// A host with a docker that somebody else installed, and a container that outsiders reach.
fn with_docker(install: &str) -> Provisioned {
    let host = Provisioned::fresh("trixie");
    let archive = crate::host::lab().redis_archive().unwrap();
    std::fs::copy(archive, host.host.root().join("root/image.tar")).unwrap();
    host.sh(&format!(
        "export DEBIAN_FRONTEND=noninteractive; {{ {install}; }} >/dev/null 2>&1 && \
         docker load -q -i /root/image.tar && docker run -d --name theirs --restart always \
         -p 8081:6379 redis:7-alpine redis-server --protected-mode no"
    ));
    host
}

const DEBIANS: &str = "apt-get install -q -y --no-install-recommends docker.io docker-cli iptables";
/// Debian's packages under the names of Docker's own, which do not go together with Debian's.
const DOCKERS: &str = r#"cd /root && for names in docker.io:docker-ce docker-cli:docker-ce-cli; do
    old=${names%%:*} new=${names##*:}
    dpkg-deb -R /var/cache/apt/archives/${old}_*.deb $new || exit
    sed -i "s/^Package: .*/Package: $new/; /^\(Conflicts\|Breaks\|Replaces\|Provides\|Recommends\|Suggests\|Built-Using\):/d; s/^Maintainer:/Conflicts: $old\nMaintainer:/" $new/DEBIAN/control
    # Packing 100 MB takes a minute of both cores, and nothing is gained by it.
    dpkg-deb -Znone -b $new $new.deb || exit
done
apt-get install -q -y --no-install-recommends iptables ./docker-ce.deb ./docker-ce-cli.deb"#;

fn published_ports_of_others_are_named_and_given_back() {
    let host = with_docker(DEBIANS);
    host.sh("iptables -I DOCKER-USER -s 203.0.113.7 -j DROP");
    let chain = "iptables -S DOCKER-USER; ip6tables -S DOCKER-USER 2>/dev/null || :";
    let before = host.sh(chain);
    wait_until("their container answers", || host.answers(8081));

    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!(code, 3, "{events:#?}");
    let firewall = details(&events, "firewall ufw");
    assert!(firewall.contains("container theirs") && firewall.contains("8081/tcp"), "{firewall}");
    assert!(firewall.contains("firewall.allow"), "{firewall}");
    let open = ["--set", OPEN];
    let (_, events) = host.hwctl("plan", &open);
    assert!(!details(&events, "firewall ufw").contains("container theirs"), "{events:#?}");

    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.answers(8081), "the plan said so");
    assert_eq!(host.hwctl("provision", &open).0, 0);
    assert!(host.answers(8081), "and how it stays reachable");

    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(host.answers(8081), "{}", host.sh("iptables -S"));
    assert_eq!(host.sh(chain), before);
}

/// The names that Docker gives to bridges are its own to choose, and the owner's.
fn published_ports_are_closed_whatever_their_network_is_called() {
    let host = Provisioned::ready("trixie");
    let run = "docker run -d redis:7-alpine redis-server --protected-mode no";
    let run = |options: &str| host.sh(&run.replace("-d", &format!("-d {options}")));
    host.sh("docker network create -o com.docker.network.bridge.name=shop0 shop");
    run("--name shop --network shop -p 8085:6379");
    run(&format!("--name one --network shop -p {}:8086:6379", host.host.address));
    run("--name plain -p 8087:6379");

    for port in [8085, 8086, 8087] {
        assert!(host.sh_ok(&format!("docker port $(docker ps -qf publish={port})")));
        assert!(!host.answers(port), "{port}: {}", host.sh("iptables -S; iptables -t nat -S"));
    }
    // Docker itself may have added a rule that ends the chain.
    let rules = |program| host.sh(&format!("{program} -S DOCKER-USER | grep -v 'USER -j RETURN'"));
    assert_eq!(rules("iptables"), rules("ip6tables"));
    // What the containers themselves begin is let through, and so are they to each other.
    let outside = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let gateway = host.sh("ip route show default | cut -d' ' -f3");
    host.sh(&format!(
        "nsenter -n -t $(docker inspect -f '{{{{.State.Pid}}}}' shop) bash -c '</dev/tcp/{gateway}/{port}'"
    ));
    host.sh("docker exec shop redis-cli -h one PING");
    assert_eq!(host.hwctl("plan", &[]).0, 0, "another bridge changes no rule");
    let (code, events) = host.hwctl("verify", &[]);
    assert_eq!(code, 0, "{events:#?}");

    host.sh("iptables -I DOCKER-USER -p tcp -j ACCEPT");
    wait_until("the hole is open", || host.answers(8085));
    let (code, events) = host.hwctl("verify", &[]);
    let told = serde_json::to_string(&events).unwrap();
    assert!(code == 1 && told.contains("port 8085, 8086, 8087 answers"), "{told}");
    let (code, events) = host.hwctl("status", &[]);
    let told = serde_json::to_string(&events).unwrap();
    assert!(code == 1 && told.contains("not in the kernel"), "{told}");
    let (code, events) = host.hwctl("doctor", &["--fix"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.answers(8085), "{}", host.sh("iptables -S DOCKER-USER"));

    let open = "firewall.allow=[80/tcp, 443/tcp, {port: 8085, from: 0.0.0.0/0}]";
    assert_eq!(host.hwctl("provision", &["--set", open]).0, 0);
    assert!(host.answers(8085) && !host.answers(8086));
    let elsewhere = open.replace("0.0.0.0/0", "192.0.2.0/24");
    assert_eq!(host.hwctl("provision", &["--set", &elsewhere]).0, 0);
    assert!(!host.answers(8085), "it is open to another network alone");
    assert_eq!(host.hwctl("plan", &["--set", &elsewhere]).0, 0);

    // On the outer network itself no rule of the host can close a port, which the plan says.
    host.sh("docker network create -d macvlan -o parent=eth0 --subnet 10.99.0.0/24 lan");
    run("--name beside --network lan");
    let (_, events) = host.hwctl("plan", &["--set", &elsewhere]);
    assert_eq!(kept(&events), ["firewall ufw"], "{events:#?}");
}

fn a_program_with_a_rule_of_its_own_stays_and_is_expected() {
    let host = Provisioned::fresh("trixie");
    host.sh("{ apt-get install -q -y --no-install-recommends ufw iptables; } >/dev/null 2>&1; \
         ufw allow 22/tcp; ufw allow 8080/tcp; ufw --force enable; \
         systemd-run --unit=theirs --socket-property=ListenStream=8080 sleep 999");

    let (code, events) = host.hwctl("provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    let told = serde_json::to_string(&events).unwrap();
    assert!(told.contains("rules that others made: allow 22/tcp, allow 8080/tcp"), "{told}");
    assert!(host.answers(8080));
    let (code, events) = host.hwctl("verify", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = host.hwctl("restart", &["api"]);
    assert_eq!(code, 0, "{events:#?}");
}

fn another_firewall_is_refused_in_the_plan() {
    let host = Provisioned::fresh("trixie");
    host.sh("{ apt-get install -q -y --no-install-recommends nftables iptables; } >/dev/null 2>&1");
    let own = "nft add table inet own; \
               nft 'add chain inet own in { type filter hook input priority 0; policy drop; }'; \
               nft add rule inet own in ct state established,related accept; \
               nft add rule inet own in tcp dport 22 accept";
    let clouds = "iptables -A INPUT -p tcp --dport 22 -j ACCEPT; iptables -A INPUT -j REJECT";
    let bans = "iptables -N f2b-sshd; iptables -A INPUT -p tcp --dport 22 -j f2b-sshd; \
                iptables -A f2b-sshd -s 203.0.113.7 -j REJECT; iptables -A f2b-sshd -j RETURN; \
                nft add table inet f2b; nft 'add set inet f2b bad { type ipv4_addr; }'; \
                nft 'add chain inet f2b in { type filter hook input priority -1; }'; \
                nft add rule inet f2b in tcp dport 22 ip saddr @bad drop";
    for (set_up, take_away, named) in [
        (own, "nft delete table inet own", "nft chain inet own in, policy drop"),
        (clouds, "iptables -F INPUT", "-A INPUT -j REJECT"),
        (
            "systemctl enable nftables",
            "systemctl disable nftables",
            "`nftables` is another firewall",
        ),
        ("systemctl start nftables", "systemctl stop nftables", "disable --now nftables.service"),
    ] {
        host.sh(set_up);

        let (code, events) = host.hwctl("provision", &[]);

        let told = failure(&events);
        assert_eq!(code, 1, "{set_up}: {events:#?}");
        assert!(told.contains(named) && told.contains("--skip firewall"), "{set_up}: {told}");
        assert!(host.is_untouched(), "{set_up}");
        host.sh(take_away);
    }
    // The way on: the firewall is the owner's, and ufw does not come.
    host.sh(own);
    let (code, events) = host.hwctl("plan", &["--skip", "firewall"]);
    assert_eq!(code, 3, "{events:#?}");
    assert!(!details(&events, "packages apt").contains("ufw"), "{events:#?}");
    host.sh("nft delete table inet own");
    host.sh("systemctl mask nftables");
    host.sh(bans);
    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!(code, 3, "{events:#?}");
}

fn ssh_stays_as_narrow_as_its_owner_made_it() {
    let host = Provisioned::fresh("trixie");
    let network = host.sh("ip route show dev eth0 scope link | cut -d' ' -f1");
    host.sh(&format!(
        "{{ apt-get install -q -y --no-install-recommends ufw iptables; }} >/dev/null 2>&1; \
         ufw allow proto tcp from {network} to any port 22; ufw --force enable"
    ));
    let rules = || host.sh("grep -h '^### tuple' /etc/ufw/user.rules /etc/ufw/user6.rules");

    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let ssh = |rules: String| rules.lines().filter(|line| line.contains(" 22 ")).count();
    assert_eq!(ssh(rules()), 1, "{}", rules());
    assert_eq!(host.hwctl("plan", &[]).0, 0);

    // The inventory decides where it says something.
    let from = |network: &str| {
        format!(
            "firewall.allow=[80/tcp, 443/tcp, {{port: 22, from: '{network}'}}, {{port: 8080, from: '2001:db8::/32'}}]"
        )
    };
    let (code, events) = host.hwctl("plan", &["--set", &from("192.0.2.0/24")]);
    assert!(code == 2 && failure(&events).contains("lets nobody in to ssh"), "{events:#?}");
    let narrow = from(&network);
    let (code, events) = host.hwctl("provision", &["--set", &narrow]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(rules().contains("allow tcp 8080 ::/0 any 2001:db8::/32 in"), "{}", rules());
    assert_eq!(host.hwctl("plan", &["--set", &narrow]).0, 0);
    let shown = host.sh("ufw status");
    assert!(shown.contains("2001:db8::/32"), "ufw reads them: {shown}");
}

fn a_rotation_of_others_for_the_same_logs_is_named_in_the_plan() {
    let host = Provisioned::fresh("trixie");
    host.sh("mkdir -p /etc/logrotate.d; cd /etc/logrotate.d; \
         printf '/var/log/*/*.log {\\n weekly\\n}\\n' >app-nginx; \
         printf '# /var/log/nginx/*.log\\n/var/log/app.log {\\n weekly\\n}\\n' >app");

    let (_, events) = host.hwctl("plan", &[]);

    let told = serde_json::to_string(&events).unwrap();
    assert_eq!(kept(&events), ["file /etc/logrotate.d/nginx"], "{told}");
    assert!(told.contains("`/etc/logrotate.d/app-nginx` names nginx's logs too"), "{told}");
}

fn a_docker_that_was_there_is_used() {
    let host = with_docker(DOCKERS);
    let state = "docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' theirs; \
                 dpkg-query -W -f '${Package} ${Status}\n' 'docker*'";
    let before = host.sh(state);
    assert!(before.contains("docker-ce install ok installed"), "{before}");

    let (code, events) = host.hwctl("provision", &["--set", OPEN]);
    assert_eq!(code, 0, "{events:#?}");

    assert!(!details(&events, "packages apt").contains("docker"), "{events:#?}");
    assert_eq!(host.sh(state), before);
    assert!(host.answers(8081));
    assert_eq!(host.hwctl("destroy", &["--yes"]).0, 0);
    assert_eq!(host.sh(state), before);
    assert!(host.answers(8081));
}

fn a_package_that_would_go_is_named_and_stays() {
    let host = Provisioned::fresh("trixie");
    host.sh(
        "mkdir -p /root/p/DEBIAN && printf 'Package: their-proxy\nVersion: 1\nArchitecture: all\n\
         Conflicts: nginx\nMaintainer: m <m@example.org>\nDescription: d\n' >/root/p/DEBIAN/control && \
         dpkg-deb -b /root/p /root/p.deb >/dev/null && dpkg -i /root/p.deb >/dev/null",
    );

    let (code, events) = host.hwctl("plan", &[]);

    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("apt would remove `their-proxy`"), "{told}");
    assert_eq!(host.hwctl("provision", &[]).0, 1);
    assert!(host.sh_ok("dpkg -s their-proxy") && host.is_untouched());
}

fn a_package_of_others_that_dpkg_cannot_finish_is_no_obstacle() {
    let host = Provisioned::ready("trixie");
    host.sh("mkdir -p /root/p/DEBIAN && printf 'Package: theirs\nVersion: 1\nArchitecture: all\n\
         Maintainer: m <m@example.org>\nDescription: d\n' >/root/p/DEBIAN/control && \
         printf '#!/bin/sh\necho >>/root/tried; exit 1\n' >/root/p/DEBIAN/postinst && \
         chmod 755 /root/p/DEBIAN/postinst && dpkg-deb -b /root/p /root/p.deb >/dev/null && \
         { dpkg -i /root/p.deb >/dev/null 2>&1 || true; }");
    let tried = host.sh("wc -l </root/tried");

    let (code, events) = host.hwctl("provision", &["--set", "logrotate.keep=9"]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(changes(&events), ["file /etc/logrotate.d/nginx"]);
    assert_eq!(kept(&events), ["packages apt"], "{events:#?}");
    assert_eq!(host.sh("wc -l </root/tried"), tried, "its script ran again");
}

fn what_is_protected_from_changes_is_refused_in_the_plan() {
    let host = Provisioned::ready("trixie");
    let set = ["--set", "logrotate.keep=9"];
    // Bound from a plain file system, where flags are kept.
    host.sh("rm -f /etc/logrotate.d/nginx; mkdir -p /var/lib/docker/kept && \
             mount --bind /var/lib/docker/kept /etc/logrotate.d && echo theirs >/etc/logrotate.d/nginx && \
             chattr +i /etc/logrotate.d/nginx");

    let (code, events) = host.hwctl("plan", &set);

    let told = failure(&events);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("`/etc/logrotate.d/nginx` is immutable"), "{told}");
    assert!(told.contains("chattr -i /etc/logrotate.d/nginx"), "{told}");
    assert_eq!(host.hwctl("provision", &set).0, 1);
    host.sh("chattr -i /etc/logrotate.d/nginx");
    assert_eq!(host.hwctl("provision", &set).0, 0);
}

/// As in images of clouds and containers: the scripts of packages start and stop nothing.
fn a_policy_against_starting_services_leaves_a_way_there_and_back() {
    let host = Provisioned::ready("trixie");
    host.sh(
        "printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d",
    );

    for _ in 0..2 {
        let (code, events) = host.hwctl("destroy", &["--yes"]);
        assert_eq!(code, 0, "{events:#?}");
        assert!(!host.sh_ok("pgrep -x nginx || pgrep -x dockerd || pgrep -x containerd"));
        let (code, events) = host.hwctl("provision", &[]);
        assert_eq!(code, 0, "{events:#?}");
        assert_eq!(host.hwctl("plan", &[]).0, 0);
    }
}

/// Eighty published ports of three containers: on all addresses, on a network whose bridge has a name of
/// its own, on one address, and on the loopback.
fn eighty_published_ports_stay_or_are_named() {
    let host = with_docker(DEBIANS);
    let run = |name: &str, options: &str| {
        host.sh(&format!(
            "docker run -d --name {name} --restart always {options} redis:7-alpine redis-server --protected-mode no"
        ));
    };
    let publish = |ports: std::ops::Range<u16>, address: &str| {
        ports.map(|port| format!("-p {address}{port}:6379")).collect::<Vec<_>>().join(" ")
    };
    host.sh("docker network create -o com.docker.network.bridge.name=shop0 shop");
    run("many", &publish(9000..9040, ""));
    run("shop", &format!("--network shop {}", publish(9040..9060, "")));
    let here = format!("{}:", host.host.address);
    run("some", &format!("{} {}", publish(9060..9070, &here), publish(9070..9080, "127.0.0.1:")));
    let inside =
        "bash -c 'for port in {9070..9079}; do (exec 3<>/dev/tcp/127.0.0.1/$port) || exit; done'";
    let all: Vec<u16> = (9000..9070).collect();
    let (kept, closed): (Vec<u16>, Vec<u16>) = all.iter().partition(|port| **port % 2 == 0);
    let answering = || all.iter().copied().filter(|port| host.answers(*port)).collect::<Vec<_>>();
    wait_until("their containers answer", || answering() == all && host.sh_ok(inside));
    let open: Vec<_> = kept.iter().map(|port| format!("{port}/tcp")).collect();
    let open = format!("firewall.allow=[80/tcp, 443/tcp, {}]", open.join(", "));

    // A run that is undone.
    let service = host.folder().join("templates/systemd/flask-app.service");
    std::fs::create_dir_all(service.parent().unwrap()).unwrap();
    let text = include_str!("../../templates/systemd/flask-app.service");
    std::fs::write(&service, text.replace("{{ binary | systemd }}", "/bin/false")).unwrap();
    let (code, events) = host.hwctl("provision", &["--set", &open]);
    assert_eq!(code, 4, "{events:#?}");
    assert_eq!(answering(), all, "after a run that was undone");
    std::fs::remove_file(&service).unwrap();

    // What is declared open stays so all the time; what closes is named.
    let provision = host.command("provision", &["--set", &open]).spawn().unwrap();
    let provision = std::thread::spawn(|| provision.wait_with_output().unwrap());
    while !provision.is_finished() {
        for port in kept.iter().step_by(7) {
            assert!(host.answers_within(*port, Duration::from_secs(3)), "{port} during the run");
        }
    }
    let (code, events) = Provisioned::read(&provision.join().unwrap());
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(answering(), kept);
    assert!(host.sh_ok(inside), "what is on the loopback stays there");
    let firewall = details(&events, "firewall ufw");
    for port in &closed {
        assert!(firewall.contains(&format!("{port}/tcp")), "{port} is not named: {firewall}");
    }

    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(answering(), all, "after destroy");
    assert!(host.sh_ok(inside));
}
