//! Runs: the one sequence of all verbs that change a host by a plan. It is planned and shown, carried out,
//! looked at from outside, and kept or undone.

pub(super) mod back;
mod carry;
pub(super) mod expected;
pub(super) mod hash_key;
mod info;
pub(super) mod local;
mod outside;
pub(super) mod vantage;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cli::PlanArgs;
use crate::client::{Expected, Pins};
use crate::command::review::SealedChange;
use crate::engine::protocol::{CONFIRM_TIMEOUT_S, Goal, PlanRequest};
use crate::event::{self, EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::{LocalFolder, Stack, Upload};
use crate::remote::{Emit, Engine, ProposedPlan};
use crate::resource::{Exposure, Facts};

pub(super) use info::run_info;
pub(super) use outside::check_after;

/// What a client should see of the host, given what it is, what others open on it, and the certificates
/// of its endpoints as far as they are known.
pub(super) type Outside<'a> = &'a (dyn Fn(&Facts, &Exposure, Option<Pins>) -> Expected + Sync);

/// A run that is still to be planned.
pub(super) struct Run<'a> {
    verb: &'a str,
    goal: Goal,
    is_check: bool,
    patience: Duration,
    confirm_timeout: Duration,
    rehearses: bool,
    is_sealed: bool,
    stack: Option<Stack>,
    settings: Settings<'a>,
}

/// How a plan is carried out.
struct Settings<'a> {
    /// The local files that the host may ask for.
    uploads: Vec<Upload>,
    /// Leave the host as a failure left it.
    keep_on_failure: bool,
    /// Whether only a part of the stack is meant: what is wrong from outside before the run may
    /// still be so after it.
    is_part: bool,
    /// What is looked at before the run is kept.
    outside: Option<Outside<'a>>,
    /// What the run fails with when that look shows a fault, and what to do then.
    failure: (&'static str, &'static str),
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            uploads: Vec::new(),
            keep_on_failure: false,
            is_part: false,
            outside: None,
            failure: (
                "the host fails its checks from outside",
                "run again with `--keep-on-failure` to keep the failed state on the host and look for the cause",
            ),
        }
    }
}

/// A run whose plan is known.
pub(super) struct PlannedRun<'a> {
    planned: ProposedPlan,
    is_check: bool,
    settings: Settings<'a>,
}

impl<'a> Run<'a> {
    /// A run that brings a host to `goal`. The host's journal and lock name it by `verb`.
    pub(super) fn new(verb: &'a str, goal: Goal, patience: Duration) -> Self {
        Self {
            verb,
            goal,
            patience,
            is_check: false,
            confirm_timeout: Duration::from_secs(CONFIRM_TIMEOUT_S),
            rehearses: false,
            is_sealed: false,
            stack: None,
            settings: Settings::default(),
        }
    }

    /// The same with the patience of the command line.
    pub(super) fn with(verb: &'a str, goal: Goal, args: &PlanArgs) -> Self {
        let patience = Duration::from_secs(args.wait.into());
        let confirm_timeout = Duration::from_secs(args.confirm_timeout.into());
        Self { confirm_timeout, ..Self::new(verb, goal, patience) }
    }

    /// Ends the run after its plan, if so wanted: nothing on the host is locked or changed.
    pub(super) fn only_planned(self, is_check: bool) -> Self {
        Self { is_check, ..self }
    }

    /// Names the local files that the host may ask for.
    pub(super) fn uploads(mut self, uploads: Vec<Upload>) -> Self {
        self.settings.uploads = uploads;
        self
    }

    /// Takes from the stack that the goal is of the local files that the host may ask for, and the folders of local files
    /// whose resources are left out of the goal.
    pub(super) fn of_stack(self, stack: Stack) -> Self {
        Self { stack: Some(stack), ..self }
    }

    /// Leaves the host as a failure left it, if so wanted.
    pub(super) fn keep_on_failure(mut self, keeps: bool) -> Self {
        self.settings.keep_on_failure = keeps;
        self
    }

    /// Has the host looked at from outside before the run is kept. What was wrong before a run of a part
    /// of the stack may be so after it.
    pub(super) fn checked_from_outside(mut self, outside: Outside<'a>, is_part: bool) -> Self {
        self.settings.outside = Some(outside);
        self.settings.is_part = is_part;
        self
    }

    /// Says what has failed, and what to do, when that look shows a fault.
    pub(super) fn failing_with(mut self, what: &'static str, hint: &'static str) -> Self {
        self.settings.failure = (what, hint);
        self
    }

    /// Has the engine look at a changed configuration as a client would before it goes live.
    pub(super) fn rehearsed(self) -> Self {
        Self { rehearses: true, ..self }
    }

    /// Has the changes of the plan sealed, if so wanted, to be compared with those of another plan.
    pub(super) fn sealed(self, is_sealed: bool) -> Self {
        Self { is_sealed, ..self }
    }

