//! Files of hundreds of megabytes: a site serves them, a run that replaces them can be taken back, and none of them is
//! ever in memory as a whole.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::host::{Provisioned, action, kept, outcome};

crate::tests! {
    Lab: [a_large_file_of_a_site_is_served_and_taken_back, a_large_file_of_others_comes_back],
}

const SIZE_MIB: usize = 300;
const SITE: [&str; 2] = ["--set", "sites.videos={path: /videos, source: videos}"];
const SERVED: &str = "/var/www/videos/talk.mp4";
/// hwctl and what it runs on the host may have this much memory at a time. A file does not fit.
const MOST_MEMORY_MIB: usize = 200;

/// Writes a file whose pieces differ from each other and from those of another seed.
fn write_video(path: &Path, seed: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::create(path).unwrap();
    for number in 0..SIZE_MIB {
        let mut piece = vec![seed; 1 << 20];
        piece[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&piece).unwrap();
    }
}

fn digest(path: &Path) -> String {
    hwctl::resource::file_digest(&File::open(path).unwrap()).unwrap()
}

/// The digest of what a client gets.
fn served(host: &Provisioned) -> String {
    let url = host.url("/videos/talk.mp4");
    let script = format!("curl -sk -m 60 '{url}' | sha256sum | cut -d' ' -f1");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn on_host(host: &Provisioned, path: &str) -> String {
    host.sh(&format!("sha256sum {path} | cut -d' ' -f1"))
}

/// Notes the most memory that engines ever have, in KiB, and how many bytes they have read. An engine may live for 100 ms
/// only, and a shell that looks that often takes a tenth of a core.
const WATCH: &str = r#"
import os, re, time

looks = {}
while True:
    with open("/run/engines", "a") as notes:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            # What is no engine after a second never becomes one.
            looks[pid] = looks.get(pid, 0) + 1
            if looks[pid] > 50:
                continue
            try:
                with open(f"/proc/{pid}/cmdline") as words:
                    if not re.search("hwctl.*\0engine\0", words.read()):
                        continue
                looks[pid] = 0
                for name in "status", "io":
                    with open(f"/proc/{pid}/{name}") as file:
                        notes.writelines(line for line in file if re.match("VmHWM|rchar", line))
            except OSError:
                pass
    time.sleep(0.02)
"#;

fn watch_engines(host: &Provisioned) {
    host.sh(&format!("systemd-run --quiet --unit=watch-engines python3 -c '{WATCH}'"));
}

/// The most that the watch has seen of something, in MiB.
fn most(host: &Provisioned, what: &str, unit: usize) -> usize {
    let most = host.sh(&format!("grep {what} /run/engines | tr -dc '0-9\n' | sort -n | tail -n 1"));
    (most.parse::<usize>().expect("the watch has seen an engine") * unit) >> 20
}

fn require_bounded_memory(host: &Provisioned) {
    let most = most(host, "VmHWM", 1 << 10);
    assert!(most < MOST_MEMORY_MIB, "an engine had {most} MiB");
}

fn a_large_file_of_a_site_is_served_and_taken_back() {
    let host = &Provisioned::ready("trixie");
    let local = host.folder().join("videos/talk.mp4");
    write_video(&local, 1);
    fs::write(local.with_file_name("index.html"), "<h1>Videos</h1>\n").unwrap();
    let first = digest(&local);
    watch_engines(host);

    let (code, events) = host.hwctl("provision", &SITE);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(served(host), first);

    write_video(&local, 2);
    let second = digest(&local);
    let (code, events) = host.hwctl("provision", &SITE);
    assert_eq!((code, action(&events, &format!("file {SERVED}"))), (0, "update"), "{events:#?}");
    assert_eq!(served(host), second);
    require_bounded_memory(host);
    // Its digest is noted once it is old enough not to change unseen.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(host.hwctl("provision", &SITE).0, 0);
    host.sh("truncate -s 0 /run/engines");
    let (code, events) = host.hwctl("provision", &SITE);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
    let read = most(host, "rchar", 1);
    assert!(read < SIZE_MIB / 2, "an engine has read {read} MiB where all is right");

    assert_eq!(host.hwctl("rollback", &["--yes"]).0, 0);
    assert_eq!(served(host), first);
    assert_eq!(host.hwctl("rollback", &["--yes"]).0, 0);
    assert_eq!(served(host), second, "a rollback is taken back like any run");

    // A run that fails at its very end.
    write_video(&local, 3);
    host.break_at_the_end();
    let (code, events) = host.hwctl("provision", &SITE);
    assert_eq!(code, 4, "{events:#?}");
    host.mend();
    assert_eq!(served(host), second);
    let records = host.sh("du -sm --exclude large /var/lib/hwctl | cut -f1");
    assert!(records.parse::<usize>().unwrap() < 100, "the records have the content: {records} MiB");
    require_bounded_memory(host);

    let (code, events) = host.hwctl("destroy", &["--purge-data", "--yes"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    assert!(!host.sh_ok("test -e /var/www/videos || test -e /var/lib/hwctl"));
}

const FILES: [&str; 2] =
    ["--set", "files={/srv/archive.tar: {content: new}, /mnt/archive.tar: {content: new}}"];
const ALL: &str = "for f in /srv/archive.tar /mnt/archive.tar; do \
                   stat -c '%n %a %U:%G %s %Y' $f; sha256sum $f; getfattr -dm - $f; done";

fn a_large_file_of_others_comes_back() {
    let host = &Provisioned::ready("trixie");
    host.sh("apt-get install -qq attr >/dev/null 2>&1");
    watch_engines(host);
    // The second one is on another file system than hwctl's folder.
    host.sh(&format!(
        "mount -t tmpfs -o size=1g none /mnt && head -c {SIZE_MIB}M /dev/urandom >/srv/archive.tar && \
         cp /srv/archive.tar /mnt && echo more >>/mnt/archive.tar && cd /srv && \
         setfattr -n user.note -v kept archive.tar && chown ubuntu:games archive.tar && \
         chmod 0640 archive.tar && touch -d '2001-02-03' archive.tar /mnt/archive.tar"
    ));
    let before = host.sh(ALL);

    let (code, events) = host.hwctl("provision", &FILES);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.sh("cat /srv/archive.tar /mnt/archive.tar"), "newnew");
    assert_eq!(host.hwctl("provision", &FILES).0, 0);

    assert_eq!(host.hwctl("rollback", &["--yes"]).0, 0);
    assert_eq!(host.sh(ALL), before, "a rollback");

    assert_eq!(host.hwctl("provision", &FILES).0, 0);
    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    assert_eq!(host.sh(ALL), before, "destroy");
    assert!(!kept(&events).iter().any(|id| id.contains("archive.tar")), "{events:#?}");
    require_bounded_memory(host);
    assert_ne!(on_host(host, "/srv/archive.tar"), on_host(host, "/mnt/archive.tar"));
}
