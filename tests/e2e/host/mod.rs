//! A lab host and hwctl run against it, as a user would.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hwctl::lab::{Lab, LabHost, TemporaryHost};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::say;

/// Stands in every password of the inventory.
pub(crate) const MARK: &str = "marked-secret-";

/// The lab of all tests.
pub(crate) fn lab() -> &'static Lab {
    static LAB: LazyLock<Lab> = LazyLock::new(|| {
        let lab = Lab::open().unwrap_or_else(|error| panic!("this test needs a lab host: {error}"));
        lab.with_progress(say)
    });
    &LAB
}

/// A lab host with an inventory that names it.
pub(crate) struct Provisioned {
    pub(crate) host: TemporaryHost<'static>,
    folder: TempDir,
}

impl Provisioned {
    /// A host that was never provisioned.
    pub(crate) fn fresh(release: &str) -> Self {
        Self::of(lab().temporary(release).expect("a lab host"))
    }

    /// Hosts that were never provisioned, each of which can take over addresses of the others.
    pub(crate) fn fresh_neighbors(release: &str, count: usize) -> Vec<Self> {
        let hosts = lab().temporary_neighbors(release, count).expect("lab hosts");
        hosts.into_iter().map(Self::of).collect()
    }

    fn of(host: TemporaryHost<'static>) -> Self {
        let folder = inventory(&host);
        Self { host, folder }
    }

    /// A host that this hwctl has provisioned once, and that was booted anew since. It is a copy
    /// of one that all such tests share, so that it is there in a few seconds.
    pub(crate) fn ready(release: &str) -> Self {
        let provision = |host: &LabHost| {
            let folder = inventory(host);
            let mut command = command(folder.path(), Some(host.known_hosts()), "provision", &[]);
            let output = command.output()?;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            Ok(())
        };
        let host = lab().temporary_from(release, &BUILD, provision).expect("a lab host");
        let folder = inventory(&host);
        let ready = Self { host, folder };
        let began = Instant::now();
        while Self::curl(&["-w", "%{http_code}", "-o", "/dev/null", &ready.url(HEALTH)]) != "200" {
            assert!(began.elapsed() < Duration::from_mins(1), "the stack does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
        ready
    }

    /// Runs a verb with `--json`; its exit code and events.
    pub(crate) fn hwctl(&self, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
        Self::read(&self.command(verb, args).output().unwrap())
    }

    /// The command of a verb with `--json`.
    pub(crate) fn command(&self, verb: &str, args: &[&str]) -> Command {
        // ssh reads its own configuration: known hosts are the lab's.
        let own = args.contains(&"--known-hosts");
        let known = (!own).then(|| self.host.known_hosts());
        command(self.folder(), known, verb, args)
    }

    /// What a verb with `--json` said: its exit code and events.
    pub(crate) fn read(output: &Output) -> (i32, Vec<Value>) {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!errors.contains("panicked"), "{errors}");
        // The inventory's passwords are marked: neither may show anywhere.
        assert!(!text.contains(MARK) && !errors.contains(MARK), "a secret shows");
        let events = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        (output.status.code().unwrap_or(-1), events)
    }

    /// The folder of the inventory.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether no run has begun on the host and no package of the stack is there.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.sh_ok("test -e /etc/nginx || test -e /var/lib/hwctl/runs")
    }

    /// Runs a command as root on the host; what it printed. It has to succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.host.exec(&["sh", "-c", script]).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "`{script}`: {text} {errors}");
        text
    }

    /// Whether a command as root on the host succeeds.
    pub(crate) fn sh_ok(&self, script: &str) -> bool {
        self.host.exec(&["sh", "-c", script]).unwrap().status.success()
    }

    /// Lets the next run fail at its very end: a template has a fault that shows only from outside. Until
    /// [`Self::mend`].
    pub(crate) fn break_at_the_end(&self) {
        let own = include_str!("../../../templates/nginx/homework");
        let alias = "alias {{ site.root_with_slash | nginx }};";
        assert!(own.contains(alias), "the template has changed");
        let fault = format!("{{% if site.path == \"/close\" %}}return 500;{{% endif %}}{alias}");
        let templates = self.folder().join("templates/nginx");
        fs::create_dir_all(&templates).unwrap();
        fs::write(templates.join("homework"), own.replacen(alias, &fault, 1)).unwrap();
    }

    /// Takes away all templates of the operator's own.
    pub(crate) fn mend(&self) {
        fs::remove_dir_all(self.folder().join("templates")).unwrap();
    }

    /// Logs in to the API and counts a visit.
    pub(crate) fn count_visit(&self) -> u64 {
        let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
        let json = "Content-Type: application/json";
        let login = Self::curl(&["-H", json, "-d", &body, &self.url("/flask/auth/login")]);
        let bearer = format!("Authorization: Bearer {}", fields(&login, "token"));
        let counted = Self::curl(&["-H", &bearer, &self.url("/flask/api/count")]);
        let counted: Value = serde_json::from_str(&counted).expect(&counted);
        counted["visits"].as_u64().unwrap_or_else(|| panic!("{counted}"))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host.address)
    }

    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host.address)
    }

    /// curl from outside.
    pub(crate) fn curl(args: &[&str]) -> String {
        let output = Command::new("curl").args(["-sk", "-m", "10"]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a TCP port answers from outside.
    pub(crate) fn answers(&self, port: u16) -> bool {
        self.answers_within(port, Duration::from_millis(500))
    }

    /// The same, with time for the kernel to send a lost packet again.
    pub(crate) fn answers_within(&self, port: u16, timeout: Duration) -> bool {
        let address = SocketAddr::new(self.host.address, port);
        TcpStream::connect_timeout(&address, timeout).is_ok()
    }
}

/// The digest of this build of hwctl: another build may leave another host behind.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let binary = fs::read(env!("CARGO_BIN_EXE_hwctl")).expect("hwctl");
    hwctl::resource::sha256(&binary)[..16].to_owned()
});

