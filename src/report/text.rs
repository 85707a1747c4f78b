//! Changes, failures and numbers as text for a person.

use std::fmt::Write as _;

use super::diff::diff_text;
use super::safe_text::{escape, indent};
use super::wrap::hanging;
use crate::event::{Action, Change, Detail, Exit, Failure, Planned};

/// How it looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether to use colours.
    pub color: bool,
    /// Whether to draw moving progress lines.
    pub live: bool,
    /// The columns that text may take.
    pub width: usize,
    /// Whether each change is shown with its before and after.
    pub diff: bool,
    /// Whether nothing is changed.
    pub check: bool,
    /// How much is told.
    pub volume: Volume,
}

#[cfg(test)]
impl Style {
    /// Text for a file, 80 columns wide.
    pub(super) const PLAIN: Self = Self {
        color: false,
        live: false,
        width: 80,
        diff: false,
        check: false,
        volume: Volume::Normal,
    };
}

/// How much is told of what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// Failures, and how it ended.
    Quiet,
    /// Results, warnings and long steps.
    Normal,
    /// Each step with its time, too.
    Verbose,
}

impl Style {
    pub(super) fn paint(self, text: &str, code: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

pub(super) fn host_line(host: &str, text: &str) -> String {
    if host.is_empty() { text.to_owned() } else { format!("{host}: {text}") }
}

pub(super) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

pub(super) fn seconds(milliseconds: u64) -> String {
    format!("{:.1} s", milliseconds as f64 / 1000.0)
}

/// `34 changes: packages 1, nginx 9, …`, by tag in plan order.
pub(super) fn plan_summary(changes: &[Planned]) -> String {
    let mut tags: Vec<(&str, usize)> = Vec::new();
    for planned in changes {
        match tags.iter_mut().find(|(tag, _)| *tag == planned.tag) {
            Some((_, number)) => *number += 1,
            None => tags.push((&planned.tag, 1)),
        }
    }
    let tags: Vec<_> = tags.iter().map(|(tag, number)| format!("{tag} {number}")).collect();
    format!("{}: {}", count(changes.len(), "change"), tags.join(", "))
}

/// A change's sign and its colour.
pub(super) fn sign(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Create | Action::Start => ("+", "32"),
        Action::Update | Action::Reload | Action::Restart => ("~", "35"),
        Action::Remove | Action::Stop => ("-", "31"),
    }
}

/// How many changes there are of each sign: `+40 ~5 -1`.
pub(super) fn tally(actions: &[Action]) -> String {
    let of = |wanted: &str| {
        let found = actions.iter().filter(|action| sign(**action).0 == wanted);
        Some(found.count()).filter(|count| *count > 0).map(|count| format!("{wanted}{count}"))
    };
    ["+", "~", "-"].into_iter().filter_map(of).collect::<Vec<_>>().join(" ")
}

pub(super) fn change_text(style: Style, change: &Change) -> String {
    let (sign, color) = sign(change.action);
    let verb = format!("{:?}", change.action).to_lowercase();
    let mut text =
        format!("{} {}  {verb}", style.paint(sign, color), style.paint(change.id.as_str(), "1"));
    if let Some(because) = &change.because {
        let _ = write!(text, " ({because})");
    }
    for detail in &change.details {
        match detail {
            Detail::Attribute { name, before, after } => {
                let before = before.as_deref().unwrap_or("absent");
                let after = after.as_deref().unwrap_or("absent");
                let _ = write!(text, "\n    {name}: {before} → {after}");
            }
            Detail::Binary { before, after } => {
                let bytes = |n: &Option<u64>| n.map_or("absent".to_owned(), count_bytes);
                let _ = write!(text, "\n    content: {} → {}", bytes(before), bytes(after));
            }
            Detail::Text { before, after } => text.push_str(&diff_text(style, before, after)),
        }
    }
    if let Some(not_undone) = &change.not_undone {
        let _ = write!(text, "\n    not undone if the run fails: {not_undone}");
    }
    text
}

pub(super) fn count_bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A failure as it is printed: what, why, what did not happen, what to do.
#[must_use]
pub fn failure_text(style: Style, host: &str, failure: &Failure) -> String {
    let label = style.paint("error:", "31;1");
    let shown = |text: &str| indent(&escape(text));
    let mut text = host_line(host, &format!("{label} {}", shown(&failure.what)));
    for why in &failure.why {
        let _ = write!(text, "\n  because: {}", shown(why));
    }
    if failure.exit == Exit::Undone {
        let is_whole = !failure.why.iter().any(|why| why.starts_with("not undone: "));
        text.push_str(match is_whole {
            true => "\n  the run was undone: the host is as it was before",
            false => "\n  the run was undone, save for what is named above",
        });
    }
    if let Some(not_done) = &failure.not_done {
        let _ = write!(text, "\n  {}", shown(not_done));
    }
    if let Some(hint) = &failure.hint {
        let _ = write!(text, "\n  {} {}", style.paint("hint:", "36"), shown(hint));
    }
    if let Some(page) = failure.page {
        let label = style.paint("more:", "36");
        let _ = write!(text, "\n  {label} `hwctl help {0}` (docs/{0}.md)", page.name());
    }
    hanging(&text, style.width)
}
