//! Events as they are shown.

use super::*;
use crate::event::Id;
use crate::event::{Action, Change, Detail, Exit};

fn shown(diff: bool, events: Vec<EventKind>) -> String {
    let style =
        Style { color: false, live: false, width: 80, diff, check: diff, volume: Volume::Normal };
    let terminal = Terminal::new(Vec::new(), style);
    for what in events {
        terminal.event(Event::on("vm1", what));
    }
    String::from_utf8(terminal.into_inner()).unwrap()
}

fn changes() -> Vec<Planned> {
    let id = Id::new("file", "/etc/motd");
    let text = Detail::Text { before: "a\nb\n".into(), after: "a\nc\n".into() };
    let change = Change::new(id, Action::Update)
        .attribute("mode", Some("0600".into()), Some("0644".into()))
        .detail(text);
    let unit = Change::new(Id::new("unit", "nginx.service"), Action::Reload)
        .attribute("configuration", None, Some("reloaded".into()))
        .because("file /etc/motd changes");
    let planned = |change| Planned { tag: "nginx".into(), change };
    vec![planned(change), planned(unit)]
}

#[test]
fn a_plan_with_its_diff() {
    insta::assert_snapshot!(shown(true, vec![EventKind::Plan { changes: changes() }]), @"
    vm1: 2 changes to make
    ~ file /etc/motd  update
        mode: 0600 → 0644
        @@ -1,2 +1,2 @@
         a
        -b
        +c
    ~ unit nginx.service  reload (file /etc/motd changes)
        configuration: absent → reloaded
    ");
}

#[test]
fn a_run_that_fails_and_is_undone() {
    let failure = Failure::new(Exit::Undone, "cannot apply `unit x`").why("it exits").hint("look");
    let summary = HostSummary {
        host: "vm1".into(),
        outcome: Outcome::Undone,
        changes: 2,
        elapsed_ms: 1234,
        urls: vec![],
    };
    let events = vec![
        EventKind::Plan { changes: changes() },
        EventKind::Check { name: "https://x/".into(), ok: false, detail: "502".into() },
        EventKind::ChangeUndone { id: Id::new("file", "/etc/motd") },
        EventKind::Failed { failure },
        EventKind::Done(summary),
    ];
    insta::assert_snapshot!(shown(false, events), @"
    vm1: 2 changes: nginx 2
    vm1: ✗ https://x/: 502
    vm1: error: cannot apply `unit x`
      because: it exits
      the run was undone: the host is as it was before
      hint: look
    vm1: failed and undone, 1 change taken back  1.2 s  0 of 1 checks from outside pass
    ");
}

#[test]
fn no_line_of_a_host_looks_like_one_of_ours() {
    let style = Style::PLAIN;
    let terminal = Terminal::new(Vec::new(), style);
    let forged = "low on memory\nweb2: unchanged  0.1 s";
    let failure = Failure::new(Exit::Failed, forged).why(forged).hint(forged);
    let (name, detail) = ("drift".to_owned(), forged.to_owned());

    for what in [
        EventKind::Warning { message: forged.to_owned() },
        EventKind::Check { name, ok: false, detail },
        EventKind::Failed { failure },
    ] {
        terminal.event(Event::on("web1", what));
    }

    let shown = String::from_utf8(terminal.into_inner()).unwrap();
    assert_eq!(shown.matches("web2:").count(), 5, "{shown}");
    assert!(!shown.lines().any(|line| line.starts_with("web2:")), "{shown}");
}