/// The API answers it once its Redis does.
const HEALTH: &str = "/flask/api/health";

/// Writes an inventory of one host.
fn inventory(host: &LabHost) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = lab().redis_archive().expect("the stand-in for Redis's image");
    let inventory = format!(
        "all:\n  vars:\n    redis: {{ image_archive: {} }}\n    \
         api: {{ users: {{ admin: {MARK}api }} }}\n    \
         sites: {{ site2: {{ users: {{ admin: {MARK}site }} }} }}\n  \
         hosts:\n    vm:\n      ansible_host: {}\n      ansible_user: {}\n      \
         ansible_ssh_private_key_file: {}\n",
        archive.display(),
        host.address,
        host.ssh_user(),
        host.identity().display(),
    );
    fs::write(folder.path().join("inventory.yaml"), inventory).unwrap();
    folder
}

/// The command of a verb with `--json`, run beside the inventory in `folder`.
fn command(folder: &Path, known_hosts: Option<&Path>, verb: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hwctl"));
    command.current_dir(folder).args(verb.split(' ').chain(["--json"]));
    if let Some(known_hosts) = known_hosts {
        command.arg("--known-hosts").arg(known_hosts);
    }
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What hwctl says in `folder` of a use that is wrong.
pub(crate) fn refused(folder: &Path, words: &[&str]) -> String {
    let mut hwctl = Command::new(env!("CARGO_BIN_EXE_hwctl"));
    let output = hwctl.current_dir(folder).args(words).output().unwrap();
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
    said
}

/// The ids of the planned changes.
pub(crate) fn changes(events: &[Value]) -> Vec<&str> {
    planned(events).iter().filter_map(|change| change["id"].as_str()).collect()
}

/// The ids of the planned changes that are not consequences of others.
pub(crate) fn causes(events: &[Value]) -> Vec<&str> {
    let own = planned(events).iter().filter(|change| change["because"].is_null());
    own.filter_map(|change| change["id"].as_str()).collect()
}

fn planned(events: &[Value]) -> &[Value] {
    let plan = events.iter().find(|event| event["event"] == "plan");
    plan.and_then(|plan| plan["changes"].as_array()).map_or(&[], Vec::as_slice)
}

/// The only host's outcome, from the last event.
pub(crate) fn outcome(events: &[Value]) -> String {
    assert_eq!(events.first().expect("an event")["event"], "version");
    let last = events.last().expect("an event");
    assert_eq!(last["event"], "summary", "{events:#?}");
    last["hosts"][0]["outcome"].as_str().unwrap_or_default().to_owned()
}

/// The runs that `history` told, newest first: verb, outcome and number of changes.
pub(crate) fn runs(events: &[Value]) -> Vec<(String, String, usize)> {
    let history = events.iter().find(|event| event["event"] == "history").expect("a history");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let runs = history["runs"].as_array().expect("runs").iter();
    let changes = |run: &Value| run["changes"].as_array().map_or(0, Vec::len);
    runs.map(|run| (text(&run["verb"]), text(&run["outcome"]), changes(run))).collect()
}

/// The action of a planned change.
pub(crate) fn action<'a>(events: &'a [Value], id: &str) -> &'a str {
    let change = planned(events).iter().find(|change| change["id"] == id);
    change.and_then(|change| change["action"].as_str()).unwrap_or("none")
}

/// The ids of what stays where hwctl's own is taken away.
pub(crate) fn kept(events: &[Value]) -> Vec<&str> {
    let kept = events.iter().filter(|event| event["event"] == "kept");
    kept.filter_map(|event| event["id"].as_str()).collect()
}

/// All that the failure says, as one text.
pub(crate) fn failure(events: &[Value]) -> String {
    let failed = events.iter().find(|event| event["event"] == "failed");
    failed.unwrap_or_else(|| panic!("nothing failed: {events:#?}")).to_string()
}

/// A text field of a JSON object.
pub(crate) fn fields(json: &str, name: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("no JSON: {json}"));
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {json}")).to_owned()
}

/// Waits until something holds; fails after half a minute.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
