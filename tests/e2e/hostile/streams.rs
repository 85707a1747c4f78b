//! Streams that hwctl's own other end never sends: each ends the engine with an error, and
//! nothing is changed. What is sent here is also where the fuzzer of `fuzz/` begins.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use hwctl::client::Pins;
use hwctl::engine::protocol::{
    CLIENT_GREETING, Goal, PlanRequest, Reply, Request, Restore, RunInfo, Turn, TurnRequest,
    Turned, read_frame, write_frame,
};
use hwctl::engine::{Copied, LogsRequest};
use hwctl::event::{Data, EventKind, Planned};
use hwctl::failure::{Exit, Failure};
use hwctl::resource::{
    Action, Blob, Change, Content, Declared, Detail, Directory, Facts, File, HashScheme,
    HostSecret, Id, Link, OnChange, Owner, Part, Resource, Secret, Unit, sha256,
};
use hwctl::spec::{Endpoint, Log, LogFormat, LogSource, PartSpec, Pin, Scope};
use serde::Serialize;

use crate::host::Provisioned;

crate::tests! {
    Lab: [hostile_streams_end_the_engine_and_change_nothing],
    Nothing: [the_fuzzer_begins_with_what_is_sent, a_stream_that_is_cut_anywhere_ends_with_an_error],
}

/// A message as the stream has it.
fn frame<T: Serialize>(message: &T) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut stream = Vec::new();
    runtime.block_on(write_frame(&mut stream, message)).unwrap();
    stream
}

/// A stream of the operator's side.
fn session(requests: &[Vec<u8>]) -> Vec<u8> {
    [format!("{CLIENT_GREETING}\n").as_bytes(), &requests.concat()].concat()
}

fn chunk(key: &str, bytes: &[u8], last: bool) -> Vec<u8> {
    frame(&Request::Chunk { key: key.to_owned(), bytes: bytes.to_vec(), last })
}

fn apply(fingerprint: &str) -> Vec<u8> {
    frame(&Request::Apply { fingerprint: fingerprint.to_owned() })
}

fn keep() -> Vec<u8> {
    frame(&Request::Keep)
}

fn undo() -> Vec<u8> {
    frame(&Request::Undo { why: "a look from outside fails".to_owned() })
}

/// A request to plan `resources`, for a run or for a look.
fn plan(resources: Vec<Resource>, is_run: bool) -> Vec<u8> {
    let tag = |resource| Declared::new("test", resource);
    let run = is_run.then(|| RunInfo {
        operator: "somebody@somewhere".to_owned(),
        verb: "provision".to_owned(),
        version: "1.0.0".to_owned(),
    });
    let declared = resources.into_iter().map(tag).collect();
    frame(&Request::Plan(PlanRequest {
        goal: Goal::Declared {
            resources: declared,
            parts: Vec::new(),
            scope: Scope::All,
            hash_key: None,
        },
        run,
        patience_s: 1,
        keep_on_failure: false,
        confirm_timeout_s: 30,
        endpoints: endpoints(),
        outside: None,
        seal: false,
        folders: Vec::new(),
    }))
}

/// Where the host serves.
fn endpoints() -> Vec<Endpoint> {
    let endpoint = |name: &str, port, pin| Endpoint { name: name.to_owned(), port, pin };
    let secure = Pin::File("/etc/nginx/ssl/x.crt".into());
    vec![endpoint("http", 80, Pin::Plain), endpoint("https", 443, secure)]
}

/// A file of a blob that has to be sent first.
fn file_of(blob: &Blob) -> Resource {
    let content = Content::Blob(blob.clone());
    File::new("/srv/file", content, 0o644, Owner::root()).into()
}

fn blob(bytes: &[u8]) -> Blob {
    Blob { key: sha256(bytes), size: bytes.len() as u64 }
}

