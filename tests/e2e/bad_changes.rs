//! Changes that must not be: each is refused or undone, says so, and leaves the host as it was, while
//! the site answers on under a light load.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::host::{MARK, Provisioned, changes, failure, fields, outcome};
use crate::load::{self, Answer, Load, Target, told};
use serde_json::Value;

/// Makes a test of a case on a host of a release.
macro_rules! cases {
    ($($release:literal: [$($case:ident as $test:ident),* $(,)?]),* $(,)?) => {
        $($(fn $test() {
            $case(&Site::of($release));
        })*)*

        crate::tests! { Lab: [$($($test),*),*] }
    };
}

cases! {
    "trixie": [
        nginx_templates as trixie_nginx_templates,
        an_api_that_does_not_start as trixie_an_api_that_does_not_start,
        a_container_that_does_not_start as trixie_a_container_that_does_not_start,
        a_container_that_dies as trixie_a_container_that_dies,
        a_full_disk as trixie_a_full_disk,
        a_disk_that_fills as trixie_a_disk_that_fills,
        a_read_only_folder as trixie_a_read_only_folder,
        a_firewall_without_the_ssh_port as trixie_a_firewall_without_the_ssh_port,
        another_ssh_port as trixie_another_ssh_port,
    ],
    // What is tried beside what serves: systemd, docker and nginx differ from release to release.
    "bookworm": [
        nginx_templates as bookworm_nginx_templates,
        an_api_that_does_not_start as bookworm_an_api_that_does_not_start,
        a_container_that_does_not_start as bookworm_a_container_that_does_not_start,
        a_container_that_dies as bookworm_a_container_that_dies,
    ],
}

const PING: &str = "/flask/api/ping";
const COUNT: &str = "/flask/api/count";
/// A light load: each of these paths, four connections that stay, ten requests a second each.
const PATHS: [&str; 4] = [PING, COUNT, "/", "/open/"];
const CONNECTIONS: usize = 4;
const REST: Duration = Duration::from_millis(100);
/// All that hwctl writes and a service reads, by content, mode and owner.
const LIVE: &str = "cd / && for f in $(find etc/nginx etc/hwctl etc/ufw etc/ssh etc/default/ufw \
                    etc/systemd/system home/ubuntu usr/local/lib/hwctl/api var/www -xdev | sort); \
                    do stat -c '%n %a %U:%G %N' $f; test -f $f && sha256sum $f; done; true";
/// Which process serves, which container: nothing of them was restarted.
const PROCESSES: &str = "systemctl show -p MainPID --value flask-app.service nginx.service; \
                         docker inspect -f '{{.Id}} {{.State.Pid}}' redis-flask";

/// One host that is as it should be, and somebody who uses it.
struct Site {
    host: Provisioned,
    target: Target,
}

impl Site {
    /// A host of a release that serves.
    fn of(release: &str) -> Self {
        let host = Provisioned::ready(release);
        let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
        let login = ["-H", "Content-Type: application/json", "-d", &body];
        let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());
        let certificate = host.sh("cat /etc/nginx/ssl/homework.crt");
        let target = Target::new(host.host.address, &certificate, &fields(&answer, "token"));
        Self { host, target }
    }

    /// Does something under a light load; all answers.
    fn under_load<T>(&self, what: impl FnOnce() -> T) -> (T, Vec<Answer>) {
        let load = Load::start_with(CONNECTIONS, &self.target, &PATHS, REST);
        sleep(Duration::from_millis(300));
        let done = what();
        sleep(Duration::from_millis(500));
        (done, load.end())
    }

    /// Provisions under a light load that has to notice nothing.
    fn provision(&self, during: &str, args: &[&str]) -> (i32, Vec<Value>) {
        let (done, answers) = self.under_load(|| self.host.hwctl("provision", args));
        println!("  {during}: {}", told(&answers));
        assert!(answers.len() > 5 * CONNECTIONS, "{during}: {}", told(&answers));
        let failed = answers.iter().filter(|answer| !answer.is_ok()).count();
        assert_eq!(failed, 0, "{during}: {}\n{:#?}", told(&answers), done.1);
        done
    }

    /// Has a bad change refused or undone; the host is as before, its processes too.
    fn bad(&self, during: &str, code: i32, args: &[&str], says: &[&str]) {
        let state = || (self.host.sh(LIVE), self.host.sh(PROCESSES));
        let before = state();
        let (got, events) = self.provision(during, args);
        says_all(during, (got, &events), code, says);
        let after = state();
        assert_eq!(before.1, after.1, "{during}: a service was restarted\n{events:#?}");
        assert_same(during, &before.0, &after.0);
        self.is_as_it_should_be(during);
    }

    fn is_as_it_should_be(&self, during: &str) {
        let _ = fs::remove_dir_all(self.host.folder().join("templates"));
        let (code, events) = self.host.hwctl("plan", &[]);
        assert_eq!((code, changes(&events)), (0, vec![]), "{during}");
        let left =
            self.host.sh("find / -xdev -name '.hwctl-*' -not -path '/proc/*'; ls -d /run/hwctl-* \
             /run/systemd/system/hwctl-* 2>/dev/null; docker ps -aq --filter name=hwctl-; \
             docker volume ls -q --filter dangling=true");
        assert_eq!(left, "", "{during}: something is left behind");
    }

    /// A template of the user's own: hwctl's with some text replaced.
    fn template(&self, name: &str, from: &str, to: &str) {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(name);
        let text = fs::read_to_string(own).unwrap();
        assert!(text.contains(from), "{name} does not hold `{from}`");
        let path = self.host.folder().join("templates").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
}

