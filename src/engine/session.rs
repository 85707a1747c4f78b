//! One session of the engine: hello, then requests until the operator's side hangs up.

mod daily;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use futures_util::future::{Either, select};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, Receiver, UnboundedSender};

use super::apply::{Carried, Carrier, Teller};
use super::aside::{Hand, InHand};
use super::blobs::{self, Blobs, Bundle, Uploads};
use super::deadman;
use super::facts::{self, Connection};
use super::goal::{self, leave};
use super::input::{Halted, read_requests};
use super::journal::Journal;
use super::lock::Lock;
use super::manifest::Manifest;
use super::plan::{Plan, Wanted};
use super::protocol::{ENGINE_GREETING, Goal, PlanRequest, Reply, Request, RunInfo, write_frame};
use super::renewal;
use super::room;
use super::undo::undo;
use super::validate::Outside;
use crate::event::{Action, Planned, RunOutcome, What};
use crate::failure::{Exit, Failure};
use crate::resource::{Blob, Host, Id, reload_systemd_if_owed};

/// Serves one session on `input` and `output`; `connection` is sshd's `SSH_CONNECTION`.
pub async fn serve(
    input: impl AsyncRead + Unpin + Send + 'static,
    mut output: impl AsyncWrite + Unpin,
    connection: &str,
    bundle: Option<Bundle>,
) -> Result<()> {
    output.write_all(format!("{ENGINE_GREETING}\n").as_bytes()).await?;
    output.flush().await?;
    let (replies, mut outgoing) = mpsc::unbounded_channel();
    let (requests, halted) = read_requests(input);
    let work = async move {
        let mut session = Session::new(replies, connection, bundle, halted);
        session.run(requests).await
    };
    let write = async {
        while let Some(reply) = outgoing.recv().await {
            if write_frame::<Reply>(&mut output, &reply).await.is_err() {
                // The operator's side is gone; the work is told so by the end of its input.
                outgoing.close();
            }
        }
    };
    tokio::join!(work, write).0
}

/// How many changes a stopped run names.
const NAMED: usize = 6;

/// A run that waits to be kept or undone.
struct Run {
    journal: Journal,
    goal: Goal,
    settled: Vec<Id>,
}

struct Session {
    teller: Teller,
    connection: Option<Connection>,
    /// When it was logged in.
    began: SystemTime,
    blobs: Rc<RefCell<Blobs>>,
    halted: Halted,
    hand: Hand,
    host: Host,
    planned: Option<(PlanRequest, Wanted, Plan)>,
    run: Option<Run>,
    lock: Option<Lock>,
    /// A copy of Redis's data, as far as it has come.
    copy: Vec<u8>,
}

impl Session {
    fn new(
        replies: UnboundedSender<Reply>,
        connection: &str,
        bundle: Option<Bundle>,
        halted: Halted,
    ) -> Self {
        let hand = Rc::new(Cell::new(InHand::Nothing));
        let blobs = Rc::new(RefCell::new(Blobs::new(blobs::FOLDER, bundle)));
        let host = Self::host(&replies, &hand, &blobs);
        Self {
            teller: Teller(replies),
            connection: Connection::parse(connection),
            began: SystemTime::now(),
            blobs,
            halted,
            hand,
            host,
            planned: None,
            run: None,
            lock: None,
            copy: Vec::new(),
        }
    }

    fn host(replies: &UnboundedSender<Reply>, hand: &Hand, blobs: &Rc<RefCell<Blobs>>) -> Host {
        let (replies, hand, blobs) = (replies.clone(), Rc::clone(hand), Rc::clone(blobs));
        let progress = move |progress: crate::resource::Progress| {
            let crate::resource::Progress { fraction, message } = progress;
            let what = match hand.get() {
                InHand::Change(index) => What::ChangeProgress { index, fraction, message },
                InHand::Nothing => What::Step { message, fraction },
                InHand::Aside => return,
            };
            let _ = replies.send(Reply::Event(what));
        };
        let open = move |blob: &Blob| blobs.borrow().open(blob);
        Host::new("/", Box::new(open), Box::new(progress))
    }

