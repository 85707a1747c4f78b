//! The lab itself, on real hosts: needs root, and says so in one line where it is not.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hwctl::lab::{Lab, LabHost, Lifetime, UpOptions};

use crate::host::{lab, wait_until};

crate::tests! {
    Lab: [two_hosts_are_real_machines_of_their_own, nobody_gets_in_but_ubuntu_with_the_key, nothing_is_left_after_down, up_after_a_crash_starts_anew, a_host_whose_process_is_gone_is_removed_by_the_next_up, a_host_survives_power_cuts_and_reboots, a_cut_network_is_silent_until_it_is_restored, redis_runs_on_trixie, redis_runs_on_bookworm, the_command_line_makes_lists_enters_and_removes_hosts, an_unknown_release_is_a_usage_error, tests_that_are_interrupted_leave_no_hosts],
}

/// What a command on the host prints; it has to succeed.
fn on(host: &LabHost, command: &str) -> String {
    let output = host.ssh(command).expect("ssh runs");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{command}` on {}: {said}\n{complained}", host.name);
    said
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("the program runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything on this machine that still speaks of a host.
fn traces(host: &LabHost) -> Vec<String> {
    let mut traces = Vec::new();
    let folder = host.root().parent().expect("a folder above the root").to_owned();
    if folder.exists() {
        traces.push(format!("folder {}", folder.display()));
    }
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts are readable");
    let of_host = |line: &&str| line.contains(&*folder.to_string_lossy());
    traces.extend(mounts.lines().filter(of_host).map(str::to_owned));
    for process in fs::read_dir("/proc").expect("/proc is readable").flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&*folder.to_string_lossy()) {
            traces.push(line);
        }
    }
    let groups =
        output("find", &["/sys/fs/cgroup", "-type", "d", "-name", &format!("*-{}", host.name)]);
    traces.extend(groups.lines().map(str::to_owned));
    if Path::new("/run/systemd/nspawn/propagate").join(&host.name).exists() {
        traces.push("nspawn's propagate folder".to_owned());
    }
    traces
}

/// What is on this machine under the network names of a host. Other tests may take those names
/// again as soon as the host is gone, so this is looked at where the host still holds its place.
fn network_traces(host: &LabHost) -> (bool, bool, usize) {
    let namespaces = output("ip", &["netns"]);
    let has_namespace =
        namespaces.lines().any(|line| line.split(' ').next() == Some(&host.namespace()));
    let has_link = Path::new("/sys/class/net").join(host.link()).exists();
    let address = format!("{}/32", host.address);
    let rules = output("iptables-save", &[]);
    let has = |line: &&str| line.split(' ').any(|word| word == host.link() || word == address);
    (has_namespace, has_link, rules.lines().filter(has).count())
}

fn two_hosts_are_real_machines_of_their_own() {
    let lab = lab();
    let one = lab.temporary("trixie").unwrap();
    let two = lab.temporary("bookworm").unwrap();

    assert_ne!(one.address, two.address);
    assert_eq!(on(&one, "whoami; sudo -n id -u; hostname"), format!("ubuntu\n0\n{}", one.name));
    assert_eq!(on(&one, ". /etc/os-release; echo $VERSION_CODENAME"), "trixie");
    assert_eq!(on(&two, ". /etc/os-release; echo $VERSION_CODENAME"), "bookworm");
    assert_eq!(
        on(&one, "systemctl is-system-running --wait; ps -o comm= -p 1"),
        "running\nsystemd"
    );

    let keys = "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/machine-id";
    assert_ne!(on(&one, keys), on(&two, keys), "host keys and machine ids are each host's own");

    // One host reaches the other, which sees its true address.
    let peer = format!("timeout 5 bash -c 'exec 3<>/dev/tcp/{}/22; head -c4 <&3'", two.address);
    assert_eq!(on(&one, &peer), "SSH-");
    // Not by the unit: journald does not know it of a process that has ended by the time it looks.
    let seen = format!("sudo journalctl --no-pager | grep -q 'sshd.* by {} port'", one.address);
    wait_until("its sshd has logged it", || two.ssh(&seen).is_ok_and(|seen| seen.status.success()));
}

fn nobody_gets_in_but_ubuntu_with_the_key() {
    let lab = lab();
    let host = lab.temporary("trixie").unwrap();
    let login = |extra: &[&str]| {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(host.ssh_config()).args(["-o", "BatchMode=yes"]).args(extra);
        ssh.args([&host.address.to_string(), "true"]);
        let output = ssh.output().expect("ssh runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(login(&[]).0);
    let (root_gets_in, why) = login(&["-o", "User=root"]);
    assert!(!root_gets_in);
    assert!(why.contains("Permission denied (publickey)"), "no password is offered: {why}");
    assert!(!login(&["-o", "PubkeyAuthentication=no"]).0);
}

fn nothing_is_left_after_down() {
    let lab = lab();
    let host = lab.temporary("trixie").unwrap();
    let plain: LabHost = (*host).clone();
    let made = host.exec(&["sh", "-c", "echo x > /etc/fixed && chattr +i /etc/fixed"]).unwrap();
    assert!(made.status.success(), "{made:?}");
    assert!(!traces(&plain).is_empty());
    assert_eq!(network_traces(&plain), (true, true, 3));
    drop(host);
    assert_eq!(traces(&plain), [""; 0]);
    assert!(lab.host(&plain.name).is_none());
    // The place in the network may be another host's already, but not with this one's traces too.
    let (_, has_link, rules) = network_traces(&plain);
    assert!(rules == 0 || (has_link && rules == 3), "{rules} rules");
}

fn up_after_a_crash_starts_anew() {
    let lab = lab();
    let name = format!("crash-{}", std::process::id());
    let options = UpOptions { name, release: "trixie".into(), lifetime: Lifetime::ThisProcess };
    let crashed = lab.up(&options).unwrap();
    on(&crashed, "touch keep-me");
    crashed.cut_network().unwrap();
    crashed.power_off_hard().unwrap();
    assert!(!crashed.is_running());
    // A boot of this machine takes the links away and leaves the records.
    output("ip", &["link", "delete", &crashed.link()]);

    let host = lab.up(&options).unwrap();
    assert_eq!(on(&host, "ls"), "", "a fresh host");
    assert_eq!(network_traces(&host), (true, true, 3), "the rules of the first are gone");
    assert!(lab.down(&host.name).unwrap());
    assert!(!lab.down(&host.name).unwrap(), "there is nothing to take down twice");
    assert_eq!(traces(&host), [""; 0]);
}

fn a_host_whose_process_is_gone_is_removed_by_the_next_up() {
    let lab = lab();
    let host = lab.temporary("trixie").unwrap();
    let plain: LabHost = (*host).clone();
    std::mem::forget(host);
    // As if the test run had been killed: the record names a process that does not run.
    let record = plain.root().parent().unwrap().join("host.json");
    let text = fs::read_to_string(&record).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["owner"]["started"] = 1.into();
    fs::write(&record, value.to_string()).unwrap();

    let _other = lab.temporary("trixie").unwrap();
    assert_eq!(traces(&plain), [""; 0]);
}

fn a_host_survives_power_cuts_and_reboots() {
    let lab = lab();
    let host = lab.temporary("trixie").unwrap();
    on(&host, "touch here; sync; sudo iptables -A INPUT -s 192.0.2.1 -j DROP");
    host.power_off_hard().unwrap();
    assert!(host.ssh("true").is_ok_and(|output| output.status.code() == Some(255)));
    host.boot().unwrap();
    assert_eq!(on(&host, "ls"), "here");
    let rules = "sudo iptables -S INPUT | grep -c 192.0.2.1 || true";
    assert_eq!(on(&host, rules), "0", "what was only in the kernel is gone");

    on(&host, "sudo iptables -A INPUT -s 192.0.2.1 -j DROP");
    host.reboot().unwrap();
    assert_eq!(on(&host, rules), "0");
    assert_eq!(on(&host, "ls"), "here");
}

fn a_cut_network_is_silent_until_it_is_restored() {
    let lab = lab();
    let host = lab.temporary("trixie").unwrap();
    host.cut_network().unwrap();
    let wait = Duration::from_millis(700);
    let started = Instant::now();
    let error = std::net::TcpStream::connect_timeout(&(host.address, 22).into(), wait).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "no answer, not a refusal");
    assert!(started.elapsed() >= wait);
    let inside = host.exec(&["id", "-u"]).unwrap();
    assert_eq!(inside.stdout, b"0\n", "exec needs no network");
    host.restore_network().unwrap();
    assert_eq!(on(&host, "echo back"), "back");
}

/// The versions of Docker in both releases load the stand-in image and run it confined.
fn redis_runs_on(release: &str) {
    let lab = lab();
    let archive = lab.redis_archive().unwrap();
    let host = lab.temporary(release).unwrap();
    let install = "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -q docker.io docker-cli \
        || sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -q docker.io";
    on(&host, install);
    fs::copy(&archive, host.root().join("home/ubuntu/redis.tar")).unwrap();
    on(&host, "sudo docker load -i redis.tar");
    let stand_in = "sudo docker image inspect -f '{{index .Config.Labels \"org.hwctl.stand-in\"}}'";
    let label = on(&host, &format!("{stand_in} redis:7-alpine"));
    assert!(label.starts_with("debian redis-server 7.0."), "{label}");
    on(
        &host,
        "sudo docker run -d --name redis --user 999:1000 --read-only --cap-drop ALL --tmpfs /tmp \
         -p 127.0.0.1:6379:6379 -v vol:/data redis:7-alpine redis-server --appendonly yes --protected-mode no",
    );
    let cli = "sudo docker exec redis redis-cli";
    on(&host, &format!("for i in $(seq 50); do {cli} ping && break; sleep 0.1; done"));
    assert_eq!(on(&host, &format!("{cli} set count 41; {cli} incr count")), "OK\n42");
    assert_eq!(
        on(
            &host,
            "sudo docker exec redis sh -c 'stat=$(ls -ldn /data); echo $stat' | cut -d' ' -f3,4"
        ),
        "999 1000"
    );
    assert_eq!(on(&host, "exec 3<>/dev/tcp/127.0.0.1/6379; echo PING >&3; head -1 <&3"), "+PONG");
}

fn redis_runs_on_trixie() {
    redis_runs_on("trixie");
}

fn redis_runs_on_bookworm() {
    redis_runs_on("bookworm");
}

/// Takes the hosts of the command line's test down, also when it fails.
struct Down<'a>(&'a Lab, [&'a str; 2]);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.1.iter().for_each(|name| drop(self.0.down(name)));
    }
}

fn the_command_line_makes_lists_enters_and_removes_hosts() {
    let lab = lab();
    let stem = format!("cli{}x", std::process::id());
    let (one, two) = (format!("{stem}1"), format!("{stem}2"));
    let _down = Down(lab, [&one, &two]);
    let hwctl = |args: &[&str]| output(env!("CARGO_BIN_EXE_hwctl"), args);

    let up = hwctl(&["lab", "up", &stem, "--count", "2"]);
    assert_eq!(up.lines().count(), 2, "{up}");
    let list = hwctl(&["lab", "list"]);
    let line = list.lines().find(|line| line.starts_with(&two)).expect("the second is listed");
    assert!(line.contains("trixie") && line.contains("running"), "{line}");
    assert_eq!(hwctl(&["lab", "ssh", &two, "--", "hostname"]), format!("{two}\n"));
    assert_eq!(hwctl(&["lab", "up", &one]).lines().count(), 1, "a second up finds it running");
    assert_eq!(hwctl(&["lab", "down", &one, &two]), format!("{one} is down\n{two} is down\n"));
    assert!(lab.host(&one).is_none() && lab.host(&two).is_none());
}

fn an_unknown_release_is_a_usage_error() {
    let error = lab().temporary("warty-warthog").unwrap_err();
    let failure = hwctl::failure::Failure::from(error);
    assert_eq!(failure.what, "no release is called `warty-warthog`");
    assert_eq!(failure.exit, hwctl::failure::Exit::Usage);
    assert!(failure.hint.is_some());
}

/// This program again, interrupted before, while and after its first hosts boot.
fn tests_that_are_interrupted_leave_no_hosts() {
    for after_ms in [0, 150, 600, 2500] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["roles", "--test-threads", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let stem = format!("test-{}-", child.id());
        assert!(said.any(|line| line.contains(&stem)), "the first host boots");
        std::thread::sleep(Duration::from_millis(after_ms));

        output("kill", &["-INT", &child.id().to_string()]);
        let rest: Vec<String> = said.collect();

        assert_eq!(child.wait().unwrap().code(), Some(130), "{after_ms} ms: {rest:#?}");
        let hosts = lab().list().unwrap();
        let left: Vec<_> = hosts.iter().filter(|host| host.name.starts_with(&stem)).collect();
        assert!(left.is_empty(), "{after_ms} ms: {left:?}: {rest:#?}");
    }
}
