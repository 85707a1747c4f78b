//! The operator's jobs, which timers of systemd run.

mod host;
mod vars;

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::build::{Builder, Claim, quote};
use super::{PartKind, Parts};
use crate::resource::{File, OnChange, Unit};
use crate::spec::{Group, Log, LogFormat, LogSource, PartSpec, Probe, ProbeKind};

pub use vars::Timers;
use vars::{Command, Timer};

pub(super) const KIND: PartKind = PartKind {
    name: "timers",
    roles: &[],
    parts: Parts::If(|view| !view.vars.get::<Timers>().0.is_empty()),
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Timers),
    contribute: |view, offered| {
        for name in view.vars.get::<Timers>().0.keys() {
            offered.add_claim(Claim::Name(name.clone()), view.place(&["timers", name]));
        }
    },
    describe: |view, _, spec| describe(view.vars.get(), spec),
    declare: |_, builder| declare(builder),
};

/// What the templates of a job's units are rendered with.
#[derive(Serialize)]
struct Job<'a> {
    name: &'a str,
    /// As `ExecStart` has it.
    command: String,
    user: &'a str,
    calendar: &'a str,
    timeout_s: u32,
}

fn describe(Timers(timers): &Timers, spec: &mut PartSpec) {
    for name in timers.keys() {
        spec.probes.push(Probe::unit(&format!("{name}.timer")));
        let (probe, kind) = (host::probe_of(name), ProbeKind::Driver);
        spec.probes.push(Probe { name: probe, group: Group::Service, kind });
        let source = LogSource::Unit(format!("{name}.service"));
        spec.logs.push(Log { name: name.clone(), source, format: LogFormat::Plain });
    }
}

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let Timers(timers) = builder.vars.get();
    for (name, Timer { run, on, user, timeout_s }) in timers {
        let job =
            Job { name, command: command_line(run)?, user, calendar: on, timeout_s: *timeout_s };
        let at = |suffix: &str| format!("/etc/systemd/system/{name}.{suffix}");
        let text = builder.templates.render_text("systemd/job.service", &job)?;
        let validate = ["id", "-u", "--", user].map(str::to_owned).into();
        let service = builder.add(File { validate, ..File::text(at("service"), text) });
        let text = builder.templates.render_text("systemd/job.timer", &job)?;
        let validate = ["systemd-analyze", "calendar", on].map(str::to_owned).into();
        let timer = builder.add(File { validate, ..File::text(at("timer"), text) });
        let unit = Unit::new(format!("{name}.timer"), vec![service, timer], OnChange::Restart);
        builder.add(Unit { is_own: true, ..unit });
    }
    Ok(())
}

/// A command as the lines of a unit have it.
fn command_line(command: &Command) -> Result<String> {
    let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
    let words: Vec<_> = match command {
        Command::Line(line) => shell.iter().chain([line]).collect(),
        Command::Words(words) => words.iter().collect(),
    };
    let mut text = String::new();
    for (at, word) in words.into_iter().enumerate() {
        let space = if at == 0 { "" } else { " " };
        write!(text, "{space}{}", quote::systemd_word(word).map_err(anyhow::Error::msg)?)?;
    }
    Ok(text)
}
