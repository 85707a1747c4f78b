//! Reviewed plans: a plan is kept, somebody reads it, and later it is carried out only if it is still the plan.

mod compare;
mod file;
mod gate;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::command::fleet::hosts::Work;
use crate::event::{EventKind, Planned};
use crate::failure::{Exit, Failure};
use crate::remote::Emit;
use crate::spec::Scope;
pub(in crate::command) use file::ReviewedPlan;
use gate::Arrival;
pub(in crate::command) use gate::{Gate, Terms};

/// One host's plan, for a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::command) struct HostPlan {
    /// The host's name in the inventory.
    pub(in crate::command) name: String,
    pub(in crate::command) address: String,
    /// In order.
    pub(in crate::command) changes: Vec<SealedChange>,
}

/// A change with its seal, which also differs where the change differs in what is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::command) struct SealedChange {
    #[serde(flatten)]
    pub(in crate::command) planned: Planned,
    pub(in crate::command) seal: String,
}

/// What a run has to do with a review.
pub(in crate::command) enum Review {
    /// Nothing.
    None,
    /// Its plans are to be reviewed.
    Collect(Collection),
    /// Its plans are carried out only if they are the reviewed ones.
    Compare(Gate),
}

impl Review {
    /// Whether the changes of the plans have to be sealed.
    pub(in crate::command) fn seals(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Hears of the hosts, before any of them is contacted. Refuses those that the reviewed plan is not for.
    pub(in crate::command) fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        match self {
            Self::Compare(gate) => gate.begins(works),
            Self::None | Self::Collect(_) => Ok(()),
        }
    }

    /// Begins the work on one host.
    pub(in crate::command) async fn admit(&self) -> Ticket<'_> {
        match self {
            Self::None => Ticket::Free,
            Self::Collect(collection) => Ticket::Collected(collection),
            Self::Compare(gate) => Ticket::Compared(gate.arrival().await),
        }
    }

    /// Hears of a host that is not worked on.
    pub(in crate::command) fn passes_over(&self) {
        if let Self::Compare(gate) = self {
            gate.passes_over();
        }
    }

    /// Ends the work on so many hosts.
    pub(in crate::command) fn ends(&self, hosts: usize, emit: Emit<'_>) -> Result<(), Failure> {
        match self {
            Self::None => Ok(()),
            Self::Collect(collection) => collection.end(hosts, emit),
            Self::Compare(gate) => gate.end(),
        }
    }
}

/// What one host has to do with the review.
pub(in crate::command) enum Ticket<'a> {
    /// Nothing.
    Free,
    /// Its plan is collected.
    Collected(&'a Collection),
    /// Its plan is compared with the reviewed one.
    Compared(Arrival<'a>),
}

impl Ticket<'_> {
    /// Takes the plan of the host. Returns whether it may be carried out.
    pub(in crate::command) async fn passes(
        &mut self,
        work: &Work,
        changes: Option<Vec<SealedChange>>,
        emit: Emit<'_>,
    ) -> Result<bool, Failure> {
        let target = &work.target;
        let plan = changes.map(|changes| HostPlan {
            name: target.name.clone(),
            address: target.address.clone(),
            changes,
        });
        match self {
            Self::Free => Ok(true),
            Self::Collected(collection) => {
                if let Some(plan) = plan {
                    collection.add(plan);
                }
                Ok(true)
            }
            Self::Compared(arrival) => arrival.pass(plan, emit).await,
        }
    }
}

/// The plans of all hosts, as they come in.
pub(in crate::command) struct Collection {
    scope: Scope,
    out: Option<PathBuf>,
    plans: Mutex<Vec<HostPlan>>,
}

impl Collection {
    /// No plans yet. At the end they are written to `out`, if it is given.
    pub(in crate::command) fn new(scope: Scope, out: Option<PathBuf>) -> Self {
        Self { scope, out, plans: Mutex::default() }
    }

    /// Takes the plan of one host.
    pub(in crate::command) fn add(&self, plan: HostPlan) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).push(plan);
    }

    /// Reports the digest of the plans of so many hosts, and writes the file. Without the plans of all hosts
    /// there is none.
    pub(in crate::command) fn end(&self, hosts: usize, emit: Emit<'_>) -> Result<(), Failure> {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let missing = hosts.saturating_sub(plans.len());
        if missing > 0 {
            return self.out.as_deref().map_or(Ok(()), |out| Err(incomplete(out, missing, hosts)));
        }
        let plan = ReviewedPlan::new(self.scope.clone(), plans);
        if let Some(out) = &self.out {
            plan.write(out)?;
        }
        emit(EventKind::PlanDigest { digest: plan.digest().to_owned(), file: self.out.clone() });
        Ok(())
    }
}

fn incomplete(out: &Path, missing: usize, hosts: usize) -> Failure {
    Failure::new(Exit::Failed, format!("{missing} of {hosts} hosts could not be planned"))
        .not_done(format!("`{}` was not written", out.display()))
        .hint("leave these hosts out with `--limit`, or run again once they can be planned")
}
