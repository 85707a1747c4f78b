//! Asks an engine for a plan.

use anyhow::anyhow;

use super::engine::{Emit, Engine};
use super::interrupt;
use crate::engine::protocol::{PlanRequest, Reply, Request};
use crate::event::{self, EventKind};
use crate::failure::{Exit, Failure};
use crate::resource::{Blob, Id};

/// How many times as long as this session's login the next login may take. The host is busy with
/// the run by then, and the change itself counts too.
const LOGINS_ALLOWED: u64 = 4;

/// Adds the resources of folders, which are named by their digests, to a request.
pub type Unfold<'a> = &'a (dyn Fn(&[String], &mut PlanRequest) -> Result<(), Failure> + Sync);

/// What the engine answers to a plan request.
#[derive(Debug)]
pub struct ProposedPlan {
    /// The changes, in order.
    pub changes: Vec<event::Planned>,
    /// Of the state that it was made from.
    pub fingerprint: String,
    /// What stays where hwctl's own is taken away, and why.
    pub kept: Vec<(Id, String)>,
    /// Blobs that it wants before it can apply the plan.
    pub wants: Vec<Blob>,
    /// The parts that are asked for by name, and that the host neither has nor had.
    pub lacking: Vec<String>,
    /// A seal for each change, where they were asked for.
    pub seals: Vec<String>,
}

impl Engine {
    /// Asks for a plan. It can be stopped, since it changes nothing.
    ///
    /// A host that logs in slowly gets more time for the login that confirms a change of its firewall.
    pub async fn plan(
        &mut self,
        request: PlanRequest,
        emit: Emit<'_>,
    ) -> Result<ProposedPlan, Failure> {
        let unfold = |_: &[String], _: &mut PlanRequest| {
            Err(Failure::from(anyhow!("the host asks for folders that no request names")))
        };
        self.plan_unfolding(request, &unfold, emit).await
    }

    /// The same for a request without the resources of some folders. Where the host does not have these folders, `unfold`
    /// adds the resources of those with the digests that it is given, and the host is asked again.
    pub async fn plan_unfolding(
        &mut self,
        mut request: PlanRequest,
        unfold: Unfold<'_>,
        emit: Emit<'_>,
    ) -> Result<ProposedPlan, Failure> {
        let enough = self.login_took.as_secs() * LOGINS_ALLOWED;
        request.confirm_timeout_s = request.confirm_timeout_s.max(enough);
        let is_run = request.run.is_some();
        let asked = Request::Plan(request);
        let mut answer = self.answer_of_plan(&asked, is_run, emit).await?;
        if let (Reply::FoldersDiffer(differ), Request::Plan(mut request)) = (&answer, asked) {
            let message = format!("the host asks for the files of {} folders", differ.len());
            emit(EventKind::Trace { message });
            unfold(differ, &mut request)?;
            answer = self.answer_of_plan(&Request::Plan(request), is_run, emit).await?;
        }
        match answer {
            Reply::Plan { changes, kept, fingerprint, wants, lacking, seals } => {
                Ok(ProposedPlan { changes, fingerprint, kept, wants, lacking, seals })
            }
            other => Err(self.nonsense(&other)),
        }
    }

    async fn answer_of_plan(
        &mut self,
        request: &Request,
        is_run: bool,
        emit: Emit<'_>,
    ) -> Result<Reply, Failure> {
        self.send(request).await?;
        let answer = interrupt::or_stopped(self.answer(emit)).await;
        answer.map_err(|failure| match failure.exit {
            // Before it plans a run, the host ends one that was cut off.
            Exit::Interrupted if is_run => failure.not_done("no change of this run was made"),
            _ => failure,
        })
    }
}
