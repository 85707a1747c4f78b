//! `hwctl logs`: the lines of many logs on many hosts, merged by time.

mod since;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::cli::LogsArgs;
use crate::command::fleet::hosts::Work;
use crate::command::fleet::names;
use crate::command::fleet::{self, Ended, Job, Show};
use crate::engine::LogsRequest;
use crate::event::{Event, EventKind, LogLine, Outcome, Sink};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine};
use crate::spec::Log;

/// The name for all logs.
pub(super) const ALL: &str = "all";
/// How many lines are shown when nothing else is said.
const LINES: usize = 50;
/// No host is asked for more lines than this.
const MOST: usize = 1_000_000;
/// When this many bytes of lines are held, they are shown, even if some host has not answered yet.
const MAX_HELD_BYTES: usize = 256 << 20;
/// How long followed lines wait for earlier ones of other hosts.
const HOLD: Duration = Duration::from_millis(300);

/// Runs `hwctl logs`.
pub fn run(kinds: Kinds, args: LogsArgs) -> Result<Exit> {
    let since = args.since.as_deref().map(since::parse).transpose()?;
    let sink = fleet::sink(Show { json: args.json, diff: false, check: false });
    let merger =
        Arc::new(Merger { sink: Arc::clone(&sink), json: args.json, state: Mutex::default() });
    let hosts = args.hosts.clone();
    let ended = fleet::run_to(
        kinds,
        &hosts,
        sink,
        false,
        Logs { args, since, merger: Arc::clone(&merger) },
    );
    // A host that was never asked, since others failed, holds nobody's lines back.
    merger.end();
    ended
}

struct Logs {
    args: LogsArgs,
    since: Option<i64>,
    merger: Arc<Merger>,
}

impl Job for Logs {
    const CHANGES: bool = false;

    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        let mut known = names::of_logs(works.iter().flat_map(Work::parts));
        known.push(ALL.to_owned());
        names::require_known("there is no log", &self.args.logs, &known)?;
        let chosen = works.iter().flat_map(|work| chosen(&self.args.logs, work));
        let logs: HashSet<_> = chosen.map(|log| log.name).collect();
        let names = works.iter().map(|work| work.target.name.clone()).collect();
        self.merger.begin(names, logs.len() > 1);
        if self.args.follow {
            tokio::spawn(Arc::clone(&self.merger).show_again_and_again());
        }
        Ok(())
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let told = self.emit_all(work, emit).await;
        // Others do not wait for a host that has nothing more to say.
        self.merger.take(&work.target.name, Vec::new(), true);
        told.map(|()| Outcome::Answered.into())
    }
}

impl Logs {
    async fn emit_all(&self, work: &Work, emit: Emit<'_>) -> Result<(), Failure> {
        let all = if self.since.is_some() { MOST } else { LINES };
        let request = LogsRequest {
            logs: chosen(&self.args.logs, work),
            lines: self.args.lines.unwrap_or(all).min(MOST),
            since: self.since,
            errors: self.args.errors,
            follow: self.args.follow,
        };
        let mut engine = Engine::start(&work.target, emit).await?;
        // No progress is drawn from here on.
        emit(EventKind::Asking);
        let name = &work.target.name;
        engine.logs(request, |lines, is_all| self.merger.take(name, lines, is_all), emit).await?;
        engine.hang_up().await;
        Ok(())
    }
}

/// The logs of these names on a host, which may lack some.
fn chosen(names: &[String], work: &Work) -> Vec<Log> {
    let is_chosen = |log: &Log| names.iter().any(|name| name == ALL || *name == log.name);
    all(work).into_iter().filter(is_chosen).collect()
}

fn all(work: &Work) -> Vec<Log> {
    work.parts().into_iter().flat_map(|part| part.logs).collect()
}

/// Holds the lines of all hosts until each has told what it has, and shows them by time.
struct Merger {
    sink: Arc<dyn Sink>,
    json: bool,
    state: Mutex<Merging>,
}

#[derive(Default)]
struct Merging {
    /// Hosts that have not told all that they have.
    waiting: HashSet<String>,
    held: Vec<(String, LogLine)>,
    /// How many bytes those lines have.
    held_bytes: usize,
    /// Whether a person needs to be told of which host, and of which log, a line is.
    several: (bool, bool),
}

impl Merger {
    fn begin(&self, hosts: HashSet<String>, several_logs: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.several = (hosts.len() > 1 || self.json, several_logs || self.json);
        state.waiting = hosts;
    }

    fn take(&self, host: &str, lines: Vec<LogLine>, is_all: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held_bytes += lines.iter().map(size).sum::<usize>();
        state.held.extend(lines.into_iter().map(|line| (host.to_owned(), line)));
        let is_last = is_all && state.waiting.remove(host) && state.waiting.is_empty();
        if is_last || state.held_bytes > MAX_HELD_BYTES {
            self.show(&mut state);
        }
    }

    fn end(&self) {
        self.show(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn show_again_and_again(self: Arc<Self>) {
        loop {
            tokio::time::sleep(HOLD).await;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.waiting.is_empty() {
                self.show(&mut state);
            }
        }
    }

    fn show(&self, state: &mut Merging) {
        let (several_hosts, several_logs) = state.several;
        state.held_bytes = 0;
        state.held.sort_by(|(_, a), (_, b)| a.time.cmp(&b.time));
        for (host, mut line) in state.held.drain(..) {
            if !several_logs {
                line.log.clear();
            }
            let host = several_hosts.then_some(host);
            self.sink.event(Event { host, what: EventKind::Log(line) });
        }
    }
}

/// What a line takes in memory.
fn size(line: &LogLine) -> usize {
    std::mem::size_of::<LogLine>() + line.text.len() + line.time.len() + line.log.len()
}
