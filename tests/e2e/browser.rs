//! The landing page and Swagger UI in a real browser, under the headers that nginx sends.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::host::{MARK, Provisioned, fields, wait_until};
use crate::python;
use crate::webdriver::{Browser, SELECT_ALL};

crate::tests! {
    Lab: [the_pages_work_in_a_browser, the_landing_page_shows_what_the_host_has],
}

const NAME: &str = "vm1.example.com";

fn the_pages_work_in_a_browser() {
    let host = Provisioned::ready("trixie");
    let (code, events) = host.hwctl("provision", &["--set", &format!("server_names=[{NAME}]")]);
    assert_eq!(code, 0, "{events:#?}");
    let browser = Browser::start(NAME, host.host.address);

    the_landing_page_shows_three_frames(&browser);
    swagger_ui_logs_in_and_counts(&browser);
}

fn the_landing_page_shows_three_frames(browser: &Browser) {
    browser.open(&format!("https://{NAME}/"));
    assert_eq!(browser.find("h1").text(), NAME);
    assert_eq!(browser.run("return document.querySelectorAll('iframe').length"), 3);
    // The second asks for a password, so it is locked until its link is followed.
    let frames = [("h1", "Open"), ("h1", "Closed"), ("#operations-api-count", "Count a visit")];
    for (frame, (selector, text)) in frames.into_iter().enumerate() {
        browser.enter_frame(Some(frame));
        let seen = browser.find(selector).text();
        assert!(seen.contains(text), "frame {frame} shows {seen:?}");
        browser.enter_frame(None);
    }
    browser.screenshot(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("landing.png"));

    assert_eq!(browser.console(), [""; 0]);
    asks_nobody_else(browser);
}

fn swagger_ui_logs_in_and_counts(browser: &Browser) {
    browser.open_until(&format!("https://{NAME}/flask/swagger/"), SWAGGER);
    let answer = |operation: &str| {
        browser.find(&format!("{operation} .execute")).click();
        let table = format!("{operation} .live-responses-table .response");
        let status = browser.find(&format!("{table} .response-col_status")).text();
        let body = browser.find(&format!("{table} .highlight-code pre")).text();
        assert_eq!(status.split_whitespace().next(), Some("200"), "{body}");
        body
    };

    let login = "#operations-auth-login";
    browser.find(&format!("{login} .opblock-summary-control")).click();
    let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
    browser.find(&format!("{login} textarea")).type_in(&format!("{SELECT_ALL}{body}"));
    let token = fields(&answer(login), "token");

    browser.find(".auth-wrapper .authorize").click();
    browser.find(".auth-container input").type_in(&token);
    browser.find(".auth-btn-wrapper .authorize").click();
    browser.find(".auth-btn-wrapper .btn-done").click();

    let count = "#operations-api-count";
    browser.find(&format!("{count} .opblock-summary-control")).click();
    let counted: serde_json::Value = serde_json::from_str(&answer(count)).unwrap();
    assert_eq!(counted, serde_json::json!({ "visits": 1 }));
    browser.screenshot(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("swagger.png"));

    assert_eq!(browser.console(), [""; 0]);
    asks_nobody_else(browser);
}