/// Holds the exit code, the outcome, and that the failure tells what, why and what to do.
fn says_all(during: &str, (got, events): (i32, &[Value]), code: i32, says: &[&str]) {
    let told = failure(events);
    assert_eq!(got, code, "{during}: {events:#?}");
    assert_eq!(outcome(events), if code == 4 { "undone" } else { "failed" }, "{during}: {told}");
    for text in says.iter().chain(&["\"hint\":\""]) {
        assert!(told.contains(text), "{during}: `{text}` is not in {told}");
    }
}

fn assert_same(during: &str, before: &str, after: &str) {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (lines(before), lines(after));
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(gone.is_empty() && new.is_empty(), "{during}: {gone:#?} became {new:#?}");
}

fn nginx_templates(site: &Site) {
    let template = "nginx/homework";
    // Known before anybody is asked: no ssh is at that port.
    site.template(template, "{{ certificate | nginx }}", "{{ certificate | }}");
    site.bad("a template that does not parse", 2, &["--port", "9"], &["nginx/homework:"]);
    site.template(template, "{{ certificate | nginx }}", "{{ certificat | nginx }}");
    let says = ["nginx/homework:", "certificat"];
    site.bad("a template that does not render", 2, &["--port", "9"], &says);

    let line = "return 301 {{ app.path_with_slash | nginx }};";
    site.template(template, line, &format!("{line} no_such_directive;"));
    let says = ["nginx does not accept the new configuration", "no_such_directive", "homework:"];
    site.bad("a template that nginx refuses", 4, &[], &says);

    let wrong = "with the new configuration nginx does not serve as it should";
    let alias = "alias {{ site.root_with_slash | nginx }};";
    site.template(template, alias, "alias /nowhere/;");
    site.bad("a template that loses a page", 4, &[], &[wrong, "/open/: 404 Not Found instead of"]);
    site.template(template, "index index.html;", "index index.html;\n    return 204;");
    let says = [wrong, "/: 204 No Content instead of 200", "/flask/api/ping"];
    site.bad("a template that loses all pages", 4, &[], &says);
    // An error of 500 and more may lie behind nginx: only the look from outside decides.
    let broken = format!("{{% if site.path == \"/close\" %}}return 500;{{% endif %}}{alias}");
    site.template(template, alias, &broken);
    let says = ["the host fails its checks from outside", "/close/: 500"];
    site.bad("a template that shows only from outside", 4, &[], &says);
}

