//! The landing page and Swagger UI in a real browser, under the headers that nginx sends.

use std::path::Path;

use crate::host::{MARK, Provisioned, fields};
use crate::webdriver::{Browser, SELECT_ALL};

crate::tests! {
    Lab: [the_pages_work_in_a_browser],
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
    // The second lets nobody in from here, and says so.
    let frames = [("h1", "Open"), ("h1", "Closed"), ("#operations-api-count", "Count a visit")];
    for (frame, (selector, text)) in frames.into_iter().enumerate() {
        browser.enter_frame(Some(frame));
        let seen = browser.find(selector).text();
        assert!(seen.contains(text), "frame {frame} shows {seen:?}");
        browser.enter_frame(None);
    }
    browser.screenshot(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("landing.png"));

    let console = browser.console();
    let (refused, wrong): (Vec<_>, Vec<_>) =
        console.iter().partition(|line| line.contains("/close ") && line.contains("403"));
    assert!(refused.len() <= 1 && wrong.is_empty(), "{console:#?}");
    asks_nobody_else(browser);
}

fn swagger_ui_logs_in_and_counts(browser: &Browser) {
    browser.open(&format!("https://{NAME}/flask/swagger/"));
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
