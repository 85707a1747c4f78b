//! How verbs speak to the operator.

use std::io::IsTerminal as _;
use std::sync::{Arc, OnceLock};

use crate::cli::OutputArgs;
use crate::event::{Event, EventKind, Sink};
use crate::failure::Failure;
use crate::report::{HealthReport, Json, Paged, Style, Terminal, Volume, width};

/// How a verb is shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::command) struct Show {
    /// One JSON event a line.
    pub(in crate::command) json: bool,
    /// Each change with its before and after.
    pub(in crate::command) diff: bool,
    /// Nothing is changed: changes that are found are told by the exit code.
    pub(in crate::command) check: bool,
}

/// What the command line says of the output, which is the same for all verbs.
static OPTIONS: OnceLock<OutputArgs> = OnceLock::new();

/// Takes the options of all verbs, once, before the verb begins.
pub fn set_output(options: OutputArgs) {
    let _ = OPTIONS.set(options);
}

fn options() -> OutputArgs {
    OPTIONS.get().copied().unwrap_or_default()
}

pub(in crate::command) fn sink(show: Show) -> Arc<dyn Sink> {
    if show.json {
        return Arc::new(Json::new(std::io::stdout()).with_traces(options().verbose));
    }
    Arc::new(Terminal::new(std::io::stdout(), style_of(show)))
}

/// The same with a pager at the end, where one is wanted: for plans, which are only to be read.
pub(super) fn paged_sink(show: Show) -> (Arc<dyn Sink>, Option<Paged>) {
    let is_paged = show.check && !show.json && !options().no_pager;
    if !is_paged || !std::io::stdout().is_terminal() {
        return (sink(show), None);
    }
    let page = Paged::default();
    (Arc::new(Terminal::new(page.clone(), style_of(show))), Some(page))
}

/// Takes what is told of the health of hosts.
pub(in crate::command) fn health_report(json: bool) -> Arc<dyn Sink> {
    Arc::new(HealthReport::new(std::io::stdout(), style(), json))
}

/// Reports, as JSON, a failure that comes before the work on hosts begins.
pub fn report_failure(verb: &str, failure: &Failure) {
    let sink = match verb {
        "status" | "verify" => health_report(true),
        _ => sink(Show { json: true, diff: false, check: false }),
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    for what in [
        EventKind::Version { version },
        EventKind::Failed { failure: failure.clone() },
        EventKind::Summary { hosts: Vec::new() },
    ] {
        sink.event(Event::of_run(what));
    }
}

/// Prints a page of text, with a pager if it is longer than the screen.
pub(in crate::command) fn print_page(text: &str) {
    let page = Paged::default();
    page.push(text);
    page.show(!options().no_pager && std::io::stdout().is_terminal());
}

fn style_of(show: Show) -> Style {
    Style { diff: show.diff, check: show.check, ..style() }
}

/// How this terminal is written to.
pub(in crate::command) fn style() -> Style {
    let volume = match options() {
        OutputArgs { quiet: true, .. } => Volume::Quiet,
        OutputArgs { verbose: true, .. } => Volume::Verbose,
        _ => Volume::Normal,
    };
    // What another program prints of a pipe would land on the progress lines.
    let are_terminals = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
    Style {
        color: console::colors_enabled(),
        live: are_terminals && volume == Volume::Normal,
        width: width(&console::Term::stdout()),
        diff: false,
        check: false,
        volume,
    }
}