    async fn run(&mut self, requests: Receiver<Result<Request>>) -> Result<()> {
        tokio::select! {
            facts = facts::gather(&self.host, self.connection.as_ref()) => {
                self.reply(Reply::Hello { facts: facts? });
            }
            // Nobody waits for them.
            () = self.halted.gone() => {}
        }
        let answered = self.answer(requests).await;
        // Nobody has said that the run is good.
        if self.run.is_some() {
            self.undo("the operator's side is gone").await?;
        }
        answered
    }

    /// Answers until the input ends. What hwctl's other end never sends ends it with an error.
    async fn answer(&mut self, mut requests: Receiver<Result<Request>>) -> Result<()> {
        while let Some(request) = requests.recv().await {
            let request = request?;
            self.require_in_order(&request)?;
            let answer = match request {
                Request::Part { bytes } => {
                    self.take_part(&bytes)?;
                    Ok(None)
                }
                Request::Plan(request) => self.plan(request).await.map(Some),
                Request::Apply { fingerprint } => {
                    let uploads = Uploads::new(Rc::clone(&self.blobs));
                    let answer = {
                        let receiving = pin!(uploads.receive(&mut requests));
                        let applying = Box::pin(self.apply(&fingerprint, &uploads));
                        // What has come is taken in before the end of the input is seen.
                        match select(receiving, applying).await {
                            Either::Left(((), applying)) => applying.await,
                            Either::Right((answer, _)) => answer,
                        }
                    };
                    if let (Err(failure), Err(error)) = (&answer, uploads.are_coming()) {
                        // What comes next makes no sense.
                        self.reply(Reply::Failed { failure: failure.clone() });
                        return Err(error);
                    }
                    answer.map(Some)
                }
                // Heard by the reader, and taken in by the run that waits for it.
                Request::Alive
                | Request::Stop
                | Request::LockedOut { .. }
                | Request::Chunk { .. } => Ok(None),
                Request::Keep => self.close(RunOutcome::Kept, None).map(Some).map_err(Into::into),
                Request::Leave { why } => {
                    self.close(RunOutcome::Failed, Some(why)).map(Some).map_err(Into::into)
                }
                Request::Undo { why } => {
                    self.undo(&why).await.map(|left| Some(Reply::Undone { left }))
                }
                daily => self.daily(daily).await,
            };
            match answer {
                Ok(Some(reply)) => self.reply(reply),
                Ok(None) => {}
                Err(failure) => self.reply(Reply::Failed { failure }),
            }
        }
        Ok(())
    }

    /// A run is planned, carried out, and closed, in that order.
    fn require_in_order(&self, request: &Request) -> Result<()> {
        let planned = self.planned.as_ref().is_some_and(|(request, ..)| request.run.is_some());
        let (fits, what) = match request {
            Request::Plan(_) => (self.run.is_none(), "a plan within a run"),
            Request::Restore(_) => (self.run.is_none(), "a restore within a run"),
            Request::Chunk { .. } => (false, "a chunk of a blob that no run waits for"),
            Request::Keep => (self.run.is_some(), "a run to keep before a run"),
            Request::Leave { .. } => (self.run.is_some(), "a run to leave before a run"),
            Request::Undo { .. } => (self.run.is_some(), "a run to undo before a run"),
            Request::Apply { .. } => (planned, "a plan to apply before a plan"),
            _ => (true, ""),
        };
        match fits {
            true => Ok(()),
            false => Err(anyhow!("the other end is not hwctl: it sends {what}")),
        }
    }

    fn reply(&self, reply: Reply) {
        let _ = self.teller.0.send(reply);
    }

    async fn plan(&mut self, request: PlanRequest) -> Result<Reply, Failure> {
        let patience = Duration::from_secs(request.patience_s);
        self.host.set_patience(patience);
        if let Some(run) = &request.run {
            self.lock(run, patience).await?;
            let tell = |message| self.teller.tell(What::Warning { message });
            deadman::settle(&self.host, self.began, patience, tell).await?;
            Manifest::settle(&self.host).await?;
        }
        let wanted = goal::wanted(&request.goal, &self.host)?;
        if wanted.strange > 0 {
            let message = format!(
                "another version of hwctl made {} things that this one does not know: they stay",
                wanted.strange
            );
            self.teller.tell(What::Warning { message });
        }
        let plan = Plan::make(&wanted, &self.host).await?;
        if request.run.is_some() && !plan.changes.is_empty() {
            room::require(&plan, &self.host).map_err(|error| {
                Failure::from(error).not_done("nothing was changed on the host")
            })?;
        }
        let reply = Reply::Plan {
            changes: plan.changes.clone(),
            kept: plan.kept.clone(),
            fingerprint: plan.fingerprint.clone(),
            wants: self.blobs.borrow_mut().want(&plan.blobs)?,
        };
        if request.run.is_some() && plan.changes.is_empty() {
            self.nothing_to_do(&request.goal, &plan)?;
            self.lock = None;
        }
        self.planned = Some((request, wanted, plan));
        Ok(reply)
    }

