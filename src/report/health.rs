//! The health of hosts: a list with ticks for people, one document for programs.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::harmless::harmless;
use super::output::{print_error, write_line};
use super::safe_text::{escape, escape_line, for_json};
use super::terminal::Terminal;
use super::text::{Style, Volume, failure_text};
use super::wrap::wrapped;
use crate::event::{Check, Event, EventKind, Exit, Sink};

/// What of a healthy host is told among others, in this order.
const TOLD: [&str; 3] = ["certificate", "disk", "drift"];
/// Names longer than this do not push all details to the right.
const WIDEST_NAME: usize = 36;

/// One host with all that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostHealth {
    /// Its name.
    pub host: String,
    /// Whether all is as it should be.
    pub healthy: bool,
    /// All that was looked at.
    pub checks: Vec<Check>,
    /// How much the host does, for programs, where that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vitals: Option<serde_json::Value>,
}

impl HostHealth {
    /// A host is healthy when each check is.
    #[must_use]
    pub fn new(host: impl Into<String>, checks: Vec<Check>) -> Self {
        let healthy = checks.iter().all(|check| check.ok);
        Self { host: host.into(), healthy, checks, vitals: None }
    }

    /// What is known of a host that could not be looked at.
    #[must_use]
    pub fn unknown(host: impl Into<String>, failure: &super::Failure) -> Self {
        let name = if failure.exit == Exit::Unreachable { "ssh" } else { "hwctl" };
        let detail: Vec<_> = std::iter::once(&failure.what).chain(&failure.why).cloned().collect();
        let mut detail = detail.join(": ");
        if let Some(hint) = &failure.hint {
            let _ = write!(detail, " ({hint})");
        }
        let check = Check { name: name.to_owned(), ok: false, detail };
        Self::new(host, vec![check])
    }

    /// What the host says, with nothing that a terminal obeys.
    fn escaped(&self) -> Self {
        let checks = self.checks.iter().map(|check| Check {
            name: escape_line(&check.name).into_owned(),
            ok: check.ok,
            detail: escape(&check.detail).into_owned(),
        });
        let (host, checks) = (escape_line(&self.host).into_owned(), checks.collect());
        Self { host, healthy: self.healthy, checks, vitals: None }
    }

    fn failing(&self) -> usize {
        self.checks.iter().filter(|check| !check.ok).count()
    }
}

/// `{"hosts":[{"host":…,"healthy":…,"checks":[{"name":…,"ok":…,"detail":…}]}]}`
#[must_use]
pub fn document(hosts: &[HostHealth]) -> String {
    for_json(&serde_json::json!({ "hosts": hosts }).to_string()).into_owned()
}

/// The lines of a list: one host whole, of several each in a line with what is wrong below it.
#[must_use]
pub fn lines(style: Style, hosts: &[HostHealth]) -> Vec<String> {
    let mut lines = Vec::new();
    let widest = hosts.iter().map(|host| host.host.chars().count()).max().unwrap_or_default();
    for host in hosts {
        let HostHealth { host: name, healthy, checks, .. } = &host.escaped();
        let all = checks.len();
        let state = match healthy {
            true if hosts.len() == 1 => style.paint("healthy", "32"),
            true => format!("healthy  {}", told(checks)),
            false => style.paint(&format!("{} of {all} checks fail", host.failing()), "31;1"),
        };
        if let [_] = hosts {
            lines.push(format!("{}  {state}", style.paint(name, "1")));
            lines.extend(listed(style, checks.iter()));
        } else {
            let line = format!("{} {name:<widest$}  {state}", sign(style, *healthy));
            lines.push(line.trim_end().to_owned());
            lines.extend(listed(style, checks.iter().filter(|check| !check.ok)));
        }
    }
    lines
}

fn told(checks: &[Check]) -> String {
    let found = TOLD.iter().filter_map(|name| {
        let check = checks.iter().find(|check| check.name == *name)?;
        Some(format!("{name} {}", check.detail.split([',', ':']).next()?))
    });
    found.collect::<Vec<_>>().join(", ")
}

fn sign(style: Style, ok: bool) -> String {
    if ok { style.paint("✓", "32") } else { style.paint("✗", "31;1") }
}

fn listed<'a>(style: Style, checks: impl Iterator<Item = &'a Check> + Clone) -> Vec<String> {
    let names = checks.clone().map(|check| check.name.chars().count());
    let widest = names.filter(|length| *length <= WIDEST_NAME).max().unwrap_or(WIDEST_NAME);
    let indent = widest + 6;
    let mut lines = Vec::new();
    for Check { name, ok, detail } in checks {
        let mut head = format!("  {} {name:<widest$}  ", sign(style, *ok));
        let room = style.width.saturating_sub(indent).max(20);
        let mut parts = wrapped(detail, room).into_iter();
        if name.chars().count() > widest {
            lines.push(head.trim_end().to_owned());
            head = " ".repeat(indent);
        }
        lines.push(format!("{head}{}", parts.next().unwrap_or_default()).trim_end().to_owned());
        lines.extend(parts.map(|part| format!("{}{part}", " ".repeat(indent))));
    }
    lines
}

/// Gathers what is told of each host's health and shows it at the end; failures are told beside
/// it, and all else as usual.
#[derive(Debug)]
pub struct HealthReport<W> {
    style: Style,
    /// One document instead of a list.
    json: bool,
    progress: Terminal<std::io::Sink>,
    state: Mutex<(W, Vec<HostHealth>)>,
}

