//! Looks for secrets everywhere that others can see: what is printed, logs, journals, command
//! lines, environments, files, Docker, temporary files, on both ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use crate::host::Provisioned;

/// Users of the host who see what others see.
const OTHERS: [&str; 3] = ["nobody", "ubuntu", "www-data"];
/// What the looking itself needs on the host: it is not looked at.
const NOTES: &str = "/opt/hwctl-traces";
/// The scripts there; `$1` is the user to look as.
const SCRIPTS: [(&str, &str); 5] = [
    ("as", "exec setpriv --reuid=\"$1\" --regid=\"$(id -g \"$1\")\" --init-groups sh \"$2\"\n"),
    // A shell would start three processes for every look.
    ("sample", "exec python3 sample.py\n"),
    ("sample.py", SAMPLE),
    ("watch", "umask 077; cd /opt/hwctl-traces\nexec sh as \"$1\" sample >\"processes-$1\"\n"),
    // The patterns come by standard input: on a command line they would be traces themselves.
    (
        "search",
        "grep -rsaoF -D skip --exclude-dir=hwctl-traces -f - \
         $(find / -mindepth 1 -maxdepth 1 ! -type l ! -name proc ! -name sys) || true\n",
    ),
];

/// Prints each argument and each variable of the processes that its user may look at, once.
const SAMPLE: &str = r#"
import os, sys, time

seen = set()
while not os.path.exists("/opt/hwctl-traces/end"):
    for process in filter(str.isdigit, os.listdir("/proc")):
        for name in "cmdline", "environ":
            try:
                with open(f"/proc/{process}/{name}", "rb") as file:
                    texts = set(file.read().split(b"\0"))
            except OSError:
                continue
            sys.stdout.buffer.writelines(text + b"\n" for text in texts - seen)
            seen |= texts
    sys.stdout.flush()
    time.sleep(0.02)
"#;

/// A text that must not show.
pub(crate) struct Planted {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether files of the host that root alone reads may hold it.
    pub(crate) may_root_hold: bool,
}

/// What was seen: where, as in "in the journal", and the bytes.
type Seen = (String, Vec<u8>);

/// Secrets, and all that was seen while they were in use.
pub(crate) struct Traces<'a> {
    host: &'a Provisioned,
    pub(crate) secrets: Vec<Planted>,
    seen: Vec<Seen>,
    ended: Arc<AtomicBool>,
    here: Option<JoinHandle<Vec<Seen>>>,
}

impl<'a> Traces<'a> {
    /// Begins to watch processes on both ends, and temporary files in the operator's `temporary`.
    pub(crate) fn begin(host: &'a Provisioned, temporary: &Path) -> Self {
        let notes = host.host.root().join(NOTES.trim_start_matches('/'));
        let _ = fs::remove_dir_all(&notes);
        fs::create_dir(&notes).unwrap();
        for (name, script) in SCRIPTS {
            fs::write(notes.join(name), script).unwrap();
        }
        for user in OTHERS {
            host.sh(&format!("setsid sh {NOTES}/watch {user} </dev/null >/dev/null 2>&1 &"));
        }
        let ended = Arc::new(AtomicBool::new(false));
        let (end, folder) = (Arc::clone(&ended), temporary.to_owned());
        let here = Some(std::thread::spawn(move || watch_here(&folder, &end)));
        Self { host, secrets: Vec::new(), seen: Vec::new(), ended, here }
    }

    /// Adds a secret.
    pub(crate) fn plant(&mut self, name: &str, text: impl Into<String>, may_root_hold: bool) {
        let text = text.into();
        assert!(text.len() >= 8, "`{name}` is too short to be looked for");
        self.secrets.push(Planted { name: name.to_owned(), text, may_root_hold });
    }

    /// Notes what was printed.
    pub(crate) fn printed(&mut self, what: &str, bytes: Vec<u8>) {
        self.seen.push((format!("printed by {what}"), bytes));
    }

