//! A host that looks at itself: who is told of its faults, once each, and what becomes of messages that cannot be
//! delivered.

mod receiver;
pub(crate) mod trends;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::doctor::FAULTS;
use crate::host::{MARK, Provisioned, failure, wait_until};
use receiver::{Received, Receiver};

crate::tests! {
    Nothing: [what_cannot_be_a_channel_is_refused_with_its_place],
    Lab: [
        each_fault_is_told_once_and_its_end_once,
        the_other_faults_are_told_too,
        a_healthy_host_is_quiet_and_its_watch_is_cheap,
        messages_wait_while_the_receiver_is_away,
        a_fault_that_comes_and_goes_is_told_as_such,
        a_test_says_for_each_channel_what_happened,
        a_mail_goes_only_to_a_server_that_proves_itself,
        the_secrets_of_channels_show_nowhere,
        a_watch_leaves_nothing_behind,
        a_host_that_is_down_is_told_from_outside,
    ],
}

/// Some moment, in seconds since 1970.
const NOON: i64 = 1_800_000_000;
pub(crate) const MINUTE: i64 = 60;
/// For so long a fault has to stay away, where the timer looks once a day.
pub(crate) const SETTLE: i64 = 10 * MINUTE;
const HWCTL: &str = "/usr/local/lib/hwctl/hwctl";