/// Holds that everything came from the host itself.
fn asks_nobody_else(browser: &Browser) {
    let own = format!("https://{NAME}/");
    let requests = browser.requests();
    assert!(requests.len() > 3, "{requests:?}");
    let others = requests.iter().filter(|url| !url.starts_with(&own) && !url.starts_with("data:"));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

const SITES: &str = r#"all:
  vars:
    server_names: [vm1.example.com]
    sites:
      main: { title: Harbor, description: "Everything that the harbor's office runs." }
      site1: null
      site2: null
      tides: { path: /tides, title: Tides, description: When the water comes and goes. }
      ledger: { path: /ledger, title: Ledger, description: What came and what left., users: { admin: marked-secret-site } }
      office: { path: /office, title: Office, allow: [192.0.2.0/24] }
      docs: { host: docs.example.com, title: Handbook, description: How the harbor works. }
      rules: { path: /rules, title: Rules, redirect: https://www.example.com/rules }
    apps:
      berths:
        path: /berths
        title: Berths
        description: Who lies where, and until when.
        source: berths
        run: [python3, -m, http.server, --bind, 127.0.0.1, "{port}"]
        packages: [python3]
        health: /
"#;

/// What Swagger UI shows once it has read the API's document.
const SWAGGER: &str = "#operations-api-count";
/// The schemes and widths in which people see the pages.
const LOOKS: [(&str, u32); 3] = [("light", 1280), ("dark", 1280), ("dark", 390)];

fn the_landing_page_shows_what_the_host_has() {
    let host = Provisioned::ready("trixie");
    fs::write(host.folder().join("sites.yaml"), SITES).unwrap();
    fs::create_dir_all(host.folder().join("berths/berths")).unwrap();
    fs::write(host.folder().join("berths/berths/index.html"), "<h1>Berths</h1>").unwrap();
    let (code, events) = host.hwctl("provision", &["-i", "inventory.yaml", "-i", "sites.yaml"]);
    assert_eq!(code, 0, "{events:#?}");
    let browser = Browser::start(NAME, host.host.address);

    every_route_has_a_frame_or_a_card(&browser);
    pages_are_accessible_in_all_looks(&browser);
    the_page_says_what_does_not_answer(&host, &browser);
    a_login_is_asked_for_once_its_link_is_followed(&host, &browser);
}

fn every_route_has_a_frame_or_a_card(browser: &Browser) {
    browser.open(&format!("https://{NAME}/"));
    assert_eq!(browser.find("h1").text(), "Harbor");
    assert_eq!(browser.find(".top p").text(), "Everything that the harbor's office runs.");
    let all = |selector: &str| {
        let found =
            format!("return [...document.querySelectorAll('{selector}')].map(e => e.textContent)");
        let found = browser.run(&found);
        let texts = found.as_array().expect("a list").iter();
        texts.map(|text| text.as_str().unwrap_or_default().trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(all(".frame h2"), ["Ledger", "Office", "Tides", "API"]);
    assert_eq!(all(".card h2"), ["Handbook", "Rules", "Berths"]);
    assert_eq!(all(".badge").len(), 2, "the ledger and the office");
    wait_until("all are up", || all(".health").iter().all(|text| text == "Up"));
    assert_eq!(all(".health").len(), 3, "the tides, the API and the berths");
    let icon = browser.run("return document.querySelector('.top img').naturalWidth > 0");
    assert_eq!(icon, true, "the icon is drawn");
    // The frame of the office lets nobody in from here.
    let console = browser.console();
    assert!(console.iter().all(|line| line.contains("/office")), "{console:#?}");
}

/// No dialog is in the way of whoever opens the landing page.
fn a_login_is_asked_for_once_its_link_is_followed(host: &Provisioned, browser: &Browser) {
    // hwctl itself asks, too.
    let asked = || host.sh("grep -c ' 401 .*Chrome' /var/log/nginx/ledger_access.log || true");
    browser.open(&format!("https://{NAME}/"));
    browser.enter_frame(Some(0));
    assert_eq!(browser.find("h1").text(), "Ledger");
    assert_eq!(asked(), "0");
    browser.find("a").click_at_last();
    wait_until("a login is asked for", || asked() != "0");
}

fn the_page_says_what_does_not_answer(host: &Provisioned, browser: &Browser) {
    host.sh("systemctl stop 'berths-*'");
    browser.open(&format!("https://{NAME}/"));
    let mark = browser.find(".card .health[data-state]");
    assert_eq!(mark.text(), "Down");
    browser.open(&format!("https://{NAME}/berths/"));
    assert_eq!(browser.find("h1").text(), "Not running");
    let id = browser.find(".id code").text();
    assert_eq!(id.len(), 32, "{id}");
    browser.find("main a").click();
    assert_eq!(browser.find("h1").text(), "Harbor");
}

fn pages_are_accessible_in_all_looks(browser: &Browser) {
    let axe = fs::read_to_string(python::file(
        "axe_playwright_python/axe.min.js",
        "axe-playwright-python",
    ));
    let axe = axe.unwrap();
    let pages = [
        ("landing", "/"),
        ("refusal", "/absent"),
        ("site", "/tides/"),
        ("swagger", "/flask/swagger/"),
    ];
    let mut wrong = Vec::new();
    for (scheme, width) in LOOKS {
        browser.look_like(scheme, width);
        for (name, path) in pages {
            let shown = if name == "swagger" { SWAGGER } else { "body" };
            browser.open_until(&format!("https://{NAME}{path}"), shown);
            let picture = format!("{name}-{scheme}-{width}.png");
            browser.screenshot(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(picture));
            // The structure of Swagger UI's page is not hwctl's, and its colors are.
            let counts = |problem: &&String| name != "swagger" || problem.starts_with("color");
            let problems = violations(browser, &axe);
            let told = |problem| format!("{name}, {scheme}, {width}: {problem}");
            wrong.extend(problems.iter().filter(counts).map(told));
            let is_wide = "return document.documentElement.scrollWidth > window.innerWidth";
            if browser.run(is_wide) == true {
                wrong.push(format!("{name}, {scheme}: wider than {width} pixels"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What axe finds wrong with the page for people who use it in other ways than most.
fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe);
    let found = browser.wait_for(
        "const done = arguments[arguments.length - 1]; \
         axe.run(document, { iframes: false }).then(seen => done(seen.violations), error => done([String(error)]))",
    );
    let shown = |problem: &Value| match problem["id"].as_str() {
        None => problem.to_string(),
        Some(id) => format!(
            "{id}: {}",
            problem["nodes"].as_array().map_or_else(String::new, |nodes| {
                let shown = nodes
                    .iter()
                    .take(4)
                    .map(|node| format!("{} ({})", node["html"], node["failureSummary"]));
                shown.collect::<Vec<_>>().join("; ")
            })
        ),
    };
    found.as_array().unwrap_or_else(|| panic!("axe: {found}")).iter().map(shown).collect()
}