fn an_api_that_does_not_start(site: &Site) {
    let untouched = "the one that serves was not touched";
    site.template("app/env", r#"SECRET_KEY={{ secret(name="jwt-key") }}"#, "SECRET_KEY=short");
    let says = [untouched, "SECRET_KEY", "needs at least 32"];
    site.bad("an API with a bad setting", 4, &[], &says);

    let service = "systemd/flask-app.service";
    site.template(service, "ExecStart={{ binary | systemd }}", "ExecStart=/bin/false");
    site.bad("an API that exits at once", 4, &[], &[untouched, "hwctl-trial-flask-app.service"]);

    // Of a setting that is given twice, the last counts.
    let never = "LimitNOFILE=16384\nTimeoutStartSec=2s\nExecStart=\nExecStart=/bin/sleep infinity";
    site.template(service, "LimitNOFILE=16384", never);
    site.bad("an API that is never ready", 4, &[], &[untouched, "timeout"]);
}

fn a_container_that_does_not_start(site: &Site) {
    site.template("redis/redis.conf", "maxclients 512", "maxclients 512\nno-such-directive yes");
    let says = ["the running one was not touched", "no-such-directive", "exit code 1"];
    site.bad("Redis with a bad setting", 4, &[], &says);
}

/// What shows only once it has the place and the data of the old one: as when the kernel ends it for
/// want of memory. Counting fails while Redis restarts, and only then; nothing else does.
fn a_container_that_dies(site: &Site) {
    let host = &site.host;
    site.template("redis/redis.conf", "maxclients 512", "maxclients 500");
    host.sh("cat >/root/kill-redis <<'END'\n\
         old=$(docker inspect -f '{{.Id}}' redis-flask)\n\
         while :; do\n\
           new=$(docker inspect -f '{{.Id}} {{.State.Pid}}' redis-flask 2>/dev/null) || continue\n\
           set -- $new\n\
           test $1 != $old && test $2 != 0 && kill -9 $2 && exit\n\
         done\nEND\n\
         systemd-run --unit kill-redis sh /root/kill-redis 2>/dev/null");
    let before = host.sh(LIVE);
    let ((code, events), answers) = site.under_load(|| host.hwctl("provision", &[]));
    let name = "Redis that is killed";
    says_all(name, (code, &events), 4, &["of before is back in its place", "free -m"]);
    assert_same(name, &before, &host.sh(LIVE));
    site.is_as_it_should_be(name);
    host.sh("rm /root/kill-redis");

    let failed: Vec<_> = answers.iter().filter(|answer| !answer.is_ok()).collect();
    let away = failed.iter().map(|a| a.ended).max().zip(failed.iter().map(|a| a.began).min());
    println!("  {name}: {}; {:?}", told(&answers), away.map(|(end, begin)| end - begin));
    assert!(failed.iter().all(|a| a.path == COUNT && a.status == Ok(503)), "{}", told(&answers));
    load::assert_none_lost(&answers);
}

/// A file system of its own with what a folder holds, and so many KiB of room.
fn apart(host: &Provisioned, folder: &str, room: u32) {
    host.sh(&format!(
        "cp -a {folder} /mnt/copy && mount -t tmpfs -o size=4m,mode=755 full {folder} &&
         cp -a /mnt/copy/. {folder}/ && rm -r /mnt/copy &&
         free=$(df -k --output=avail {folder} | tail -n 1) &&
         fallocate -l $((free - {room}))k {folder}/filler"
    ));
}

fn a_full_disk(site: &Site) {
    let change = ["--set", "sites.site1.allow=[10.9.8.7]"];
    for folder in ["/etc/nginx/sites-available", "/var/lib/hwctl"] {
        apart(&site.host, folder, 8);
        let name = format!("no room in {folder}");
        let (code, events) = site.provision(&name, &change);
        let full = format!("the file system `{folder}` is full: 8 KiB are free");
        says_all(&name, (code, &events), 1, &[&full, "nothing was changed on the host", "df -h"]);
        site.host.sh(&format!("umount {folder}"));
        site.is_as_it_should_be(&name);
    }
}

/// Somebody else takes the rest of the disk while a run is under way.
fn a_disk_that_fills(site: &Site) {
    // The sites and hwctl's own folder on one small disk.
    let host = &site.host;
    let folders = "/var/lib/hwctl /var/www";
    host.sh(&format!(
        "mkdir /mnt/disk && mount -t tmpfs -o size=8m,mode=755 small /mnt/disk &&
         for folder in {folders}; do
           mkdir -p /mnt/disk$folder && cp -a $folder/. /mnt/disk$folder/ &&
           mount --bind /mnt/disk$folder $folder || exit
         done"
    ));
    // ufw runs this hook when it reloads. What hwctl notes then has no room.
    let hook = "/etc/ufw/after.init";
    host.sh(&format!(
        "mv {hook} {hook}.before &&
         printf '#!/bin/sh\ntest -e /mnt/disk/filler || cat /dev/zero >/mnt/disk/filler\nexit 0\n' >{hook} &&
         chmod 755 {hook}"
    ));
    site.template("www/site1/index.html", "<head>", &format!("<head>{}", " ".repeat(9000)));
    let args = ["--set", "firewall.allow=[80/tcp, 443/tcp, 8088/tcp]"];
    let before = host.sh(LIVE);
    let (code, events) = site.provision("a disk that fills", &args);
    let says = ["No space left on device", "df -h /var/", "write `/var/"];
    says_all("a disk that fills", (code, &events), 4, &says);
    assert_same("a disk that fills", &before, &host.sh(LIVE));
    host.sh(&format!("mv {hook}.before {hook} && rm /mnt/disk/filler"));
    site.is_as_it_should_be("a disk that fills");
    for folder in folders.split(' ') {
        host.sh(&format!("cp -a {folder} /mnt/copy && umount {folder} && cp -a /mnt/copy/. {folder}/ && rm -r /mnt/copy"));
    }
    host.sh("umount /mnt/disk && rmdir /mnt/disk");
}

fn a_read_only_folder(site: &Site) {
    site.host.sh("mount --bind /etc/nginx /etc/nginx && mount -o remount,bind,ro /etc/nginx");
    let name = "a read-only /etc/nginx";
    let (code, events) = site.provision(name, &["--set", "sites.site1.allow=[10.9.8.7]"]);
    let says = ["`/etc/nginx` is mounted read-only", "nothing was changed on the host"];
    says_all(name, (code, &events), 1, &says);
    site.host.sh("umount /etc/nginx");
    site.is_as_it_should_be(name);
}

fn a_firewall_without_the_ssh_port(site: &Site) {
    let host = &site.host;
    host.sh("ufw allow 8088/tcp; ufw allow from 10.9.8.7");
    for (exclusive, changed) in [("false", false), ("true", true)] {
        let exclusive = format!("firewall.exclusive={exclusive}");
        let args = ["--set", "firewall.allow=[80/tcp, 443/tcp]", "--set", &exclusive];
        let (code, events) = site.provision(&exclusive, &args);
        assert_eq!(code, 0, "{events:#?}");
        assert_eq!(outcome(&events) == "changed", changed, "{events:#?}");
        assert!(host.answers(22));
        assert_eq!(host.sh("ufw show added").contains("8088"), !changed);
    }
    site.is_as_it_should_be("a firewall without the ssh port");
}

fn another_ssh_port(site: &Site) {
    let host = &site.host;
    let known = host.folder().join("known");
    let listed = fs::read_to_string(host.host.known_hosts()).unwrap();
    let address = host.host.address.to_string();
    let moved = listed.replace(&address, &format!("[{address}]:2222"));
    fs::write(&known, format!("{listed}\n{moved}")).unwrap();
    let known = known.to_str().unwrap();
    let by_port = |port| ["--known-hosts", known, "--port", port];
    let provision = |port, rules: [bool; 2]| {
        let (code, events) = site.provision("another ssh port", &by_port(port));
        assert_eq!((code, changes(&events)), (0, vec!["firewall ufw"]), "{events:#?}");
        let shown = host.sh("ufw show added");
        let has = |port| shown.contains(&format!("ufw allow {port}/tcp"));
        assert_eq!([has(22), has(2222)], rules, "{shown}");
        assert_eq!(host.hwctl("plan", &by_port(port)).0, 0);
    };
    let conf = "/etc/ssh/sshd_config.d/port.conf";
    // Both for a while, then the new one alone.
    host.sh(&format!("printf 'Port 22\nPort 2222\n' >{conf}; systemctl restart ssh"));
    provision("22", [true, true]);
    host.sh(&format!("printf 'Port 2222\n' >{conf}; systemctl restart ssh"));
    provision("2222", [false, true]);
    assert!(!host.answers(22) && host.answers(2222));

    // The port is systemd's: sshd is started for each connection.
    host.sh(&format!(
        "rm {conf}; mkdir -p /etc/systemd/system/ssh.socket.d; ufw allow 22/tcp;
         printf '[Socket]\nListenStream=\nListenStream=22\n' >/etc/systemd/system/ssh.socket.d/port.conf;
         systemctl daemon-reload; systemctl disable --now ssh.service; systemctl enable --now ssh.socket"
    ));
    provision("22", [true, false]);
    assert!(host.answers(22) && !host.answers(2222));
}
