//! The gate before a reviewed plan is carried out: hosts wait in front of it until all of them are planned, and
//! all go through or none does.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::compare::difference;
use super::{HostPlan, ReviewedPlan};
use crate::cli::Batches;
use crate::command::fleet::hosts::Work;
use crate::event::EventKind;
use crate::failure::{Exit, Failure, Page};
use crate::remote::{Emit, interrupt};
use crate::spec::Scope;

/// What the plans have to be.
pub(in crate::command) enum Terms {
    /// Those of this file.
    File { path: PathBuf, plan: ReviewedPlan },
    /// Those with this digest.
    Digest(String),
}

/// Where hosts wait for each other.
pub(in crate::command) struct Gate {
    terms: Terms,
    scope: Scope,
    /// The batches of hosts that go through together. Without any, all do.
    batches: Option<Batches>,
    /// With how many hosts each batch is complete, counted from the first host on.
    ends: OnceLock<Vec<usize>>,
    /// How many hosts are planned or changed at once. Waiting hosts take none.
    slots: Semaphore,
    state: watch::Sender<State>,
}

/// Who has come so far.
#[derive(Debug, Default)]
struct State {
    arrived: usize,
    /// The plans of the batch that is waiting.
    plans: Vec<HostPlan>,
    /// Whether a host of that batch has failed or differs.
    is_refused: bool,
    /// Whether each batch that is complete goes through.
    verdicts: Vec<bool>,
    /// Hosts with another plan than the reviewed one.
    differing: Vec<String>,
    /// How many hosts could not be planned.
    unplanned: usize,
    /// The digest of the plans where it is not the one that was expected.
    found: Option<String>,
}

impl Gate {
    /// `at_once` hosts are worked on at once, and those of one batch go through together.
    pub(in crate::command) fn new(
        terms: Terms,
        scope: Scope,
        at_once: u16,
        batches: Option<Batches>,
    ) -> Self {
        let slots = Semaphore::new(at_once.into());
        let (ends, state) = (OnceLock::new(), watch::Sender::default());
        Self { terms, scope, batches, ends, slots, state }
    }

    /// Hears of the hosts. Refuses those that the plan is not for.
    pub(in crate::command) fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        let _ = self.ends.set(ends(self.batches.as_ref(), works.len()));
        require_apart(works)?;
        match &self.terms {
            Terms::File { path, plan } => plan.require(path, &self.scope, works),
            Terms::Digest(_) => Ok(()),
        }
    }

    /// Begins the work on one host, once there is a slot for it.
    pub(in crate::command) async fn arrival(&self) -> Arrival<'_> {
        Arrival { gate: self, slot: self.slots.acquire().await.ok(), is_open: true }
    }

    /// Takes note of a host that is not planned.
    pub(in crate::command) fn passes_over(&self) {
        self.arrive(None, false);
    }

    /// Says why the hosts were refused, if they were.
    pub(in crate::command) fn end(&self) -> Result<(), Failure> {
        let state = self.state.borrow();
        if state.verdicts.iter().all(|goes| *goes) {
            return Ok(());
        }
        if state.differing.is_empty() && state.found.is_none() {
            // What kept them from being planned is told for each, with its own exit code.
            let what = "not all hosts could be planned, so none was changed";
            return Err(Failure::new(Exit::Changes, what)
                .hint("mend what is reported above, or leave those hosts out with `--limit`")
                .page(Page::Review));
        }
        let mut failure = Failure::new(Exit::Changes, "the plan is not the one that was reviewed");
        for name in &state.differing {
            failure = failure.why(format!("the plan of `{name}` differs, as shown above"));
        }
        if let (Terms::Digest(expected), Some(found)) = (&self.terms, &state.found) {
            let version = env!("CARGO_PKG_VERSION");
            failure = failure.why(format!(
                "the digest is {found}, but {expected} was expected. This is hwctl {version}: other versions compute other digests"
            ));
        }
        if state.unplanned > 0 {
            failure = failure.why(format!("hosts that could not be planned: {}", state.unplanned));
        }
        if let Terms::File { plan, .. } = &self.terms
            && plan.version() != env!("CARGO_PKG_VERSION")
        {
            let (then, now) = (plan.version(), env!("CARGO_PKG_VERSION"));
            failure = failure.why(format!("hwctl {then} made the plan, and this is hwctl {now}"));
        }
        let not_done = match state.verdicts.iter().any(|goes| *goes) {
            true => "nothing was changed in this batch and after it",
            false => "nothing was changed on any host",
        };
        let failure = failure.not_done(not_done).hint("make a new plan and have it reviewed");
        Err(failure.page(Page::Review))
    }

    /// Counts a host in. Returns the batch that it belongs to.
    fn arrive(&self, plan: Option<HostPlan>, fits: bool) -> usize {
        let ends = self.ends.get().map_or(&[][..], Vec::as_slice);
        let mut own_batch = 0;
        self.state.send_modify(|state| {
            own_batch = ends.partition_point(|end| *end <= state.arrived);
            state.arrived += 1;
            state.is_refused |= !fits;
            match plan {
                Some(plan) if !fits => state.differing.push(plan.name),
                Some(plan) => state.plans.push(plan),
                None => state.unplanned += 1,
            }
            if ends.get(own_batch).is_none_or(|end| state.arrived >= *end) {
                let plans = std::mem::take(&mut state.plans);
                let is_refused = std::mem::take(&mut state.is_refused);
                let goes = !is_refused && self.has_digest(plans, state);
                state.verdicts.push(goes);
            }
        });
        own_batch
    }

    /// Whether the plans of all hosts have the digest that is expected, if one is.
    fn has_digest(&self, plans: Vec<HostPlan>, state: &mut State) -> bool {
        let Terms::Digest(expected) = &self.terms else { return true };
        let plan = ReviewedPlan::new(self.scope.clone(), plans);
        if plan.digest() != expected {
            state.found = Some(plan.digest().to_owned());
        }
        state.found.is_none()
    }
}

