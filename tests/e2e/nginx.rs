//! nginx as clients, guessers and its own operator meet it, on both releases.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::{MARK, Provisioned};
use crate::python;

crate::tests! {
    Lab: [on_debian_12, on_debian_13, repeated_checks_take_nobodys_logins],
}

fn on_debian_12() {
    is_as_it_should("bookworm");
}

fn on_debian_13() {
    is_as_it_should("trixie");
}

fn is_as_it_should(release: &str) {
    let host = &Provisioned::ready(release);
    logs_are_not_for_everybody(host);
    what_the_api_serves_is_compressed(host);
    gixy_finds_nothing(host, &[]);
    error_pages_are_pages_whatever_the_url_ends_with(host);
    error_pages_are_in_the_form_that_was_asked_for(host);
    refusals_under_flask_are_json(host);
    garbage_is_a_bad_request(host);
    only_own_addresses_are_redirected_to(host);
    a_frame_asks_for_no_password(host);
    a_known_name_takes_as_long_as_an_unknown_one(host);
    a_flood_of_canceled_requests_ends_its_own_connection(host);
    logs_rotate_where_services_may_not_be_started(host);
    one_network_uses_up_nobody_elses_logins(host);
    nginx_comes_back_after_a_kill(host);
}

/// The status and type of an answer, and its body.
fn ask(args: &[&str]) -> (String, String) {
    let answer = Provisioned::curl(&[&["-w", "\n%{http_code} %{content_type}"], args].concat());
    let (body, seen) = answer.rsplit_once('\n').expect("a line of what was seen");
    (seen.to_owned(), body.to_owned())
}

fn logs_are_not_for_everybody(host: &Provisioned) {
    let open = host.sh("find /var/log/nginx -type f -perm /007");
    assert_eq!(open, "", "others may read the logs before their first rotation");
}

fn what_the_api_serves_is_compressed(host: &Provisioned) {
    let url = host.url("/flask/swagger/swagger-ui-bundle.js");
    let size = |more: &[&str]| -> u32 {
        let told = Provisioned::curl(
            &[&["-o", "/dev/null", "-w", "%{size_download}"], more, &[&url]].concat(),
        );
        told.parse().expect(&told)
    };
    let (whole, compressed) = (size(&[]), size(&["-H", "Accept-Encoding: gzip"]));
    assert!(whole > 1_000_000 && compressed < whole / 2, "{compressed} of {whole} bytes");
    let headers =
        Provisioned::curl(&["-H", "Accept-Encoding: gzip", "-o", "/dev/null", "-D", "-", &url]);
    let tag = headers.lines().find_map(|line| line.strip_prefix("etag: ")).expect(&headers).trim();
    let known = format!("If-None-Match: {tag}");
    assert_eq!(ask(&["-H", &known, &url]).0.split(' ').next(), Some("304"), "{headers}");
}

/// Two analyzers of nginx's configuration, which find different things.
pub(crate) fn gixy_finds_nothing(host: &Provisioned, skipped: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("nginx.conf");
    std::fs::write(&dump, host.sh("nginx -T 2>/dev/null")).unwrap();
    for (program, package) in [("gixy", "gixy-ng"), ("gixy-next", "gixy-next")] {
        let output = Command::new(python::program(program, package))
            .args(skipped)
            .arg(&dump)
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&output.stdout);
        assert!(found.contains("No issues found"), "{package}: {found}");
    }
}

fn error_pages_are_pages_whatever_the_url_ends_with(host: &Provisioned) {
    for path in ["/missing.pdf", "/open/missing.zip", "/missing.txt", "/missing.json", "/missing"] {
        let (seen, body) = ask(&[&host.url(path)]);
        assert_eq!(seen, "404 text/html; charset=utf-8", "{path}");
        assert!(body.contains("<h1>Not here</h1>"), "{path}: {body}");
    }
    let (seen, _) = ask(&["-H", "Host: not-ours.invalid", &host.url("/x.pdf")]);
    assert!(seen.starts_with("421 text/plain"), "{seen}");
}