/// A host that tells this receiver of its faults. Its timer sleeps, so that the tests have its clock.
pub(crate) struct Watched {
    pub(crate) host: Provisioned,
    receiver: Receiver,
    pub(crate) now: i64,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self::with(|at, receiver| {
            format!("[{{ webhook: 'http://{at}:{}/hook' }}]", receiver.http_port())
        })
    }

    /// With these channels; they get the address of this machine as the host sees it.
    fn with(channels: impl Fn(&str, &Receiver) -> String) -> Self {
        let (host, receiver) = (Provisioned::ready("trixie"), Receiver::start());
        let gateway = host.sh("ip route show default | cut -d' ' -f3");
        declare(&host, &channels(&gateway, &receiver));
        let (code, events) = host.hwctl("provision", &[]);
        assert_eq!(code, 0, "{events:#?}");
        Self { host, receiver, now: NOON }
    }

    /// The host looks at itself, so many seconds later. Returns what its journal gets.
    pub(crate) fn look(&mut self, seconds: i64) -> String {
        self.now += seconds;
        self.host.sh(&format!("{HWCTL} watch-host --now {}", self.now))
    }

    /// The messages of a look.
    pub(crate) fn told(&mut self, seconds: i64) -> Vec<Value> {
        let printed = self.look(seconds);
        let told: Vec<_> = self.receiver.take().iter().map(Received::json).collect();
        assert!(!format!("{told:?}{printed}").contains(MARK), "a secret shows");
        told
    }

    /// The only message of a look: its state, its id and its text.
    pub(crate) fn told_one(&mut self, seconds: i64, occasion: &str) -> (String, String, String) {
        let told = self.told(seconds);
        let [message] = told.as_slice() else { panic!("{occasion}: not one message: {told:#?}") };
        let field = |name: &str| message[name].as_str().unwrap().to_owned();
        (field("state"), field("id"), field("text"))
    }

    pub(crate) fn is_quiet(&mut self, seconds: i64, occasion: &str) {
        let told = self.told(seconds);
        assert!(told.is_empty(), "{occasion}: {told:#?}");
    }

    /// The check of the watch, as `status` shows it.
    fn check(&self) -> (bool, String) {
        let output = self.host.command("status", &[]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = status["hosts"][0]["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "watch");
        let check = check.unwrap_or_else(|| panic!("no check: {checks:#?}"));
        (check["ok"].as_bool().unwrap(), check["detail"].as_str().unwrap().to_owned())
    }
}

fn declare(host: &Provisioned, channels: &str) {
    let path = host.folder().join("inventory.yaml");
    let inventory = fs::read_to_string(&path).unwrap();
    let watch = format!("  vars:\n    notify: {channels}\n    watch: {{ every: 1d }}\n");
    fs::write(path, inventory.replacen("  vars:\n", &watch, 1)).unwrap();
}

/// The faults of `doctor`, found by the host alone: in two halves, since each takes its time.
fn each_fault_is_told_once_and_its_end_once() {
    are_told(&FAULTS[..FAULTS.len() / 2]);
}

fn the_other_faults_are_told_too() {
    are_told(&FAULTS[FAULTS.len() / 2..]);
}

fn are_told(faults: &[(&str, &str, &str, &str)]) {
    let mut watched = Watched::new();
    watched.is_quiet(0, "the host is healthy");
    for (fault, cause, told, remedy) in faults {
        watched.host.sh(&format!("{{ {fault}; }} >/dev/null 2>&1"));

        let (state, id, text) = watched.told_one(MINUTE, fault);

        let (part, found) = id.rsplit_once('/').unwrap_or(("", &id));
        assert_eq!((state.as_str(), found), ("fault", *cause), "after `{fault}` ({part}): {text}");
        assert!(text.starts_with("vm: ") && text.contains("\nnext: "), "after `{fault}`: {text}");
        assert!(text.contains(told), "after `{fault}`: {text}");
        assert!(!text.contains("mend or remove `/etc/nginx/nginx"), "after `{fault}`: {text}");
        if remedy.is_empty() {
            let (code, events) = watched.host.hwctl("doctor", &["--fix"]);
            assert_eq!(code, 0, "after `{fault}`: {events:#?}");
        } else {
            watched.host.sh(&format!("{{ {remedy}; }} >/dev/null 2>&1"));
        }
        watched.is_quiet(MINUTE, fault);
        let (state, ended, text) = watched.told_one(SETTLE, fault);
        assert_eq!((state.as_str(), &ended), ("recovered", &id), "after `{fault}`: {text}");
        // The next one is another day's.
        watched.now += 120 * MINUTE;
    }
}

fn a_healthy_host_is_quiet_and_its_watch_is_cheap() {
    let mut watched = Watched::new();
    for _ in 0..3 {
        watched.host.sh("systemctl start hwctl-watch.service");
        let cost = watched.host.sh("systemctl show -P CPUUsageNSec hwctl-watch.service");
        let cost = Duration::from_nanos(cost.parse().unwrap_or_default());
        // A build of tests takes several times what a release does; `benches/watch.sh` measures that.
        assert!(cost < Duration::from_secs(3), "a look took {cost:?} of a CPU");
    }
    for minutes in [1, 5, 60] {
        watched.is_quiet(minutes * MINUTE, "the host is healthy");
    }
    let (is_well, told) = watched.check();
    assert!(is_well && told.contains("no message waits"), "{told}");
    // A second run changes nothing, and a run that is under way is no fault.
    let (code, events) = watched.host.hwctl("plan", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let lock = "exec 9<>/run/hwctl.lock; flock 9; systemctl stop flask-app; ";
    let look = format!("{lock}{HWCTL} watch-host --now {}; systemctl start flask-app", watched.now);
    assert!(watched.host.sh(&look).contains("a run is under way"));
    assert!(watched.receiver.take().is_empty());
}

fn messages_wait_while_the_receiver_is_away() {
    let mut watched = Watched::new();
    watched.receiver.be_away(true);
    watched.host.sh("systemctl stop nginx");
    assert!(watched.look(MINUTE).contains("notify[0] did not take a message"));
    watched.host.sh("systemctl stop flask-app.socket flask-app.service");
    watched.look(10 * MINUTE);

    let (is_well, told) = watched.check();

    assert!(!is_well && told.contains("notify[0]: ") && told.contains("2 messages wait"), "{told}");
    watched.receiver.be_away(false);
    watched.receiver.answer(500);
    watched.look(20 * MINUTE);
    assert_eq!(
        watched.receiver.take().len(),
        1,
        "the first one is tried, and the others wait for it"
    );
    assert!(watched.check().1.contains("notify[0]: it answers 500"), "{:?}", watched.check());
    watched.receiver.answer(204);
    let told = watched.told(20 * MINUTE);
    let ids: Vec<_> = told.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["nginx/nginx-stopped", "api/api-socket-stopped"], "in their order: {told:#?}");
    assert!(watched.check().0, "{:?}", watched.check());
    watched.is_quiet(MINUTE, "both are known");
    let modes = "stat -c '%a %U %n' /etc/hwctl/watch /etc/hwctl/watch/* /var/lib/hwctl/watch /var/lib/hwctl/watch/*";
    let modes = watched.host.sh(modes);
    let is_private = |line: &str| line.starts_with("600 root ") || line.starts_with("700 root ");
    assert!(modes.lines().count() >= 4 && modes.lines().all(is_private), "{modes}");
}

fn a_fault_that_comes_and_goes_is_told_as_such() {
    let mut watched = Watched::new();
    let stop = |watched: &Watched| watched.host.sh("systemctl stop flask-app");
    let start = |watched: &Watched| watched.host.sh("systemctl start flask-app");
    stop(&watched);
    let (state, id, _) = watched.told_one(MINUTE, "the first time");
    assert_eq!((state.as_str(), id.as_str()), ("fault", "api/api-stopped"));
    for _ in 0..2 {
        start(&watched);
        watched.is_quiet(MINUTE, "it may come back");
        stop(&watched);
        let told = watched.told(MINUTE);
        if let [message] = told.as_slice() {
            assert!(message["summary"].as_str().unwrap().starts_with("flapping: "), "{message:#}");
            assert_eq!(message["id"], "api/api-stopped");
        }
    }
    for _ in 0..3 {
        start(&watched);
        watched.is_quiet(MINUTE, "it is known to come and go");
        stop(&watched);
        watched.is_quiet(MINUTE, "it is known to come and go");
    }
    start(&watched);
    watched.is_quiet(MINUTE, "it may come back");
    watched.is_quiet(20 * MINUTE, "it has not been well for long");
    assert_eq!(watched.told_one(20 * MINUTE, "it stays well").0, "recovered");
}

fn a_test_says_for_each_channel_what_happened() {
    let channels = |at: &str, receiver: &Receiver| {
        let (http, smtp) = (receiver.http_port(), receiver.smtp_port());
        let mail = |to: &str| {
            format!(
                "{{ email: {{ to: {to}, from: hwctl@example.com, smtp: '{at}:{smtp}', tls: never }} }}"
            )
        };
        format!(
            "[{{ webhook: 'http://{at}:{http}/hook?a=1&b=[2]' }}, {{ ntfy: 'http://{at}:{http}/topic' }}, {}]",
            mail("[ops@example.com, anna@example.com]"),
        )
    };
    let watched = Watched::with(channels);

    let (code, events) = watched.host.hwctl("notify test", &[]);

    assert_eq!(code, 0, "{events:#?}");
    let printed = |events: &[Value]| -> Vec<String> {
        let output = events.iter().filter(|event| event["event"] == "output");
        output.map(|event| event["text"].as_str().unwrap().to_owned()).collect()
    };
    let expected = [
        "notify[0] (webhook): delivered",
        "notify[1] (ntfy): delivered",
        "notify[2] (email): delivered",
    ];
    assert_eq!(printed(&events), expected);
    let received = watched.receiver.take();
    let [webhook, ntfy] = received.as_slice() else { panic!("{received:#?}") };
    assert_eq!((webhook.method.as_str(), webhook.path.as_str()), ("POST", "/hook?a=1&b=[2]"));
    assert_eq!(webhook.header("content-type"), "application/json");
    let body = webhook.json();
    assert_eq!((&body["host"], &body["state"]), (&"vm".into(), &"test".into()), "{body:#}");
    assert!(body["text"].as_str().unwrap().starts_with("vm: this is a test"), "{body:#}");
    assert_eq!((ntfy.path.as_str(), ntfy.header("priority")), ("/topic", "default"));
    assert!(ntfy.header("title").starts_with("vm: this is a test"), "{ntfy:?}");
    let mails = watched.receiver.take_mails();
    let [mail] = mails.as_slice() else { panic!("{mails:#?}") };
    assert_eq!(mail.from, "hwctl@example.com");
    assert_eq!(mail.to, ["ops@example.com", "anna@example.com"]);
    assert!(mail.text.contains("\r\nSubject: vm: this is a test"), "{}", mail.text);

    watched.receiver.answer(404);
    let (code, events) = watched.host.hwctl("notify test", &[]);
    assert_eq!(code, 1, "{events:#?}");
    let expected = [
        "notify[0] (webhook): it answers 404",
        "notify[1] (ntfy): it answers 404",
        "notify[2] (email): delivered",
    ];
    assert_eq!(printed(&events), expected);
    assert!(failure(&events).contains("not every channel"), "{events:#?}");
    // What is wrong is a mail, too.
    let mut watched = watched;
    watched.receiver.answer(200);
    watched.receiver.take();
    watched.receiver.take_mails();
    watched.host.sh("systemctl stop nginx");
    watched.look(MINUTE);
    let ntfy = watched.receiver.take().into_iter().find(|it| it.path == "/topic").unwrap();
    assert_eq!((ntfy.header("priority"), ntfy.header("title")), ("high", "vm: nginx does not run"));
    assert!(ntfy.body.contains("next: `hwctl provision --only nginx` starts it"), "{ntfy:?}");
    let mails = watched.receiver.take_mails();
    assert!(mails[0].text.contains("\r\nSubject: vm: nginx does not run\r\n"), "{mails:#?}");
}

/// On the host: a certificate of an authority of its own, and the server that shows it.
const MAIL_SERVER: &str = "cd /root && echo '127.0.0.1 mail.lab' >>/etc/hosts && \
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout mail.key \
    -out mail.crt -subj /CN=mail.lab -addext subjectAltName=DNS:mail.lab 2>/dev/null && \
    (setsid python3 smtps.py </dev/null >/dev/null 2>&1 &)";

fn a_mail_goes_only_to_a_server_that_proves_itself() {
    let mail = |smtp: &str, more: &str| {
        format!(
            "{{ email: {{ to: ops@example.com, from: hwctl@example.com, smtp: '{smtp}'{more} }} }}"
        )
    };
    let watched = Watched::with(|at, receiver| {
        let login = |password: &str| format!(", tls: always, user: hwctl, password: {password}");
        let right = mail("mail.lab:4650", &login(&format!("{MARK}smtp")));
        let wrong = mail("mail.lab:4650", &login("another-one"));
        let clear = mail(&format!("{at}:{}", receiver.smtp_port()), "");
        format!("[{right}, {wrong}, {clear}]")
    });
    let root = watched.host.host.root().join("root");
    fs::write(root.join("mail.password"), format!("{MARK}smtp")).unwrap();
    fs::write(root.join("smtps.py"), include_str!("smtps.py")).unwrap();
    watched.host.sh(MAIL_SERVER);
    let test = || {
        let (code, events) = watched.host.hwctl("notify test", &[]);
        let output = events.iter().filter(|event| event["event"] == "output");
        let lines = output.map(|event| event["text"].as_str().unwrap().replace(" (email)", ""));
        assert_eq!(code, 1, "{events:#?}");
        lines.collect::<Vec<_>>()
    };
    let no_tls = "notify[2]: it offers no TLS";
    wait_until("the server listens", || watched.host.sh_ok("ss -ltn | grep -q :4650"));

    let untrusted = "its certificate is not trusted";
    let expected =
        [format!("notify[0]: {untrusted}"), format!("notify[1]: {untrusted}"), no_tls.to_owned()];
    assert_eq!(test(), expected);
    assert!(!watched.host.sh_ok("test -e /run/mails"));

    watched.host.sh(
        "cp /root/mail.crt /usr/local/share/ca-certificates/lab.crt && update-ca-certificates >/dev/null 2>&1",
    );
    assert_eq!(test(), ["notify[0]: delivered", "notify[1]: it refuses the login", no_tls]);
    let mails = watched.host.sh("cat /run/mails");
    assert_eq!(mails.matches("Subject: vm: this is a test").count(), 1, "{mails}");
    assert!(watched.receiver.take_mails().is_empty(), "nothing went out in the clear");
}

fn the_secrets_of_channels_show_nowhere() {
    let channels = |at: &str, receiver: &Receiver| {
        let port = receiver.http_port();
        format!(
            "[{{ webhook: {{ env: HOOK }} }}, {{ ntfy: 'http://:{MARK}ntfy@{at}:{port}/{MARK}topic' }}, \
             {{ email: {{ to: a@b.example, from: c@d.example, smtp: '{at}:1', user: u, password: {MARK}smtp }} }}]\n    \
             heartbeat: 'http://{at}:{port}/{MARK}beat'"
        )
    };
    let (host, receiver) = (Provisioned::ready("trixie"), Receiver::start());
    let gateway = host.sh("ip route show default | cut -d' ' -f3");
    declare(&host, &channels(&gateway, &receiver));
    let hook = format!("http://{gateway}:{}/{MARK}hook", receiver.http_port());
    let with_hook = |verb: &str, args: &[&str]| {
        let output = host.command(verb, args).env("HOOK", &hook).output().unwrap();
        Provisioned::read(&output)
    };
    // What is printed is looked at by `read`.
    assert_eq!(with_hook("plan", &[]).0, 3);
    let (code, events) = with_hook("provision", &["--diff"]);
    assert_eq!(code, 0, "{events:#?}");
    host.sh("systemctl stop nginx");
    let sample = "while [ ! -e /run/end ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; done \
                  >/run/seen & ";

    host.sh(&format!("{sample}{HWCTL} watch-host >/run/printed; {HWCTL} watch-host --test >>/run/printed; touch /run/end; wait"));

    let received = receiver.take();
    let paths: Vec<_> = received.iter().map(|it| it.path.replace(MARK, "")).collect();
    assert!(
        ["/hook", "/topic", "/beat"].iter().all(|path| paths.contains(&(*path).to_owned())),
        "{paths:?}"
    );
    assert!(received.iter().all(|it| !it.body.contains(MARK)), "{received:#?}");
    let beat = received.iter().find(|it| it.path.ends_with("beat")).unwrap();
    assert_eq!((beat.method.as_str(), beat.body.as_str()), ("GET", ""));
    assert!(host.sh("cat /run/seen").contains("curl --disable --config -"));
    let (code, events) = with_hook("notify test", &[]);
    assert_eq!(code, 1, "{events:#?}");
    assert!(
        format!("{events:?}").contains("notify[2] (email): nothing accepts the connection"),
        "{events:#?}"
    );
    host.sh("rm -f /run/end; journalctl >/run/journal");
    let found = host.sh(&format!(
        "grep -rslF -e {MARK} /etc /run/seen /run/printed /run/journal /var/log /var/lib/hwctl /var/lib/systemd /tmp /root || true"
    ));
    assert_eq!(found, "/etc/hwctl/watch/settings.json");
    let state = host.sh("cat /var/lib/hwctl/watch/state.json");
    assert!(state.contains("nginx-stopped") && state.contains("nothing accepts"), "{state}");
}

fn a_watch_leaves_nothing_behind() {
    const LEFT: &str = "ls -d /etc/hwctl/watch /var/lib/hwctl/watch /etc/systemd/system/hwctl-watch.* \
                        /etc/systemd/system/timers.target.wants/hwctl-watch.timer 2>/dev/null || true";
    let mut watched = Watched::new();
    watched.look(MINUTE);
    assert_eq!(watched.host.sh(LEFT).lines().count(), 5, "{}", watched.host.sh(LEFT));
    assert_eq!(watched.host.sh("systemctl is-active hwctl-watch.timer"), "active");
    let path = watched.host.folder().join("inventory.yaml");
    let with_watch = fs::read_to_string(&path).unwrap();
    let lines = with_watch.lines().filter(|line| !line.starts_with("    notify: "));
    fs::write(&path, format!("{}\n", lines.collect::<Vec<_>>().join("\n"))).unwrap();

    let (code, events) = watched.host.hwctl("provision", &[]);

    assert_eq!((code, watched.host.sh(LEFT)), (0, String::new()), "{events:#?}");
    assert!(!watched.host.sh_ok("systemctl is-active hwctl-watch.timer"));
    let (code, events) = watched.host.hwctl("notify test", &[]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("`hwctl provision`"), "{events:#?}");
    // The way back brings it again, and it works.
    let (code, events) = watched.host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    watched.host.sh("systemctl stop nginx");
    assert_eq!(watched.told_one(MINUTE, "after the way back").1, "nginx/nginx-stopped");
    watched.host.sh("systemctl start nginx");
    let (code, events) = watched.host.hwctl("destroy", &["--yes"]);
    assert_eq!((code, watched.host.sh(LEFT)), (0, String::new()), "{events:#?}");
}

fn a_host_that_is_down_is_told_from_outside() {
    let watched = Watched::new();
    let mut args = vec!["--notify", "--every", "1", "--connect-timeout", "2"];
    // Before the first look: a session that is cut in the middle takes longer to end than a login.
    watched.host.host.cut_network().unwrap();
    // It uses this machine's curl: the receiver is here.
    let mut child = watched.host.command("watch", &args).stdout(Stdio::null()).spawn().unwrap();
    let state = |wanted: &str| {
        let received = watched.receiver.take();
        received.iter().map(Received::json).find(|message| message["state"] == wanted)
    };
    let mut told = None;
    wait_until("somebody is told", || {
        told = state("fault");
        told.is_some()
    });
    let told = told.unwrap();
    assert_eq!((&told["host"], &told["id"]), (&"vm".into(), &"unreachable".into()), "{told:#}");
    watched.host.host.restore_network().unwrap();
    wait_until("the end is told", || state("recovered").is_some());
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));

    args.extend(["--rounds", "1"]);
    watched.host.host.cut_network().unwrap();
    let (code, lines) = Provisioned::read(&watched.host.command("watch", &args).output().unwrap());
    watched.host.host.restore_network().unwrap();
    assert_eq!((code, lines.len()), (5, 1), "{lines:#?}");
    assert_eq!(lines[0]["state"], "fault");
}

