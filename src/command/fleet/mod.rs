//! A verb on many hosts at once: each in a task of its own, told as events, summed up in one exit code.

mod chosen;
pub(super) mod hosts;
pub(super) mod names;
pub(super) mod show;
mod tally;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use crate::cli::HostArgs;
use crate::event::{Event, EventKind, HostSummary, Outcome, Sink};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, interrupt};
use crate::spec::Scope;
use hosts::Work;
pub(super) use show::{Show, health_report, sink, style};
use tally::Tally;

/// How a verb ended well on one host.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// Where the host serves, when it does.
    pub(super) urls: Vec<String>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, urls: Vec::new() }
    }
}

/// The order in which a verb works on hosts that depend on each other. Those of one group are worked on side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// In none: all at once.
    Any,
    /// Data first, then the web hosts, then the balancers in front of them: what is in front finds what is behind it.
    InwardsOut,
    /// The balancers first: nothing is in front of what goes.
    OutwardsIn,
}

impl Order {
    /// When the turn of a host comes.
    fn rank(self, work: &Work) -> u8 {
        match self {
            Self::Any => 0,
            Self::InwardsOut => work.stage(),
            Self::OutwardsIn => u8::MAX - work.stage(),
        }
    }
}

/// What a verb does on each host.
pub(super) trait Job: Send + Sync + 'static {
    /// Whether it changes hosts, so that a stop waits for the change in hand.
    const CHANGES: bool = true;

    /// Whether the operator hears what in the inventory should not stay as it is.
    const WARNS: bool = false;

    /// The parts whose passwords and local files it needs. They are looked up before any host is contacted.
    fn needs(&self) -> Scope {
        hosts::nothing()
    }

    /// Hears which hosts there are, before the work begins.
    fn begins(&self, _works: &[Work]) -> Result<(), Failure> {
        Ok(())
    }

    /// In which order it works on hosts that depend on each other.
    fn order(&self) -> Order {
        Order::Any
    }

    /// Whether hosts wait for each other, so that a whole batch has to be worked on at once.
    fn is_joint(&self) -> bool {
        false
    }

    /// Hears of a host that is not worked on, since too many others have failed.
    fn passes_over(&self) {}

    /// Asked once the work on all hosts is over, for what only shows then; `emit` tells of all hosts.
    fn ends(&self, _emit: Emit<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Does it on one host; `tell` hears what happens there.
    fn on_host(
        &self,
        work: &Work,
        emit: Emit<'_>,
    ) -> impl Future<Output = Result<Ended, Failure>> + Send;
}

/// Any job: what a fleet does is compiled once and not for each verb.
trait AnyJob: Send + Sync {
    fn changes_hosts(&self) -> bool;
    fn warns(&self) -> bool;
    fn needs_of(&self) -> Scope;
    fn begins_on(&self, works: &[Work]) -> Result<(), Failure>;
    fn work_order(&self) -> Order;
    fn is_joint_work(&self) -> bool;
    fn pass_over(&self);
    fn end_all(&self, emit: Emit<'_>) -> Result<(), Failure>;
    fn do_on<'a>(&'a self, work: &'a Work, emit: Emit<'a>)
    -> BoxFuture<'a, Result<Ended, Failure>>;
}

impl<J: Job> AnyJob for J {
    fn changes_hosts(&self) -> bool {
        J::CHANGES
    }

    fn warns(&self) -> bool {
        J::WARNS
    }

    fn needs_of(&self) -> Scope {
        self.needs()
    }

    fn begins_on(&self, works: &[Work]) -> Result<(), Failure> {
        self.begins(works)
    }

    fn work_order(&self) -> Order {
        // Hosts that wait for each other cannot take turns.
        if self.is_joint() { Order::Any } else { self.order() }
    }

    fn is_joint_work(&self) -> bool {
        self.is_joint()
    }

    fn pass_over(&self) {
        self.passes_over();
    }

    fn end_all(&self, emit: Emit<'_>) -> Result<(), Failure> {
        self.ends(emit)
    }

    fn do_on<'a>(
        &'a self,
        work: &'a Work,
        emit: Emit<'a>,
    ) -> BoxFuture<'a, Result<Ended, Failure>> {
        self.on_host(work, emit).boxed()
    }
}