fn error_pages_are_in_the_form_that_was_asked_for(host: &Provisioned) {
    for (accept, kind) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("image/avif,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/problem+json", "application/json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("image/png", "text/plain; charset=utf-8"),
    ] {
        for (path, status) in [("/missing.html", "404"), ("/close/x.json", "403")] {
            let answer =
                Provisioned::curl(&["-i", "-H", &format!("Accept: {accept}"), &host.url(path)]);
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            let header = |name: &str| {
                let lines = head.lines().filter_map(|line| line.split_once(": "));
                let found = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_owned()).collect::<Vec<_>>().join(" and ")
            };
            assert!(head.contains(&format!(" {status}")), "{path}: {head}");
            assert_eq!(header("content-type"), kind, "{accept}");
            let id = header("x-request-id");
            assert!(
                id.len() == 32 && body.contains(&id) && body.contains(status),
                "{head}\n{body}"
            );
            if kind == "application/json" {
                let body: serde_json::Value = serde_json::from_str(body).expect(body);
                assert_eq!(body["error"]["request_id"], id);
            } else if kind.starts_with("text/html") {
                assert!(body.contains("href=\"/\""), "it leads nowhere: {body}");
                the_policy_allows_its_style(&header("content-security-policy"), body);
            }
        }
    }
}

/// A page that nginx makes itself has its style in itself, which the policy names by its hash.
fn the_policy_allows_its_style(policy: &str, page: &str) {
    let (_, style) = page.split_once("<style>").expect("a style");
    let (style, _) = style.split_once("</style>").expect("its end");
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-binary"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(style.as_bytes()).unwrap();
    let digest = openssl.wait_with_output().unwrap().stdout;
    let hash = format!("'sha256-{}'", base64(&digest));
    assert!(policy.contains(&hash), "{hash} is not in {policy}");
}