    /// Makes the plan and reports it.
    pub(super) async fn plan(
        self,
        engine: &mut Engine,
        emit: Emit<'_>,
    ) -> Result<PlannedRun<'a>, Failure> {
        let planned = self.plan_unseen(engine, emit).await?;
        planned.show(emit);
        Ok(planned)
    }

    /// Makes the plan, for a verb that may refuse it before it is reported.
    pub(super) async fn plan_unseen(
        self,
        engine: &mut Engine,
        emit: Emit<'_>,
    ) -> Result<PlannedRun<'a>, Failure> {
        let Self {
            verb,
            goal,
            is_check,
            patience,
            confirm_timeout,
            rehearses,
            is_sealed,
            stack,
            mut settings,
        } = self;
        let expected =
            settings.outside.map(|outside| outside(&engine.facts, &Exposure::default(), None));
        let endpoints = expected.as_ref().map(|expected| expected.endpoints.clone());
        // Ports are opened and closed by the run: only the web server can be tried before it.
        let rehearsal = expected
            .filter(|_| rehearses)
            .map(|expected| Expected { closed: Vec::new(), ..expected });
        let request = PlanRequest {
            goal,
            run: (!is_check).then(|| run_info(verb)),
            patience_s: patience.as_secs(),
            keep_on_failure: settings.keep_on_failure,
            confirm_timeout_s: confirm_timeout.as_secs(),
            endpoints: endpoints.unwrap_or_default(),
            outside: rehearsal,
            seal: is_sealed,
            folders: stack
                .iter()
                .flat_map(|stack| &stack.folders)
                .map(LocalFolder::left_out)
                .collect(),
        };
        emit(EventKind::Step { message: "reading the host".to_owned(), fraction: None });
        let began = Instant::now();
        let stack = Mutex::new(stack);
        let unfold = |differ: &[String], request: &mut PlanRequest| unfold(&stack, differ, request);
        let planned = engine.plan_unfolding(request, &unfold, emit).await?;
        let stack = stack.into_inner().unwrap_or_else(PoisonError::into_inner);
        settings.uploads.extend(stack.map(|stack| stack.uploads).unwrap_or_default());
        let (changes, took) = (planned.changes.len(), began.elapsed().as_millis());
        emit(EventKind::Trace { message: format!("{changes} changes planned within {took} ms") });
        Ok(PlannedRun { planned, is_check, settings })
    }
}

/// Adds the resources of the folders with these digests to a request, and their files to what the host may ask for.
fn unfold(
    stack: &Mutex<Option<Stack>>,
    differ: &[String],
    request: &mut PlanRequest,
) -> Result<(), Failure> {
    let mut stack = stack.lock().unwrap_or_else(PoisonError::into_inner);
    let (Some(stack), Goal::Declared { resources, .. }) = (&mut *stack, &mut request.goal) else {
        return Ok(());
    };
    let differs = |folder: &LocalFolder| differ.iter().any(|digest| digest == folder.digest());
    let folders = stack.folders.iter();
    request.folders =
        folders.map(|it| if differs(it) { it.sent() } else { it.left_out() }).collect();
    let unfolded = stack.unfold(differs);
    unfolded.map_err(|error| Failure::from_error(Exit::Usage, &error))?;
    resources.clone_from(&stack.resources);
    Ok(())
}

impl PlannedRun<'_> {
    /// Reports what is planned, and what stays where hwctl's own is taken away.
    pub(super) fn show(&self, emit: Emit<'_>) {
        emit(EventKind::Plan { changes: self.planned.changes.clone() });
        for (id, because) in self.planned.kept.clone() {
            emit(EventKind::Kept { id, because });
        }
    }

    pub(super) fn changes(&self) -> &[event::Planned] {
        &self.planned.changes
    }

    /// The changes with their seals; none where the host could not seal them.
    pub(super) fn sealed_changes(&self) -> Option<Vec<SealedChange>> {
        let ProposedPlan { changes, seals, .. } = &self.planned;
        let sealed = changes.iter().cloned().zip(seals.iter().cloned());
        (changes.len() == seals.len())
            .then(|| sealed.map(|(planned, seal)| SealedChange { planned, seal }).collect())
    }

    /// The parts that are asked for by name, and that the host neither has nor had.
    pub(super) fn lacking(&self) -> &[String] {
        &self.planned.lacking
    }

    /// What the run comes to unless it fails.
    pub(super) fn outcome(&self) -> Outcome {
        match self.changes().is_empty() {
            true => Outcome::Unchanged,
            false => Outcome::Changed,
        }
    }

    /// Whether there is something to do and it is to be done.
    pub(super) fn is_due(&self) -> bool {
        !self.is_check && !self.changes().is_empty()
    }
}