/// Does `job` on all the hosts that the command line means.
pub(super) fn run(kinds: Kinds, args: &HostArgs, show: Show, job: impl Job) -> Result<Exit> {
    let (sink, page) = show::paged_sink(show);
    let exit = run_to(kinds, args, sink, show.check, job);
    if let Some(page) = page {
        page.show(true);
    }
    exit
}

/// The same, told to this sink; with `check`, changes that are found are told by the exit code.
pub(super) fn run_to(
    kinds: Kinds,
    args: &HostArgs,
    sink: Arc<dyn Sink>,
    check: bool,
    job: impl Job,
) -> Result<Exit> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(on_all(kinds, args, sink, check, Box::new(job)))
}

async fn on_all(
    kinds: Kinds,
    args: &HostArgs,
    sink: Arc<dyn Sink>,
    check: bool,
    job: Box<dyn AnyJob>,
) -> Result<Exit> {
    sink.event(Event::of_run(EventKind::Version { version: env!("CARGO_PKG_VERSION").to_owned() }));
    listen(&sink, job.changes_hosts())?;
    let lab_sink = Arc::clone(&sink);
    let step = move |line: &str| {
        lab_sink.event(Event::of_run(EventKind::Step { message: line.to_owned(), fraction: None }));
    };
    let found = hosts::find(kinds, args, &job.needs_of(), step).and_then(|works| {
        job.begins_on(&works)?;
        Ok(works)
    });
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let failure = Failure::from(error);
            let exit = failure.exit;
            sink.event(Event::of_run(EventKind::Failed { failure }));
            sink.event(Event::of_run(EventKind::Summary { hosts: Vec::new() }));
            return Ok(exit);
        }
    };
    for message in found.first().iter().flat_map(|work| work.origins.iter().cloned()) {
        sink.event(Event::of_run(EventKind::Trace { message }));
    }
    if job.warns() {
        warn(&found, &*sink);
    }
    let fleet = Arc::new(Fleet {
        job,
        sink: Arc::clone(&sink),
        failures: AtomicUsize::new(0),
        misuses: AtomicUsize::new(0),
        max_failures: args.max_failures.or(args.serial.as_ref().map(|_| 0)),
    });
    let all = found.len();
    let mut sizes = args.serial.iter().flat_map(|batches| batches.sizes(all));
    let at_once = if fleet.job.is_joint_work() { usize::MAX } else { args.parallel.into() };
    let order = fleet.job.work_order();
    let mut found: Vec<_> = found.into_iter().enumerate().collect();
    found.sort_by_key(|(_, work)| order.rank(work));
    let mut found = found.into_iter().peekable();
    let mut summaries = Vec::new();
    while let Some(rank) = found.peek().map(|(_, work)| order.rank(work)) {
        // Hosts begin in the order of the inventory; a slow one holds up no other.
        let next = std::iter::from_fn(|| found.next_if(|(_, work)| order.rank(work) == rank));
        let tasks: Vec<_> = next.take(sizes.next().unwrap_or(usize::MAX)).collect();
        let tasks = tasks.into_iter().map(|(index, work)| {
            let fleet = Arc::clone(&fleet);
            tokio::spawn(async move { (index, fleet.one(&work).await) })
        });
        let ended = stream::iter(tasks).buffer_unordered(at_once);
        summaries.extend(ended.try_collect::<Vec<_>>().await?);
    }
    summaries.sort_by_key(|(index, _)| *index);
    let summaries: Vec<_> = summaries.into_iter().map(|(_, summary)| summary).collect();
    let mut exit = match fleet.misuses.load(Ordering::Relaxed) {
        misuses @ 1.. if misuses == fleet.failures.load(Ordering::Relaxed) => Exit::Usage,
        _ => exit_of(&summaries, check),
    };
    let emit = |what| sink.event(Event::of_run(what));
    if let Err(failure) = fleet.job.end_all(&emit) {
        // What happened on a host says more.
        if matches!(exit, Exit::Done | Exit::Changes) {
            exit = failure.exit;
        }
        sink.event(Event::of_run(EventKind::Failed { failure }));
    }
    sink.event(Event::of_run(EventKind::Summary { hosts: summaries }));
    Ok(exit)
}

