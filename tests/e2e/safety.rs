//! Nobody is locked out and nothing is lost, on real hosts: changes of the firewall that a new login
//! has to confirm, Ctrl-C, two runs at once.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::host::{Provisioned, changes, failure, outcome};
use serde_json::Value;

crate::tests! {
    Lab: [rules_that_nothing_leads_to_are_loaded_anew, a_host_with_slow_logins_gets_more_time, a_firewall_that_cuts_the_operator_off_is_taken_back, what_the_firewall_is_loaded_with_is_taken_back_with_it, a_second_run_waits_for_the_first_and_goes_on_when_that_is_killed, what_was_on_trial_when_a_run_was_cut_off_goes_with_the_next, what_fails_beside_apt_is_undone_once_apt_has_finished, ctrl_c_stops_after_the_change_in_hand_and_a_second_one_at_once],
}

const PLAIN: &[&str] = &["--host", "vm"];

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until a shell command succeeds on the host.
fn wait_for(host: &Provisioned, script: &str) {
    let start = Instant::now();
    while !host.sh_ok(script) {
        let log = || host.sh("journalctl -u hwctl-revert.service -n 20 -o cat; ufw status");
        assert!(start.elapsed() < Duration::from_mins(1), "`{script}` never succeeds: {}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a run says up to the first event that holds this text.
fn until(child: &mut Child, text: &str) -> Vec<Value> {
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let mut events = Vec::new();
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        events.push(serde_json::from_str(&line).expect(&line));
        if line.contains(text) {
            child.stdout = Some(output.into_inner());
            return events;
        }
        line.clear();
    }
    panic!("it never says `{text}`: {events:#?}");
}

fn end(child: Child) -> (i32, Vec<Value>) {
    Provisioned::read(&child.wait_with_output().unwrap())
}

fn a_firewall_that_cuts_the_operator_off_is_taken_back() {
    let host = Provisioned::ready("trixie");
    assert!(!host.sh_ok("test -e /etc/systemd/system/hwctl-revert.timer"), "it is disarmed");

    // A rule of the operator's own that nobody thought of while the firewall was off.
    let us = host.sh("ip -4 route show default | cut -d' ' -f3");
    host.sh(&format!("ufw --force disable; ufw insert 1 deny from {us}"));
    let (code, events) = host.hwctl("provision", &["--host", "vm", "--connect-timeout", "3"]);
    assert_eq!((code, outcome(&events).as_str()), (4, "undone"));
    assert!(failure(&events).contains("a new login does not work"), "{events:#?}");
    let stays = events.iter().find(|event| event["event"] == "kept").expect("what stays");
    assert_eq!(stays["because"], format!("rules that others made: deny any from {us}"));
    assert!(host.sh("ufw status").contains("inactive"));

    // No word from the operator's side: the host's own timer takes it back.
    let (code, events) = host
        .hwctl("provision", &["--host", "vm", "--connect-timeout", "15", "--confirm-timeout", "6"]);
    assert_eq!((code, outcome(&events).as_str()), (4, "undone"));
    assert!(failure(&events).contains("no new login succeeded within 6 s"), "{events:#?}");
    assert!(host.sh("ufw status").contains("inactive"));
    assert!(host.sh("ufw show added").contains("ufw deny from"), "the rules are as they were");

    // Neither the operator's side nor the engine lives: only the timer is left.
    let mut child = host
        .command(
            "provision",
            &["--host", "vm", "--connect-timeout", "30", "--confirm-timeout", "6"],
        )
        .spawn()
        .unwrap();
    wait_for(&host, "ufw status | grep -q 'Status: active'");
    child.kill().unwrap();
    host.sh_ok("pkill -9 -f 'hwctl-[0-9a-f]* engine'");
    child.wait().unwrap();
    assert!(host.sh_ok("systemctl is-active hwctl-revert.timer"));
    wait_for(&host, "ufw status | grep -q 'Status: inactive'");
    wait_for(&host, "! test -e /etc/systemd/system/hwctl-revert.timer");

    // Nor after the power has gone and come back in the middle.
    let timeouts = ["--host", "vm", "--connect-timeout", "30", "--confirm-timeout", "6"];
    let mut child = host.command("provision", &timeouts).spawn().unwrap();
    wait_for(&host, "ufw status | grep -q 'Status: active'");
    host.host.power_off_hard().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    host.host.boot_unreachable().unwrap();
    wait_for(&host, "ufw status | grep -q 'Status: inactive'");
    host.host.wait_until_reachable().unwrap();

    // With the rule gone, the next run does all of it.
    host.sh(&format!("ufw delete deny from {us}"));
    let (code, events) = host.hwctl("provision", PLAIN);
    assert_eq!((code, changes(&events)), (0, vec!["firewall ufw"]));
    assert!(host.sh("ufw status").contains("Status: active"));
}

/// A reload of ufw would then close every port, for hwctl's login too.
fn rules_that_nothing_leads_to_are_loaded_anew() {
    let host = Provisioned::ready("trixie");
    let flush =
        "for program in iptables ip6tables; do $program -P INPUT ACCEPT; $program -F INPUT; done";
    for args in [&[][..], &["--set", "firewall.allow=[80/tcp, 443/tcp, 8088/tcp]"]] {
        host.sh(flush);

        let (code, events) = host.hwctl("provision", args);

        assert_eq!(code, 0, "{events:#?}");
        assert_eq!(changes(&events).last(), Some(&"firewall ufw"));
        assert!(host.sh("iptables -S INPUT").contains("-P INPUT DROP"));
        assert_eq!(host.hwctl("plan", args).0, 0);
    }
    host.sh(flush);
    assert_eq!(host.hwctl("rollback", &["--yes"]).0, 0);
    assert_eq!(host.hwctl("destroy", &["--yes"]).0, 0);
}

fn a_host_with_slow_logins_gets_more_time() {
    let host = Provisioned::ready("trixie");
    host.sh("echo 'session optional pam_exec.so /bin/sleep 4' >>/etc/pam.d/sshd");
    let open = "firewall.allow=[80/tcp, 443/tcp, 8088/tcp]";

    let (code, events) = host.hwctl("provision", &["--confirm-timeout", "2", "--set", open]);

    assert_eq!(code, 0, "{events:#?}");
    let told = |event: &Value| {
        event["message"].as_str().is_some_and(|m| m.contains("new login confirms it within"))
    };
    assert!(events.iter().any(told), "{events:#?}");
}

/// A boot in the middle of a run loads what the firewall is loaded with, so it is taken back too.
fn what_the_firewall_is_loaded_with_is_taken_back_with_it() {
    let host = Provisioned::ready("trixie");
    let timeouts = ["--connect-timeout", "30", "--confirm-timeout", "6"];
    let open = ["--set", "firewall.allow=[80/tcp, 443/tcp, 8088/tcp]"];
    let args = [PLAIN, &timeouts, &open].concat();
    let mut child = host.command("provision", &args).spawn().unwrap();
    let said = until(&mut child, "change_done");
    host.host.power_off_hard().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said.last().unwrap()["id"], "file /etc/ufw/after.rules");
    let new = "grep -q 8088 /etc/ufw/after.rules";
    let file = host.host.root().join("etc/ufw/after.rules");
    assert!(std::fs::read_to_string(file).unwrap().contains("8088"), "it was not written yet");

    host.host.boot_unreachable().unwrap();
    wait_for(&host, &format!("! {new} && ! test -e /etc/systemd/system/hwctl-revert.timer"));
    assert!(host.sh("ufw status").contains("Status: active"));
    host.host.wait_until_reachable().unwrap();
    assert_eq!(host.hwctl("plan", PLAIN).0, 0);
    assert_eq!(host.hwctl("provision", &args).0, 0);
    assert!(host.sh_ok(new) && !host.sh_ok("test -e /etc/systemd/system/hwctl-revert.timer"));
}

fn a_second_run_waits_for_the_first_and_goes_on_when_that_is_killed() {
    let host = Provisioned::fresh("trixie");
    let mut first = host.command("provision", PLAIN).spawn().unwrap();
    until(&mut first, "change_started");
    let mut second = host.command("provision", PLAIN).spawn().unwrap();
    let said = until(&mut second, "waiting for another run");
    let told = said.last().unwrap()["message"].as_str().unwrap_or_default();
    let us = host.sh("ip -4 route show default | cut -d' ' -f3");
    assert!(told.contains("`provision` by ") && told.contains(&format!(" from {us}, since ")));
    // Whoever else can open the lock could hold it.
    assert!(!host.sh_ok("setpriv --reuid=nobody --clear-groups flock -n /run/hwctl.lock true"));

    // The engine of the first is the one that works.
    host.sh("kill -9 $(pgrep -x -o -f '/[^ ]*/hwctl-[0-9a-f]* engine .*')");
    first.kill().unwrap();
    first.wait().unwrap();
    let (code, events) = end(second);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.hwctl("plan", PLAIN).0, 0);
}