/// With how many hosts each batch is complete.
fn ends(batches: Option<&Batches>, hosts: usize) -> Vec<usize> {
    let sizes = batches.into_iter().flat_map(|batches| batches.sizes(hosts));
    let mut end = 0;
    sizes
        .chain([hosts])
        .map_while(|size| {
            let is_over = end >= hosts;
            end = end.saturating_add(size).min(hosts);
            (!is_over).then_some(end)
        })
        .collect()
}

/// A host on its way to the gate. One that never comes there is counted as not planned.
pub(in crate::command) struct Arrival<'a> {
    gate: &'a Gate,
    slot: Option<SemaphorePermit<'a>>,
    is_open: bool,
}

impl Arrival<'_> {
    /// Waits until all hosts are planned. Returns whether they go through; reports what differs on this host.
    pub(in crate::command) async fn pass(
        &mut self,
        plan: Option<HostPlan>,
        emit: Emit<'_>,
    ) -> Result<bool, Failure> {
        let plan = plan.ok_or_else(|| {
            Failure::new(Exit::Failed, "the plan cannot be compared with the one that was reviewed")
                .not_done("nothing was changed on the host")
        })?;
        let found = match &self.gate.terms {
            Terms::File { plan: reviewed, .. } => reviewed
                .host(&plan.name)
                .and_then(|reviewed| difference(&reviewed.changes, &plan.changes)),
            Terms::Digest(_) => None,
        };
        let fits = found.is_none();
        found.into_iter().for_each(emit);
        self.is_open = false;
        let batch = self.gate.arrive(Some(plan), fits);
        self.slot = None;
        let mut state = self.gate.state.subscribe();
        if state.borrow().verdicts.len() <= batch {
            let message = "waiting until all hosts are planned".to_owned();
            emit(EventKind::Step { message, fraction: None });
        }
        // The sender is there as long as the gate is.
        let verdict = async {
            let state = state.wait_for(|state| state.verdicts.len() > batch).await;
            Ok(state.is_ok_and(|state| state.verdicts[batch]))
        };
        let verdict = interrupt::or_stopped(verdict).await?;
        self.slot = self.gate.slots.acquire().await.ok();
        Ok(verdict)
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.gate.arrive(None, false);
        }
    }
}

/// Refuses two names of one host: each would hold the host's lock and wait for the other at the gate.
fn require_apart(works: &[Work]) -> Result<(), Failure> {
    let mut known = HashMap::new();
    for target in works.iter().map(|work| &work.target) {
        let place = (&target.address, target.port);
        let Some(other) = known.insert(place, &target.name) else { continue };
        let what = format!("`{other}` and `{}` are one host, `{}`", target.name, target.address);
        return Err(Failure::usage(what)
            .not_done("no host was contacted")
            .hint(format!("leave one of them out: `--limit '!{other}'`"))
            .page(Page::Review));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_end_with_the_last_host() {
        let ends = |batches: &str, hosts| ends(Some(&batches.parse().unwrap()), hosts);

        assert_eq!(ends("2", 5), [2, 4, 5]);
        assert_eq!(ends("1,50%", 6), [1, 4, 6]);
        assert_eq!(ends("3", 3), [3]);
        assert_eq!(super::ends(None, 4), [4]);
        assert!(super::ends(None, 0).is_empty());
    }
}