/// Prints each warning once, with the host's name when it is about one host of several.
fn warn(works: &[Work], sink: &dyn Sink) {
    let mut told = HashSet::new();
    for warning in works.iter().flat_map(|work| &work.warnings) {
        if !told.insert(warning) {
            continue;
        }
        let mut hosts = works.iter().filter(|work| work.warnings.contains(warning));
        let what = EventKind::Warning { message: warning.clone() };
        sink.event(match (hosts.next(), hosts.next()) {
            (Some(only), None) => Event::on(only.target.name.clone(), what),
            _ => Event::of_run(what),
        });
    }
}

/// Ctrl-C stops the work after the change in hand, a second one at once.
fn listen(sink: &Arc<dyn Sink>, changes: bool) -> Result<()> {
    let (first_sink, second_sink) = (Arc::clone(sink), Arc::clone(sink));
    let first = move || {
        if !changes {
            return;
        }
        let message =
            "stopping after the current change; press Ctrl-C again to stop at once".to_owned();
        first_sink.event(Event::of_run(EventKind::Warning { message }));
    };
    let second = move || {
        let failure = Failure::new(Exit::Interrupted, "stopped at once on request")
            .not_done("a host in the middle of a run undoes that run by itself")
            .hint("`hwctl history` shows how the run ended");
        second_sink.event(Event::of_run(EventKind::Failed { failure }));
        second_sink.event(Event::of_run(EventKind::Summary { hosts: Vec::new() }));
        std::process::exit(Exit::Interrupted as i32);
    };
    Ok(interrupt::listen(first, second)?)
}

/// The worst outcome decides.
fn exit_of(hosts: &[HostSummary], check: bool) -> Exit {
    let any = |outcome| hosts.iter().any(|host| host.outcome == outcome);
    if any(Outcome::Interrupted) {
        Exit::Interrupted
    } else if any(Outcome::Failed) {
        Exit::Failed
    } else if any(Outcome::Undone) {
        Exit::Undone
    } else if any(Outcome::Unreachable) {
        Exit::Unreachable
    } else if any(Outcome::Refused) || check && any(Outcome::Changed) {
        Exit::Changes
    } else {
        Exit::Done
    }
}

/// The hosts of one verb.
struct Fleet {
    job: Box<dyn AnyJob>,
    sink: Arc<dyn Sink>,
    /// How many hosts have failed.
    failures: AtomicUsize,
    /// How many of them since the command line or what belongs to the inventory is wrong.
    misuses: AtomicUsize,
    /// With how many failures no further host is begun.
    max_failures: Option<usize>,
}

impl Fleet {
    /// All the work on one host; never an error: that is told as an event.
    async fn one(&self, work: &Work) -> HostSummary {
        let start = Instant::now();
        let name = work.target.name.clone();
        let tally = Tally::default();
        let emit = |what| {
            tally.hear(&what);
            self.sink.event(Event::on(name.clone(), what));
        };
        let failures = self.failures.load(Ordering::Relaxed);
        let ended = if self.max_failures.is_some_and(|most| failures > most) {
            self.job.pass_over();
            Outcome::Skipped.into()
        } else {
            self.job.do_on(work, &emit).await.unwrap_or_else(|failure| {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if failure.exit == Exit::Usage {
                    self.misuses.fetch_add(1, Ordering::Relaxed);
                }
                let outcome = outcome_of(&failure);
                emit(EventKind::Failed { failure });
                outcome.into()
            })
        };
        if ended.outcome == Outcome::Refused {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let summary = HostSummary {
            host: name.clone(),
            outcome: ended.outcome,
            changes: tally.changes(ended.outcome),
            elapsed_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            urls: ended.urls,
        };
        // The summary itself says on which host.
        self.sink.event(Event::of_run(EventKind::Done(summary.clone())));
        summary
    }
}

fn outcome_of(failure: &Failure) -> Outcome {
    match failure.exit {
        Exit::Unreachable => Outcome::Unreachable,
        Exit::Undone => Outcome::Undone,
        Exit::Interrupted => Outcome::Interrupted,
        _ => Outcome::Failed,
    }
}