/// A second Redis, a second API and a copy of nginx's configuration that are on trial.
fn what_was_on_trial_when_a_run_was_cut_off_goes_with_the_next() {
    let host = Provisioned::ready("trixie");
    host.sh("mkdir /run/hwctl-stage-left; touch /run/hwctl-stage-left/file");
    let second = "/run/systemd/system/hwctl-trial-flask-app.service";
    host.sh(&format!(
        "printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >{second};
         systemctl daemon-reload; systemctl start hwctl-trial-flask-app"
    ));
    let args = [PLAIN, &["--set", "redis.port=6390"]].concat();
    let mut child = host.command("provision", &args).spawn().unwrap();
    until(&mut child, "redis-flask.hwctl-trial");
    wait_for(&host, "docker ps | grep -q hwctl-trial");
    host.sh("kill -9 $(pgrep -x -o -f '/[^ ]*/hwctl-[0-9a-f]* engine .*')");
    child.wait().unwrap();

    assert_eq!(host.hwctl("provision", PLAIN).0, 0);
    assert!(!host.sh_ok("systemctl is-active -q hwctl-trial-flask-app"));
    let left = host.sh("ls -d /run/hwctl-* /run/systemd/system/hwctl-* 2>/dev/null; \
                        docker ps -a --format '{{.Names}}'");
    assert_eq!(left, "redis-flask");
}