    /// Takes the host's lock for this session, if it has not got it.
    async fn lock(&mut self, run: &RunInfo, patience: Duration) -> Result<()> {
        if self.lock.is_none() {
            // Not a step: whoever has no live line to look at should know too.
            let tell = |message| self.teller.tell(What::Warning { message });
            let lock =
                Lock::take(&self.host, run, self.from(), patience, &self.halted, tell).await?;
            self.lock = Some(lock);
        }
        Ok(())
    }

    /// The end of what would have been a run: what is hwctl's no more is forgotten.
    fn nothing_to_do(&self, goal: &Goal, plan: &Plan) -> Result<()> {
        if !plan.settled.is_empty() {
            let mut manifest = Manifest::load(&self.host)?;
            manifest.forget(&plan.settled);
            manifest.save(&self.host)?;
        }
        self.host.keep_notes();
        leave(goal, &self.host)
    }

    /// Where the session comes from, for the lock and the journal.
    fn from(&self) -> Option<String> {
        self.connection.as_ref().map(|known| known.client.to_string())
    }

    async fn apply(&mut self, fingerprint: &str, uploads: &Uploads) -> Result<Reply, Failure> {
        let Some((request, wanted, plan)) = self.planned.take() else {
            return Err(anyhow!("there is no plan to apply").into());
        };
        let Some(run) = &request.run else {
            return Err(anyhow!("the plan was made only to be looked at").into());
        };
        if plan.fingerprint != fingerprint {
            return Err(anyhow!("the plan to apply is not the one that was shown").into());
        }
        let mut journal = Journal::begin(&self.host, run, self.from())?;
        self.teller.tell(What::RunBegan { run: journal.id().to_owned() });
        let carrier = Carrier {
            host: &self.host,
            teller: &self.teller,
            hand: &self.hand,
            uploads,
            halted: &self.halted,
            confirm_timeout: Duration::from_secs(request.confirm_timeout_s),
            outside: self.connection.as_ref().zip(request.outside.as_deref()).map(
                |(connection, expected)| Outside {
                    expected,
                    to: connection.own,
                    from: connection.client,
                },
            ),
        };
        let applied = carrier.apply(&wanted, &plan, &mut journal).await;
        reload_systemd_if_owed(&self.host).await;
        self.hand.set(InHand::Nothing);
        self.run = Some(Run { journal, goal: request.goal, settled: plan.settled.clone() });
        let applied = match applied {
            Ok(Carried::Out) => self.require_nothing_left(&wanted, &plan).await,
            Ok(Carried::Stopped(left)) => return Err(self.stopped(&plan.changes, &left)),
            Err(error) => Err(error.into()),
        };
        match applied {
            Ok(()) => {
                self.blobs.borrow().clear();
                Ok(Reply::Applied { certificate: self.certificate(&wanted) })
            }
            Err(failure) if request.keep_on_failure => {
                self.close(RunOutcome::Failed, Some(failure.what.clone()))?;
                Err(failure.not_done("the run was not undone (`--keep-on-failure`)"))
            }
            Err(failure) if self.run.as_ref().is_some_and(|run| run.journal.is_final()) => {
                self.close(RunOutcome::Failed, Some(failure.what.clone()))?;
                Err(failure
                    .not_done("the run was not undone: what it has removed cannot be brought back")
                    .hint(
                        "run it again to finish it, or `hwctl provision` to have the stack again",
                    ))
            }
            Err(failure) => Err(self.undo_after(failure).await),
        }
    }