/// A few kinds of resources with something in each field.
fn resources() -> Vec<Resource> {
    let secret = Part::Hash {
        user: "admin".to_owned(),
        password: Secret::new("password"),
        scheme: HashScheme::Argon2id,
    };
    let parts = vec![Part::Text("KEY=".to_owned()), Part::HostSecret("key".to_owned()), secret];
    vec![
        HostSecret { name: "key".to_owned(), bytes: 32, renew: false }.into(),
        Directory {
            sockets: vec!["s".to_owned()],
            ..Directory::new("/srv/d", 0o755, Owner::new("0", "root"))
        }
        .into(),
        File::new("/srv/d/env", Content::Parts(parts), 0o600, Owner::root()).into(),
        Link { path: "/srv/l".into(), target: "d".into() }.into(),
        Unit::new("x.service", vec![Id::new("file", "/srv/d/env")], OnChange::Restart).into(),
    ]
}

/// The requests that need no plan.
fn daily() -> [Vec<u8>; 6] {
    let settings =
        [("container", "redis"), ("socket", "/run/redis.sock"), ("password", "redis-password")];
    let part = || PartSpec {
        name: "redis".to_owned(),
        driver: Some("redis".to_owned()),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..PartSpec::default()
    };
    let log = |name: &str, source, format| Log { name: name.to_owned(), source, format };
    let logs = LogsRequest {
        logs: vec![
            log(
                "main",
                LogSource::File("/var/log/nginx/main_access.log".into()),
                LogFormat::Combined,
            ),
            log("api", LogSource::Unit("flask-app.service".to_owned()), LogFormat::Json),
            log(
                "redis",
                LogSource::Container("redis".to_owned()),
                LogFormat::Driver("redis".to_owned()),
            ),
        ],
        lines: 10,
        since: Some(1_795_000_000),
        errors: true,
        follow: false,
    };
    let run = RunInfo {
        operator: "somebody@somewhere".to_owned(),
        verb: "restore".to_owned(),
        version: "1.0.0".to_owned(),
    };
    let bytes = b"REDIS0011";
    let data = Data::new([("keys", 1), ("visits", 2)], bytes.len() as u64);
    let copied = Copied { data, sha256: sha256(bytes) };
    [
        frame(&Request::Status { parts: Vec::new(), goal: None }),
        frame(&Request::Logs(logs)),
        frame(&Request::Backup { part: part(), run: run.clone(), patience_s: 1 }),
        frame(&Request::Part { bytes: bytes.to_vec() }),
        frame(&Request::Restore(Restore { part: part(), copied, run, patience_s: 1 })),
        frame(&Request::Turn(TurnRequest {
            part: part(),
            host: "web1".to_owned(),
            turn: Turn::Away,
            patience_s: 1,
        })),
    ]
}

fn replies() -> Vec<u8> {
    let change = Change::new(Id::new("file", "/srv/f"), Action::Update)
        .attribute("mode", None, Some("0644".to_owned()))
        .detail(Detail::Text { before: "a\n".to_owned(), after: "b\n".to_owned() })
        .detail(Detail::Binary { before: Some(1), after: None })
        .because("file /srv/d changes");
    let changes = vec![Planned { tag: "test".to_owned(), change }];
    let progress =
        |fraction| EventKind::ChangeProgress { index: 0, fraction, message: "x".to_owned() };
    let failure = Failure::new(Exit::Undone, "it fails").why("because").hint("do this");
    let replies = [
        Reply::Hello { facts: Facts::unknown() },
        Reply::Event(progress(Some(0.5))),
        Reply::Plan {
            changes,
            kept: Vec::new(),
            fingerprint: sha256(b""),
            wants: vec![blob(b"bytes")],
            lacking: vec!["shop".to_owned()],
            seals: vec![sha256(b"")],
        },
        Reply::Applied { pins: Pins::default() },
        Reply::Lines(vec!["one".to_owned()]),
        Reply::Turned(Turned::NotBack { why: "L4CON".to_owned() }),
        Reply::Closed,
        Reply::Failed { failure },
    ];
    replies.iter().flat_map(frame).collect()
}