fn what_fails_beside_apt_is_undone_once_apt_has_finished() {
    let host = Provisioned::fresh("trixie");
    host.sh("printf '#!/bin/sh\necho no more users >&2\nexit 1\n' >/usr/sbin/useradd");
    let (code, events) = host.hwctl("provision", PLAIN);
    assert_eq!((code, outcome(&events).as_str()), (4, "undone"), "{events:#?}");
    let said = failure(&events);
    assert!(said.contains("user flask-app") && said.contains("no more users"), "{said}");
    assert!(host.sh_ok("dpkg -s nginx docker.io && test -z \"$(dpkg --audit)\""), "apt finished");
    let left = "ls -d /var/www/main /etc/hwctl /etc/systemd/system/hwctl-* 2>/dev/null || :";
    assert_eq!(host.sh(left), "", "what was made beside apt is taken back");
}

fn ctrl_c_stops_after_the_change_in_hand_and_a_second_one_at_once() {
    let host = Provisioned::fresh("trixie");
    let mut child = host.command("provision", PLAIN).spawn().unwrap();
    // What is said before has to be read: there is too much of it for a pipe.
    let mut said = until(&mut child, "change_started");
    wait_for(&host, "pgrep -x apt-get || pgrep -x dpkg");

    // Meanwhile another run waits, and is told for whom.
    let waiting = host.command("provision", &["--host", "vm", "--wait", "1"]).output().unwrap();
    let (code, events) = Provisioned::read(&waiting);
    assert_eq!(code, 1);
    assert!(
        failure(&events).contains("another run holds this host: `provision` by"),
        "{events:#?}"
    );

    signal(&child, "-INT");
    let (code, events) = end(child);
    said.extend(events);
    assert_eq!((code, outcome(&said).as_str()), (130, "interrupted"));
    let summary = said.iter().find(|event| event["event"] == "done").expect("an end");
    let counted = summary["changes"].as_u64().expect("a number");
    let said = failure(&said);
    let made = format!("stopped after {counted} of 61 changes");
    assert!(counted < 61 && said.contains(&made), "{counted}: {said}");
    assert!(said.contains("not made: ") && said.contains(" more"), "{said}");
    assert!(!host.sh_ok("test -e /etc/nginx/ssl"), "what comes after apt is not begun");
    assert!(host.sh_ok("dpkg -s nginx && test -z \"$(dpkg --audit)\""), "apt was let finish");

    // The lock is free; a second Ctrl-C ends hwctl at once, and the host takes the run back.
    let child = host.command("provision", PLAIN).spawn().unwrap();
    wait_for(&host, "test -e /etc/nginx/ssl/homework.key");
    signal(&child, "-INT");
    signal(&child, "-INT");
    let (code, _) = end(child);
    assert_eq!(code, 130);

    let (code, events) = host.hwctl("provision", PLAIN);
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"));
    let (code, events) = host.hwctl("plan", PLAIN);
    assert_eq!((code, changes(&events)), (0, vec![]));
}