    /// The operator stopped the run: what was done stays, the lock is given back.
    fn stopped(&mut self, changes: &[Planned], left: &[usize]) -> Failure {
        let (all, done) = (changes.len(), changes.len() - left.len());
        let what = format!("stopped after {done} of {all} changes, as you wished");
        let mut failure = Failure::new(Exit::Interrupted, what);
        if let Err(error) = self.close(RunOutcome::Interrupted, None) {
            failure = failure.why(format!("{error:#}"));
        }
        let mut names: Vec<_> =
            left.iter().take(NAMED).map(|index| changes[*index].change.id.to_string()).collect();
        if left.len() > NAMED {
            names.push(format!("and {} more", left.len() - NAMED));
        }
        failure
            .not_done(format!("not made: {}", names.join(", ")))
            .hint("run again to go on from there, or `hwctl rollback` to take back what was done")
    }

    /// The law of a run: once applied, a plan of the same is empty.
    async fn require_nothing_left(&self, wanted: &Wanted, done: &Plan) -> Result<(), Failure> {
        let mut left = Plan::make(wanted, &self.host).await?.changes;
        if done.removes_packages() {
            // Their units are gone with them.
            left.retain(|planned| planned.change.action != Action::Start);
        }
        let Some(first) = left.first() else { return Ok(()) };
        let ids: Vec<_> = left.iter().map(|c| c.change.id.to_string()).collect();
        let failure =
            Failure::from(anyhow!("the host does not stay as applied: {}", ids.join(", ")));
        Err(match &first.change.because {
            Some(because) => failure.why(because.as_str()),
            None => failure,
        })
    }

    async fn undo_after(&mut self, failure: Failure) -> Failure {
        self.teller.tell(What::Step { message: "undoing the run".to_owned(), fraction: None });
        let why = failure.what.clone();
        match self.undo(&why).await {
            Ok(left) => {
                let failure = left.into_iter().fold(failure, Failure::why);
                Failure { exit: Exit::Undone, ..failure }
            }
            Err(second) => second.why.iter().fold(failure.why(second.what), Failure::why),
        }
    }

    /// Takes the run back; says what of it cannot be.
    async fn undo(&mut self, why: &str) -> Result<Vec<String>, Failure> {
        let Some(run) = &self.run else {
            return Err(anyhow!("there is no run to undo").into());
        };
        undo(&run.journal, &self.host, &self.teller).await?;
        let changes = run.journal.entries().iter().map(|entry| &entry.change);
        let left = changes.filter_map(|change| {
            Some(format!("not undone: {}: {}", change.id, change.not_undone.as_ref()?))
        });
        let left = left.collect();
        self.close(RunOutcome::Undone, Some(why.to_owned()))?;
        Ok(left)
    }

    /// Ends the run: what it has made is in the manifest before the journal says that it is done.
    fn close(&mut self, outcome: RunOutcome, why: Option<String>) -> Result<Reply> {
        if let Some(Run { journal, goal, settled }) = self.run.take() {
            let is_whole = outcome == RunOutcome::Kept;
            let mut manifest = Manifest::read(&self.host)?;
            match outcome {
                RunOutcome::Undone => manifest.take_in_left(journal.entries()),
                _ => manifest.take_in(journal.entries(), is_whole),
            }
            if is_whole {
                manifest.forget(&settled);
            }
            manifest.save(&self.host)?;
            journal.end(&self.host, outcome, why)?;
            if is_whole {
                self.host.keep_notes();
                leave(&goal, &self.host)?;
            }
        }
        self.lock = None;
        Ok(Reply::Closed)
    }

    /// The fingerprint of the certificate that the stack serves.
    fn certificate(&self, wanted: &Wanted) -> Option<String> {
        let meant = wanted.declared.iter().map(|step| &step.resource);
        let all = match &self.run.as_ref()?.goal {
            Goal::Declared { resources, .. } => resources.as_slice(),
            _ => &[],
        };
        let known = Manifest::load(&self.host).unwrap_or_default();
        let known = known.known().map(|(_, resource)| resource);
        let all = all.iter().map(|declared| &declared.resource);
        match &self.run.as_ref()?.goal {
            Goal::Before { .. } | Goal::Original { .. } => None,
            _ => renewal::fingerprint(meant.chain(all).chain(known), &self.host),
        }
    }
}