/// Where the fuzzer begins: what is sent in earnest, and what once went wrong or might.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = b"bytes";
    let run = plan(vec![file_of(&blob(bytes))], true);
    let whole = [run, apply(&sha256(b"")), chunk(&sha256(bytes), bytes, true), keep()];
    let nested = |head: &[u8]| {
        let message = [head, &[0x91; 4096]].concat();
        session(&[[&4096_u32.to_be_bytes()[..], &message].concat()])
    };
    let huge = |head: &[u8]| {
        let message = [head, b"\xdd\xff\xff\xff\xff"].concat();
        session(&[[&(u32::try_from(message.len()).unwrap()).to_be_bytes()[..], &message].concat()])
    };
    vec![
        ("plan", session(&[plan(resources(), true)])),
        ("run", session(&whole)),
        ("undo", session(&[keep(), undo()])),
        ("daily", session(&daily())),
        ("replies", replies()),
        ("truncated", session(&whole)[..200].to_vec()),
        ("long-frame", session(&[b"\xff\xff\xff\xff\x81".to_vec()])),
        ("deep-unknown", nested(b"\x81\xa4Plan\x81\xa1x")),
        ("deep-event", nested(b"\x81\xa5Event\x81\xa1x")),
        ("huge-array", huge(b"\x81\xa4Plan\x81\xa8declared")),
        ("huge-event", huge(b"\x81\xa5Event\x81\xa5event")),
    ]
}

/// `HWCTL_UPDATE_CORPUS=1` writes them anew after a change of the protocol.
fn the_fuzzer_begins_with_what_is_sent() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frames");
    for (name, seed) in seeds() {
        let path = corpus.join(name);
        if std::env::var_os("HWCTL_UPDATE_CORPUS").is_some() {
            fs::write(&path, &seed).unwrap();
        }
        assert!(fs::read(&path).is_ok_and(|bytes| bytes == seed), "`{name}` is not as sent now");
    }
}

/// Looks only, and is served on this machine: what the engine does with the stream's end.
fn a_stream_that_is_cut_anywhere_ends_with_an_error() {
    let absent = File { path: "/nowhere/x".into(), ..file_fields() }.into();
    let whole = session(&[plan(vec![absent], false)]);
    let greeting = CLIENT_GREETING.len() + 1;
    for cut in 0..=whole.len() {
        let ends_well = cut == greeting || cut == whole.len();
        assert_eq!(serve(&whole[..cut]).0, ends_well, "cut at {cut}");
    }
    let (well, answer) = serve(&whole);
    assert!(well && answer.contains("/nowhere/x"), "{answer}");
}

fn file_fields() -> File {
    File::text("/x", "x")
}

/// Serves a stream; whether it ended well, and what was answered as it shows.
fn serve(stream: &[u8]) -> (bool, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let input = std::io::Cursor::new(stream.to_vec());
    let mut output = Vec::new();
    let served = runtime.block_on(hwctl::engine::serve(
        input,
        &mut output,
        "",
        None,
        hwctl::part::Kinds::builtin().drivers(),
    ));
    (served.is_ok(), format!("{:?}", told(&output)))
}