impl<W: Write + Send> HealthReport<W> {
    /// To this writer.
    pub fn new(out: W, style: Style, json: bool) -> Self {
        let progress = Terminal::new(std::io::sink(), style);
        Self { style, json, progress, state: Mutex::new((out, Vec::new())) }
    }

    /// What was written.
    #[cfg(test)]
    pub fn into_inner(self) -> W {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl<W: Write + Send> Sink for HealthReport<W> {
    fn event(&self, event: Event) {
        // What comes from the host is made harmless here, too, since it is shown later.
        let Ok(event) = (if self.json { Ok(event) } else { harmless(&event) }) else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (out, hosts) = &mut *state;
        match (event.host, event.what) {
            (Some(host), EventKind::Health { checks }) => hosts.push(HostHealth::new(host, checks)),
            (Some(host), EventKind::Failed { failure }) => {
                hosts.push(HostHealth::unknown(host, &failure));
            }
            (None, EventKind::Failed { failure }) => {
                print_error(&failure_text(self.style, "", &failure));
            }
            (None, EventKind::Summary { hosts: summaries }) => {
                self.progress.event(Event::of_run(EventKind::Summary { hosts: Vec::new() }));
                let place = |health: &HostHealth| {
                    summaries.iter().position(|summary| summary.host == health.host)
                };
                hosts.sort_by_key(place);
                if self.style.volume == Volume::Quiet && !self.json {
                    hosts.retain(|host| !host.healthy);
                }
                // A reader that went away (`| head`) is no error.
                let _ = if self.json {
                    writeln!(out, "{}", document(hosts))
                } else {
                    lines(self.style, hosts).iter().try_for_each(|line| write_line(out, line))
                };
                let _ = out.flush();
            }
            (_, EventKind::Done(_)) => {}
            (host, what) if !self.json => self.progress.event(Event { host, what }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Failure, HostSummary, Outcome};

    fn check(name: &str, ok: bool, detail: &str) -> Check {
        Check { name: name.to_owned(), ok, detail: detail.to_owned() }
    }

    fn healthy() -> Vec<Check> {
        vec![
            check("nginx.service", true, "up 3 d 4 h, 12.4 MB, no restarts"),
            check("https://127.0.0.1/flask/api/health", true, "200 in 2 ms"),
            check("certificate", true, "89 days left, until 2027-02-21"),
            check("disk", true, "70 % used, 30.1 GB free"),
            check("drift", true, "none"),
        ]
    }

    fn broken() -> Vec<Check> {
        let detail = "2026/11/24 04:06:16 [emerg] 1234#1234: unknown directive \"lisen\" in \
                      /etc/nginx/sites-enabled/homework:7";
        let mut checks = healthy();
        checks.push(check("nginx configuration", false, detail));
        checks.push(check("flask-app.service", false, "failed"));
        checks
    }

    fn shown(hosts: &[HostHealth]) -> String {
        let lines = lines(Style::PLAIN, hosts);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        lines.join("\n")
    }

    #[test]
    fn one_host_is_a_whole_list() {
        insta::assert_snapshot!(shown(&[HostHealth::new("vm1", broken())]));
    }

    #[test]
    fn several_hosts_are_a_line_each() {
        let gone = Failure::new(Exit::Unreachable, "cannot reach `192.0.2.7`")
            .why("it does not answer in time")
            .hint("check the address, its power and the firewalls on the way");
        insta::assert_snapshot!(shown(&[
            HostHealth::new("web1", healthy()),
            HostHealth::new("web2", broken()),
            HostHealth::unknown("db-backup", &gone),
        ]));
    }

    #[test]
    fn what_checks_say_is_not_obeyed() {
        let checks = vec![check("nginx\u{9b}", false, "\x1b[31ma\u{202e}\nvm2  healthy")];
        let hosts = [HostHealth::new("vm1\x1b[0m", checks)];

        let (list, document) = (shown(&hosts), document(&hosts));

        assert!(list.contains(r"vm1\u{1b}[0m") && list.contains(r"nginx\u{9b}"), "{list}");
        assert!(list.contains(r"\u{1b}[31ma\u{202e} vm2"), "{list}");
        assert!(document.contains(r"nginx\u009b") && document.contains(r"\u202e"), "{document}");
    }

    #[test]
    fn the_document_has_its_shape_and_the_order_of_the_inventory() {
        let report = HealthReport::new(Vec::new(), Style::PLAIN, true);
        let summary = |host: &str| HostSummary {
            host: host.to_owned(),
            outcome: Outcome::Unchanged,
            changes: 0,
            elapsed_ms: 1,
            urls: vec![],
        };
        for (host, ok) in [("b", true), ("a", false)] {
            let checks = vec![check("disk", ok, "full")];
            report.event(Event::on(host, EventKind::Health { checks }));
        }
        let hosts = vec![summary("a"), summary("b")];
        report.event(Event::of_run(EventKind::Summary { hosts }));
        let (out, _) = report.state.into_inner().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"hosts\":[\
             {\"host\":\"a\",\"healthy\":false,\"checks\":[{\"name\":\"disk\",\"ok\":false,\"detail\":\"full\"}]},\
             {\"host\":\"b\",\"healthy\":true,\"checks\":[{\"name\":\"disk\",\"ok\":true,\"detail\":\"full\"}]}\
             ]}\n"
        );
    }
}