fn what_cannot_be_a_channel_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    let told = |vars: &str| {
        let text =
            format!("all:\n  hosts: {{ h: {{ ansible_host: 192.0.2.1 }} }}\n  vars:\n    {vars}\n");
        fs::write(&path, text).unwrap();
        let mut hwctl = Command::new(env!("CARGO_BIN_EXE_hwctl"));
        let output =
            hwctl.current_dir(folder.path()).args(["plan", "--json", "--only", "watch"]).output();
        let (code, events) = Provisioned::read(&output.unwrap());
        assert_eq!(code, 2, "{vars}: {events:#?}");
        failure(&events)
    };
    for (vars, expected) in [
        (format!("notify: [{{ webhook: 'ftp://{MARK}x' }}]"), "inventory.yaml:5:"),
        (
            format!("notify: [{{ webhook: \"https://a/{MARK}\\n-o /etc/x\" }}]"),
            "`notify[0].webhook` is no URL",
        ),
        (format!("notify: [{{ ntfy: 'https://a/{MARK} b' }}]"), "`notify[0].ntfy` is no URL"),
        (format!("heartbeat: '{MARK}'"), "`heartbeat` is no URL"),
        (
            "notify: [{ webhook: { env: NOT_SET_ANYWHERE } }]".to_owned(),
            "`NOT_SET_ANYWHERE` is not set",
        ),
        ("notify: [{}]".to_owned(), "`notify[0]` takes one of `webhook`, `ntfy` and `email`"),
        ("notify: [{ webhook: https://a, ntfy: https://b }]".to_owned(), "takes one of"),
        ("notify: [{ web: https://a }]".to_owned(), "unknown key `web` in `notify[0]`"),
        (
            "notify: [{ email: { to: 'a@b,c', from: a@b, smtp: m } }]".to_owned(),
            "`notify[0].email.to` takes a mail address",
        ),
        (
            "notify: [{ email: { to: \"a@b\\nBcc: c@d\", from: a@b, smtp: m } }]".to_owned(),
            "`notify[0].email.to` takes a mail address",
        ),
        ("notify: [{ email: { to: [], from: a@b, smtp: m } }]".to_owned(), "names nobody"),
        (
            "notify: [{ email: { to: a@b, from: a@b, smtp: 'm:0' } }]".to_owned(),
            "takes a server such as",
        ),
        (
            "notify: [{ email: { to: a@b, from: a@b, smtp: m, user: u } }]".to_owned(),
            "lacks `password`",
        ),
        (
            format!(
                "notify: [{{ email: {{ to: a@b, from: a@b, smtp: m, user: u, password: {MARK}, tls: never }} }}]"
            ),
            "would send a password without TLS",
        ),
        (
            "watch: { every: 5s }".to_owned(),
            "`watch.every` takes a time from `30s` to `1d`, not `5s`",
        ),
        ("watch: { remind: 1m }".to_owned(), "`watch.remind` takes a time from `1h` to `30d`"),
        ("watch: { disk_hours: -1 }".to_owned(), "`watch.disk_hours` takes a whole number"),
    ] {
        let said = told(&format!("api: {{ users: {{ a: long-enough }} }}\n    {vars}"));
        assert!(said.contains(expected), "{vars}: {said}");
        assert!(said.contains("inventory.yaml:5:"), "{vars}: {said}");
    }
}