    /// Ends the watch, looks everywhere, and says which secret is where.
    pub(crate) fn leaks(&mut self) -> BTreeSet<String> {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(here) = self.here.take() {
            self.seen.extend(here.join().unwrap());
        }
        self.look_at_processes();
        self.look_at_logs();
        self.look_at_docker();
        self.put("show", "systemctl show --all '*'; ps axeww");
        for user in OTHERS {
            let shown = self.host.sh(&format!("cd {NOTES} && sh as {user} show 2>&1 || true"));
            self.seen.push((format!("shown to {user}"), shown.into_bytes()));
        }
        let mut leaks = BTreeSet::new();
        for (place, bytes) in &self.seen {
            for secret in self.secrets.iter().filter(|secret| holds(bytes, &secret.text)) {
                leaks.insert(format!("{} is {place}", secret.name));
            }
        }
        leaks.extend(self.in_files());
        leaks
    }

    fn look_at_processes(&mut self) {
        self.host.sh(&format!("touch {NOTES}/end; sleep 1"));
        for user in OTHERS {
            let lines = self.host.sh(&format!("cat {NOTES}/processes-{user}"));
            assert!(lines.contains("systemd"), "{user} saw no processes");
            self.seen.push((format!("in a process that {user} sees"), lines.into_bytes()));
        }
    }

    fn look_at_logs(&mut self) {
        let journal = self.host.sh("journalctl --all --no-pager --output=verbose");
        self.seen.push(("in the journal".to_owned(), journal.into_bytes()));
        let logs = "find /var/log -type f ! -path '*/journal/*' | while read -r log; do \
                    case $log in *.gz) zcat \"$log\";; *) cat \"$log\";; esac; done";
        let logs = self.host.sh(logs);
        self.seen.push(("in /var/log".to_owned(), logs.into_bytes()));
    }

    fn look_at_docker(&mut self) {
        let script = "for id in $(docker ps --all --quiet); do docker inspect $id; docker logs $id; done 2>&1; \
                      docker images --quiet | while read -r id; do docker image inspect $id; docker history --no-trunc $id; done; \
                      docker volume ls --quiet | xargs -r docker volume inspect; docker system info";
        let told = self.host.sh(&format!("if command -v docker >/dev/null; then {script}; fi"));
        self.seen.push(("told by docker".to_owned(), told.into_bytes()));
    }

    /// Secrets in files of the host that a user other than root reads, or that nobody may have.
    fn in_files(&self) -> BTreeSet<String> {
        let mut leaks = BTreeSet::new();
        for user in OTHERS.into_iter().chain(["root"]) {
            let forbidden = |secret: &&Planted| user != "root" || !secret.may_root_hold;
            let secrets: Vec<_> = self.secrets.iter().filter(forbidden).collect();
            let patterns: Vec<_> = secrets.iter().map(|secret| secret.text.as_str()).collect();
            self.put("patterns", &patterns.join("\n"));
            let found = self.host.sh(&format!("cd {NOTES} && sh as {user} search <patterns"));
            for (path, text) in found.lines().filter_map(|line| line.split_once(':')) {
                let secret = secrets.iter().find(|secret| text.contains(&secret.text));
                let name = secret.map_or("something", |secret| &secret.name);
                leaks.insert(format!("{name} is in {path}, which {user} reads"));
            }
        }
        leaks
    }

    /// Writes a file of the notes past every command line of the host.
    fn put(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;

        let path = self.host.host.root().join(NOTES.trim_start_matches('/')).join(name);
        fs::write(&path, text).unwrap();
        let mode = if name == "patterns" { 0o600 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// The operator's end: command lines of all processes, and files that come and go.
fn watch_here(temporary: &Path, end: &AtomicBool) -> Vec<Seen> {
    let mut lines = BTreeSet::new();
    let mut files = BTreeSet::new();
    while !end.load(Ordering::Relaxed) {
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            lines.extend(fs::read(process.path().join("cmdline")));
        }
        read_all(temporary, &mut files);
        sleep(Duration::from_millis(10));
    }
    read_all(temporary, &mut files);
    let joined = |set: BTreeSet<Vec<u8>>| set.into_iter().collect::<Vec<_>>().join(&b'\n');
    vec![
        ("on a command line of the operator's machine".to_owned(), joined(lines)),
        ("in a temporary file of the operator".to_owned(), joined(files)),
    ]
}

fn read_all(folder: &Path, into: &mut BTreeSet<Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => read_all(&entry.path(), into),
            Ok(kind) if kind.is_file() => into.extend(fs::read(entry.path())),
            _ => {}
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