fn base64(bytes: &[u8]) -> String {
    let mut encode = Command::new("base64")
        .arg("-w0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    encode.stdin.take().unwrap().write_all(bytes).unwrap();
    String::from_utf8(encode.wait_with_output().unwrap().stdout).unwrap()
}

/// HTTP/2 lets a client open streams and cancel them at once, so that none counts as open
/// (CVE-2023-44487). nginx closes such a connection early; other clients notice nothing.
fn a_flood_of_canceled_requests_ends_its_own_connection(host: &Provisioned) {
    const STREAMS: u32 = 10_000;
    let flood = canceled_requests(&host.host.address.to_string(), STREAMS);
    let count = "grep -c 'GET / HTTP/2' /var/log/nginx/main_access.log || true";
    assert_eq!(host.sh(count), "0");
    let workers = host.sh("pgrep -P $(cat /run/nginx.pid)");
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-alpn", "h2", "-connect"])
        .arg(format!("{}:443", host.host.address))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    // The connection ends before all is written.
    let writing = std::thread::spawn(move || {
        let _ = stdin.write_all(&flood);
    });

    let (seen, _) = ask(&[&host.url("/flask/api/ping")]);
    client.wait().unwrap();
    writing.join().unwrap();

    assert!(seen.starts_with("200 "), "another client, meanwhile: {seen}");
    let taken: u32 = host.sh(count).parse().unwrap();
    println!("HTTP/2: nginx takes {taken} of {STREAMS} canceled requests");
    assert!(
        (1..STREAMS / 2).contains(&taken),
        "nginx takes {taken} of {STREAMS} canceled requests"
    );
    assert_eq!(host.sh("pgrep -P $(cat /run/nginx.pid)"), workers, "the workers go on");
}

/// A connection of HTTP/2 (RFC 9113) that asks for `/` and takes it back, again and again.
fn canceled_requests(authority: &str, streams: u32) -> Vec<u8> {
    const SETTINGS: u8 = 4;
    const HEADERS: (u8, u8) = (1, 0x05); // END_STREAM and END_HEADERS
    const RST_STREAM: u8 = 3;
    const CANCEL: u32 = 8;
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    // HPACK's static table (RFC 7541): `:method: GET`, `:scheme: https`, `:path: /`, then `:authority`.
    let length = u8::try_from(authority.len()).unwrap();
    let head = [&[0x82, 0x87, 0x84, 0x41, length], authority.as_bytes()].concat();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    for stream in (1..2 * streams).step_by(2) {
        bytes.extend(frame(HEADERS.0, HEADERS.1, stream, &head));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    bytes
}

fn refusals_under_flask_are_json(host: &Provisioned) {
    let long = host.url(&format!("/flask/{}", "a".repeat(9_000)));
    let header = format!("X-Long: {}", "a".repeat(40_000));
    let ping = host.url("/flask/api/ping");
    let cases: [(&[&str], &str, &str); 3] = [
        (&[&long], "414", "uri_too_long"),
        (&["-H", &header, &ping], "431", "headers_too_large"),
        (&["-H", "Content-Length: x", &ping], "400", "bad_request"),
    ];
    for (args, status, code) in cases {
        // By address and by name: nginx chooses its server by what a client names in TLS.
        let by_name = format!("localhost:443:{}:443", host.host.address);
        let named: Vec<_> = args
            .iter()
            .map(|arg| arg.replace(&host.host.address.to_string(), "localhost"))
            .collect();
        let named: Vec<_> = named.iter().map(String::as_str).collect();
        for args in [args.to_vec(), [&["--connect-to", &by_name], &named[..]].concat()] {
            let (seen, body) = ask(&[&["--http1.1"], &args[..]].concat());
            assert_eq!(seen, format!("{status} application/json"), "{body}");
            let body: serde_json::Value = serde_json::from_str(&body).expect(&body);
            assert_eq!(body["error"]["code"], code);
        }
    }
}

/// What is no HTTP is refused as what it is.
fn garbage_is_a_bad_request(host: &Provisioned) {
    let address = host.host.address;
    let client = "openssl s_client -quiet -connect 127.0.0.1:443";
    let answer =
        host.sh(&format!("printf 'GARBAGE\\r\\n\\r\\n' | timeout 5 {client} 2>/dev/null; true"));
    assert!(answer.starts_with("HTTP/1.1 400 "), "{address}: {answer}");
    assert!(answer.contains("<h1>Not understood</h1>"), "{address}: {answer}");
}

fn only_own_addresses_are_redirected_to(host: &Provisioned) {
    let address = host.host.address.to_string();
    for (name, status) in [
        (address.as_str(), "301"),
        ("localhost", "301"),
        ("8.8.8.8", "421"),
        ("[2001:db8::1]", "421"),
        ("1", "421"),
    ] {
        let (seen, _) = ask(&["-H", &format!("Host: {name}"), &host.http_url("/")]);
        assert!(seen.starts_with(status), "{name}: {seen}");
    }
    // Also where another address of the host is asked for, as itself.
    assert!(host.sh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/") == "301");
}

/// The landing page has all sites in frames: whoever opens it is asked for nothing.
fn a_frame_asks_for_no_password(host: &Provisioned) {
    let seen = |header: &str| {
        let status = "curl -sk -o /dev/null -D - -w '%{http_code}'";
        host.sh(&format!("{status} -H 'Sec-Fetch-Dest: {header}' https://127.0.0.1/close/"))
    };
    let (frame, page) = (seen("iframe"), seen("document"));
    assert!(
        frame.ends_with("403") && !frame.to_lowercase().contains("www-authenticate"),
        "{frame}"
    );
    assert!(page.ends_with("401") && page.to_lowercase().contains("www-authenticate"), "{page}");
}

/// From the host itself, which is on the list of site2.
fn a_known_name_takes_as_long_as_an_unknown_one(host: &Provisioned) {
    let took = |user: &str| {
        let curl =
            "curl -sk -o /dev/null -w '%{http_code} %{time_starttransfer} %{time_appconnect}'";
        let seen = host.sh(&format!("{curl} -u {user}:wrong https://127.0.0.1/close/"));
        let fields: Vec<&str> = seen.split(' ').collect();
        assert_eq!(fields[0], "401");
        let seconds = |at: usize| fields[at].parse::<f64>().expect("seconds");
        seconds(1) - seconds(2)
    };
    let shortest = |user: &str| (0..8).map(|_| took(user)).fold(f64::MAX, f64::min);
    let (known, unknown) = (shortest("admin"), shortest("nobody"));
    // nginx waits for 100 ms from the head of the request on, which comes a moment before curl begins
    // to count.
    assert!(known >= 0.09 && unknown >= 0.09, "{known} s and {unknown} s");
}

fn logs_rotate_where_services_may_not_be_started(host: &Provisioned) {
    host.sh(
        "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d",
    );
    host.sh("logrotate --force /etc/logrotate.d/nginx");
    host.sh("rm /usr/sbin/policy-rc.d");
    let began = Instant::now();
    while !host.sh_ok("grep -q after-rotation /var/log/nginx/main_access.log") {
        ask(&[&host.url("/after-rotation")]);
        assert!(began.elapsed() < Duration::from_secs(5), "nginx goes on with the old file");
    }
}

/// Guesses come from addresses of one IPv6 network, and the admin's from elsewhere.
fn one_network_uses_up_nobody_elses_logins(host: &Provisioned) {
    host.sh("for n in 1 2 3; do ip -6 address add fd00:7::$n/64 dev lo nodad; done");
    let login = |from: &str, to: &str, password: &str| {
        let body = format!(r#"{{"username":"admin","password":"{password}"}}"#);
        host.sh(&format!(
            "curl -sk -o /dev/null -w '%{{http_code}}' --interface {from} -d '{body}' \
             -H 'Content-Type: application/json' https://{to}/flask/auth/login"
        ))
    };
    let guess = |number: usize| login(&format!("fd00:7::{}", number % 3 + 1), "[fd00:7::1]", "no");
    let guesses: Vec<_> = (0..9).map(guess).collect();
    assert_eq!(guesses[0], "401");
    assert_eq!(guesses[8], "429", "{guesses:?}");

    assert_eq!(login("127.0.0.1", "127.0.0.1", &format!("{MARK}api")), "200");

    // A flood is cut by nginx itself, for the whole network.
    let flood = "for n in $(seq 40); do echo https://[fd00:7::1]/flask/auth/login; done | \
                 xargs curl -sk -Z --interface fd00:7::2 -d x -w ' %{http_code} '";
    let answers = host.sh(flood);
    assert!(answers.contains(" 429 ") && answers.contains("too_many_requests"), "{answers}");
    assert_eq!(login("127.0.0.1", "127.0.0.1", &format!("{MARK}api")), "200");
}

fn nginx_comes_back_after_a_kill(host: &Provisioned) {
    for _ in 0..3 {
        host.sh("kill -9 $(cat /run/nginx.pid)");
        let killed = Instant::now();
        std::thread::sleep(Duration::from_millis(100));
        while !is_served(host) {
            assert!(killed.elapsed() < Duration::from_secs(2), "nginx does not come back");
        }
    }
}

fn is_served(host: &Provisioned) -> bool {
    let mut curl = Command::new("curl");
    curl.args(["-sk", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}", &host.url("/")]);
    curl.output().is_ok_and(|output| output.stdout == b"200")
}

/// A monitor may check as often as it likes.
fn repeated_checks_take_nobodys_logins() {
    let host = &Provisioned::ready("trixie");
    for round in 0..9 {
        let (code, documents) = host.hwctl("verify", &[]);
        assert_eq!(code, 0, "round {round}: {documents:#?}");
    }
    let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
    let json = "Content-Type: application/json";
    for _ in 0..8 {
        let (seen, _) = ask(&["-H", json, "-d", &body, &host.url("/flask/auth/login")]);
        assert!(seen.starts_with("200"), "{seen}");
    }
}
