//! A headless Chromium, driven through chromedriver: the few calls of `WebDriver` that a test needs.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hwctl_setup::Tool;
use serde_json::{Value, json};

use crate::harness::say;

const TOOLS: [Tool; 2] = [
    Tool::new("chromium", "chromium", "shows the pages of the browser test"),
    Tool::new("chromedriver", "chromium-driver", "drives it"),
];

/// How long a page may take to show what is looked for.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long until a page that does not show it is opened again.
const TRY: Duration = Duration::from_secs(20);
/// The name of an element's id, as the standard has it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Selects all that an input holds, so that what is typed next replaces it.
pub(crate) const SELECT_ALL: &str = "\u{e009}a\u{e000}";

/// A browser that knows one host, and ends with this value.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    /// What pages have written to the console while they were opened, and nobody has asked for yet.
    said: RefCell<Vec<String>>,
}

impl Browser {
    /// Starts one in which `name` is at `address`, and no other name is anywhere.
    pub(crate) fn start(name: &str, address: IpAddr) -> Self {
        hwctl_setup::ensure(&TOOLS, &say).unwrap_or_else(|error| panic!("{error}"));
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}"));
        let mut told = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = told.find_map(|line| {
            line.split_once("successfully on port ")
                .map(|(_, port)| port.trim_end_matches('.').to_owned())
        });
        // Somebody has to read on, or it stops at a full pipe.
        std::thread::spawn(move || told.for_each(drop));
        let root = format!("http://127.0.0.1:{}/session", port.expect("a port"));
        let mut browser = Self { driver, session: root, said: RefCell::default() };
        let rules = format!("MAP {name} {address}, MAP * ~NOTFOUND, EXCLUDE {address}");
        let started = browser.call(
            "",
            &json!({ "capabilities": { "alwaysMatch": {
                "acceptInsecureCerts": true,
                "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
                "goog:chromeOptions": { "args": [
                    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars",
                    "--window-size=1280,1080", format!("--host-resolver-rules={rules}"),
                ] },
            } } }),
        );
        let id = started["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn call(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        // A script may be longer than what a command line takes.
        let sent = ["-H", "Content-Type: application/json", "--data-binary", "@-", &url];
        let answer = curl_with(&sent, &body.to_string());
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}"));
        answer["value"].clone()
    }

    /// Opens a page and waits until it is loaded, its frames too. Chromium breaks off what it loads when a network interface
    /// of this machine comes or goes, as those of other tests' hosts do: then the page is opened again.
    pub(crate) fn open(&self, url: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call("/url", &json!({ "url": url }));
            let said = self.read_console();
            let is_broken_off = |text: &str| text.contains("ERR_NETWORK_CHANGED");
            let is_whole =
                !is_broken_off(&answer.to_string()) && !said.iter().any(|line| is_broken_off(line));
            if is_whole || Instant::now() >= deadline {
                assert!(answer.is_null(), "{url}: {answer}");
                self.said.borrow_mut().extend(said);
                return;
            }
        }
    }

    /// The element that a CSS selector finds, as soon as it shows.
    pub(crate) fn find(&self, selector: &str) -> Element<'_> {
        self.find_within(selector, PATIENCE)
            .unwrap_or_else(|found| panic!("`{selector}` does not show: {found}"))
    }

    fn find_within(&self, selector: &str, patience: Duration) -> Result<Element<'_>, Value> {
        let asked = json!({ "using": "css selector", "value": selector });
        let deadline = Instant::now() + patience;
        loop {
            let found = self.call("/element", &asked);
            if let Some(id) = found[ELEMENT].as_str() {
                return Ok(Element { browser: self, id: id.to_owned() });
            }
            if Instant::now() >= deadline {
                return Err(found);
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Opens a page, and again if an element of it does not show, since something that its script loads was broken off.
    pub(crate) fn open_until(&self, url: &str, selector: &str) -> Element<'_> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.open(url);
            match self.find_within(selector, TRY) {
                Ok(element) => return element,
                Err(found) if Instant::now() >= deadline => {
                    panic!("`{selector}` does not show: {found}")
                }
                Err(_) => {}
            }
        }
    }

    /// What a script returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Shows pages as to a person who prefers a scheme, `light` or `dark`, in a window of this width.
    pub(crate) fn look_like(&self, scheme: &str, width: u32) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
        let size =
            json!({ "width": width, "height": 1080, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    fn devtools(&self, command: &str, params: &Value) {
        let answer = self.call("/goog/cdp/execute", &json!({ "cmd": command, "params": params }));
        assert!(answer.get("error").is_none(), "{command}: {answer}");
    }

    /// What a script hands to its last argument, a function, in the end.
    pub(crate) fn wait_for(&self, script: &str) -> Value {
        self.call("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Looks into a frame of the page, by its number, or at the page itself.
    pub(crate) fn enter_frame(&self, frame: Option<usize>) {
        let answer = self.call("/frame", &json!({ "id": frame }));
        assert!(answer.is_null(), "frame {frame:?}: {answer}");
    }

    /// What was written to the console since the last call.
    pub(crate) fn console(&self) -> Vec<String> {
        let mut said = self.said.take();
        said.extend(self.read_console());
        said
    }

    fn read_console(&self) -> Vec<String> {
        self.log("browser").iter().map(ToString::to_string).collect()
    }

    /// The URLs that were asked for since the last call, by the page and its frames.
    pub(crate) fn requests(&self) -> Vec<String> {
        let events = self.log("performance").into_iter().filter_map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let event = &event["message"];
            let sent = event["method"] == "Network.requestWillBeSent";
            sent.then(|| event["params"]["request"]["url"].as_str().map(str::to_owned))?
        });
        events.collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.call("/se/log", &json!({ "type": kind }));
        log.as_array().unwrap_or_else(|| panic!("no log: {log}")).clone()
    }

    /// Keeps what is seen as a PNG.
    pub(crate) fn screenshot(&self, file: &std::path::Path) {
        let answer: Value =
            serde_json::from_str(&curl(&[&format!("{}/screenshot", self.session)])).unwrap();
        let file = std::fs::File::create(file).unwrap();
        let mut decode = Command::new("base64")
            .arg("--decode")
            .stdin(Stdio::piped())
            .stdout(file)
            .spawn()
            .unwrap();
        let text = answer["value"].as_str().expect("a picture");
        decode.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(decode.wait().unwrap().success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        curl(&["-m", "5", "-X", "DELETE", &self.session]);
        // They may have ended already. A browser that waits for a person would outlive the driver.
        let driver = self.driver.id().to_string();
        let _ = Command::new("pkill").args(["--signal", "KILL", "--parent", &driver]).status();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// An element of a page.
pub(crate) struct Element<'browser> {
    browser: &'browser Browser,
    id: String,
}

impl Element<'_> {
    /// Clicks on its middle, as soon as nothing covers it.
    pub(crate) fn click(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call("click", &json!({}));
            if answer.is_null() {
                return;
            }
            assert!(Instant::now() < deadline, "{answer}");
            sleep(Duration::from_millis(100));
        }
    }

    /// Clicks on it, where the browser then waits for a person, such as at a dialog that asks for a password. No other
    /// call is answered after that.
    pub(crate) fn click_at_last(&self) {
        let url = format!("{}/element/{}/click", self.browser.session, self.id);
        curl(&["-m", "3", "-H", "Content-Type: application/json", "-d", "{}", &url]);
    }

    /// Types into it.
    pub(crate) fn type_in(&self, text: &str) {
        let answer = self.call("value", &json!({ "text": text }));
        assert!(answer.is_null(), "{answer}");
    }

    /// Its text, as it is shown.
    pub(crate) fn text(&self) -> String {
        let url = format!("{}/element/{}/text", self.browser.session, self.id);
        let answer: Value = serde_json::from_str(&curl(&[&url])).unwrap();
        answer["value"].as_str().unwrap_or_default().to_owned()
    }

    fn call(&self, what: &str, body: &Value) -> Value {
        self.browser.call(&format!("/element/{}/{what}", self.id), body)
    }
}

fn curl(args: &[&str]) -> String {
    curl_with(args, "")
}

fn curl_with(args: &[&str], input: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["-s", "-m", "60"]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut curl = command.spawn().unwrap();
    curl.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = curl.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