fn hostile_streams_end_the_engine_and_change_nothing() {
    let host = Provisioned::fresh("trixie");
    assert_eq!(host.hwctl("plan", &[]).0, 3, "puts hwctl on the host");
    host.sh("touch /tmp/before");

    let wanted = blob(b"wanted");
    let run = || plan(vec![file_of(&wanted)], true);
    // What the host plans is told; chunks are taken by a run of just that.
    let (_, planned, _) = engine(&host, &session(&[run()]));
    let applied = apply(&fingerprint(&planned));
    let chunks =
        |chunks: Vec<Vec<u8>>| session(&[[run(), applied.clone()].concat(), chunks.concat()]);
    let full_chunk = chunk(&wanted.key, &vec![0; 256 << 10], false);
    let huge = Blob { key: sha256(b"huge"), size: 1 << 50 };
    let traversal = Blob { key: "../../../../etc/shadow".to_owned(), size: 1 };
    let relative = File { path: "../etc/planted".into(), ..file_fields() };
    let upwards = File { path: "/srv/../etc/planted".into(), ..file_fields() };
    let secret = HostSecret { name: "../../../etc/planted".to_owned(), bytes: 4, renew: false };
    let noise: Vec<u8> =
        (0..25_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", vec![], "not hwctl"),
        ("noise", noise.clone(), "not hwctl"),
        ("noise after the greeting", session(&[noise]), "frame"),
        ("a long frame", session(&[vec![0xff; 1 << 20]]), "longer than"),
        ("half a plan", session(&[run()[..60].to_vec()]), "ends within a frame"),
        ("a reply", session(&[frame(&Reply::Closed)]), "makes no sense"),
        ("apply first", session(&[apply("")]), "a plan to apply before a plan"),
        ("keep first", session(&[keep()]), "a run to keep before a run"),
        ("undo first", session(&[undo()]), "a run to undo before a run"),
        ("a chunk first", session(&[chunk(&wanted.key, b"wanted", true)]), "no run waits for"),
        (
            "a chunk before the run",
            session(&[run(), chunk(&wanted.key, b"wanted", true)]),
            "no run waits for",
        ),
        (
            "apply what was looked at",
            session(&[plan(resources(), false), apply("")]),
            "a plan to apply before a plan",
        ),
        ("a path as key", chunks(vec![chunk("../../etc/planted", b"x", true)]), "nobody asked"),
        ("another key", chunks(vec![chunk(&sha256(b"x"), b"x", true)]), "nobody asked"),
        ("endless chunks", chunks(vec![full_chunk; 64]), "more than the 6 bytes"),
        ("too few bytes", chunks(vec![chunk(&wanted.key, b"want", true)]), "ends after 4 of 6"),
        ("other bytes", chunks(vec![chunk(&wanted.key, b"WANTED", true)]), "its hash is another"),
        ("another request", chunks(vec![keep()]), "it owes a blob"),
        (
            "half a blob",
            chunks(vec![chunk(&wanted.key, b"wan", false)]),
            "lost before all files had arrived",
        ),
        (
            "a blob that no disk has room for",
            session(&[plan(vec![file_of(&huge)], true), chunk(&huge.key, b"x", false)]),
            "no run waits for",
        ),
        // These are answered: what they ask for is refused.
        ("a key that is a path", session(&[plan(vec![file_of(&traversal)], true)]), ""),
        ("a relative path", session(&[plan(vec![relative.into()], true)]), ""),
        ("a path upwards", session(&[plan(vec![upwards.into()], true)]), ""),
        ("a secret upwards", session(&[plan(vec![secret.into()], true)]), ""),
    ];
    for (name, stream, expected) in cases {
        let (code, answer, errors) = engine(&host, &stream);
        assert_eq!(code, i32::from(!expected.is_empty()), "{name}: {errors}");
        assert!(errors.contains(expected), "{name}: {errors}");
        assert!(!errors.contains("panicked"), "{name}: {errors}");
        let is_refused = expected.is_empty();
        let answer = format!("{:?}", told(&answer));
        assert!(!is_refused || answer.contains("Failed"), "{name}: {answer}");
        let left = host.sh(
            "ls -A /var/lib/hwctl/blobs 2>/dev/null; \
             find /var/lib/hwctl/runs -name '0*' 2>/dev/null; \
             find /etc /srv /var/lib /tmp -xdev -newer /tmp/before -name planted -o -path '/srv/*'",
        );
        assert_eq!(left, "", "{name}");
    }
}

/// The replies that an engine's answer has.
fn told(answer: &[u8]) -> Vec<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let line = answer.iter().position(|byte| *byte == b'\n').unwrap_or_default();
    let mut frames = &answer[line + 1..];
    let next = || runtime.block_on(read_frame::<Reply>(&mut frames)).ok().flatten();
    std::iter::from_fn(next).collect()
}

/// Of the plan that was answered.
fn fingerprint(answer: &[u8]) -> String {
    let plan = told(answer).into_iter().find_map(|reply| match reply {
        Reply::Plan { fingerprint, .. } => Some(fingerprint),
        _ => None,
    });
    plan.expect("a plan")
}

/// Feeds a stream to an engine on the host: its exit code, answers, and errors.
fn engine(host: &Provisioned, stream: &[u8]) -> (i32, Vec<u8>, String) {
    let mut child = host
        .host
        .ssh_command()
        .args(["--", "sudo -n $(ls -d /usr/local/lib/hwctl/hwctl-*) engine ''"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The engine may well be gone before it has read all.
    let _ = child.stdin.take().unwrap().write_all(stream);
    let mut answer = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut answer).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), answer, errors)
}
