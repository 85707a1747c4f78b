//! One session of the engine: hello, then requests until the operator's side hangs up.

mod requests;
mod run;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use futures_util::future::{Either, select};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, Receiver, UnboundedSender};
use tokio::time::timeout;

use crate::engine::driver::{Driver, Drivers};
use crate::engine::inspect::facts::{self, SshOrigin};
use crate::engine::plan::disk_space;
use crate::engine::plan::goal::{self, leave};
use crate::engine::plan::left_out;
use crate::engine::plan::seal;
use crate::engine::plan::{Plan, Wanted};
use crate::engine::protocol::input::{Halted, read_requests};
use crate::engine::protocol::{
    CONFIRM_TIMEOUT_S, ENGINE_GREETING, Goal, HEARTBEAT, PlanRequest, Reply, Request, RunInfo,
    write_frames,
};
use crate::engine::record::blobs::{self, Blobs, Bundle, Uploads};
use crate::engine::record::journal;
use crate::engine::record::lock::Lock;
use crate::engine::record::manifest::Manifest;
use crate::engine::record::specs;
use crate::engine::run::apply::EventSender;
use crate::engine::run::concurrent::{Hand, InHand};
use crate::engine::run::deadman;
use crate::engine::run::validate;
use crate::event::{EventKind, RunOutcome};
use crate::failure::Failure;
use crate::resource::{Blob, Declared, FolderDigest, FolderLook, Host, Id, keep_for_next_run};
use crate::spec::{PartSpec, Scope};
use run::Run;

/// How many replies are written at once: a run of many small changes reports each.
const AT_ONCE: usize = 64;

/// Serves one session on `input` and `output`; `connection` is sshd's `SSH_CONNECTION`, `drivers` are the
/// host's halves of the kinds of parts.
pub async fn serve(
    input: impl AsyncRead + Unpin + Send + 'static,
    mut output: impl AsyncWrite + Unpin,
    connection: &str,
    bundle: Option<Bundle>,
    drivers: Drivers,
) -> Result<()> {
    output.write_all(format!("{ENGINE_GREETING}\n").as_bytes()).await?;
    output.flush().await?;
    let (replies, mut outgoing) = mpsc::unbounded_channel();
    let (requests, halted) = read_requests(input);
    let work = async move {
        let mut session = Session::new(replies, connection, bundle, drivers, halted);
        session.run(requests).await
    };
    let write = async {
        loop {
            let mut replies = Vec::new();
            match timeout(HEARTBEAT, outgoing.recv_many(&mut replies, AT_ONCE)).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => replies.push(Reply::Alive),
            }
            if write_frames::<Reply>(&mut output, &replies).await.is_err() {
                // The operator's side is gone; the work is told so by the end of its input.
                outgoing.close();
            }
        }
    };
    tokio::join!(work, write).0
}

struct Session {
    events: EventSender,
    connection: Option<SshOrigin>,
    /// When it was logged in.
    began: SystemTime,
    blobs: Rc<RefCell<Blobs>>,
    drivers: Drivers,
    halted: Halted,
    hand: Hand,
    host: Host,
    planned: Option<(PlanRequest, Wanted, Plan)>,
    run: Option<Run>,
    lock: Option<Lock>,
    /// A copy of a part's data, as far as it has come.
    copy: Vec<u8>,
    /// The folders of the plan as they were before they were read.
    looks: Vec<FolderLook>,
    /// The hosts that get no work from a part since this session, by the names of the inventory.
    away: Vec<(PartSpec, String)>,
}

impl Session {
    fn new(
        replies: UnboundedSender<Reply>,
        connection: &str,
        bundle: Option<Bundle>,
        drivers: Drivers,
        halted: Halted,
    ) -> Self {
        let hand = Rc::new(Cell::new(InHand::Nothing));
        let blobs = Rc::new(RefCell::new(Blobs::new(blobs::FOLDER, bundle)));
        let host = Self::host(&replies, &hand, &blobs);
        Self {
            events: EventSender(replies),
            connection: SshOrigin::parse(connection),
            began: SystemTime::now(),
            blobs,
            drivers,
            halted,
            hand,
            host,
            planned: None,
            run: None,
            lock: None,
            copy: Vec::new(),
            looks: Vec::new(),
            away: Vec::new(),
        }
    }

    fn host(replies: &UnboundedSender<Reply>, hand: &Hand, blobs: &Rc<RefCell<Blobs>>) -> Host {
        let (replies, hand, blobs) = (replies.clone(), Rc::clone(hand), Rc::clone(blobs));
        let progress = move |progress: crate::resource::Progress| {
            let crate::resource::Progress { fraction, message } = progress;
            let what = match hand.get() {
                InHand::Change(index) => EventKind::ChangeProgress { index, fraction, message },
                InHand::Nothing => EventKind::Step { message, fraction },
                InHand::Concurrent => return,
            };
            let _ = replies.send(Reply::Event(what));
        };
        let open = move |blob: &Blob| blobs.borrow().open(blob);
        Host::new("/", Box::new(open), Box::new(progress))
    }

    async fn run(&mut self, requests: Receiver<Result<Request>>) -> Result<()> {
        tokio::select! {
            facts = facts::gather(&self.host, self.connection.as_ref(), self.drivers) => {
                self.reply(Reply::Hello { facts: facts? });
            }
            // Nobody waits for them.
            () = self.halted.gone() => {}
        }
        let answered = self.answer(requests).await;
        self.give_work_back().await?;
        // Nobody has said that the run is good.
        if self.run.is_some() {
            self.undo("the connection to the operator was lost").await?;
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
                request => self.answer_request(request).await,
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
        let _ = self.events.0.send(reply);
    }

    /// Ends a run that was cut off, and removes what it had staged.
    async fn end_interrupted_run(&self) -> Result<()> {
        if journal::open_run(&self.host).is_some() {
            validate::sweep(&self.host)?;
        }
        Manifest::end_interrupted_run(&self.host).await
    }

    async fn plan(&mut self, request: PlanRequest) -> Result<Reply, Failure> {
        let patience = Duration::from_secs(request.patience_s);
        self.host.set_patience(patience);
        if let Some(run) = &request.run {
            self.lock(run, patience).await?;
            let emit = |message| self.events.emit(EventKind::Warning { message });
            deadman::resolve_pending(&self.host, self.began, patience, emit).await?;
            self.end_interrupted_run().await?;
        }
        self.require_known_specs(Some(&request.goal))?;
        if let Goal::Declared { resources, .. } = &request.goal {
            self.hide_secrets(resources);
        }
        let settled = match self.settled(&request.folders) {
            Ok(settled) => settled,
            Err(differ) => return Ok(Reply::FoldersDiffer(differ)),
        };
        self.looks = request.folders.iter().filter_map(|folder| folder.look(&self.host)).collect();
        let wanted = goal::wanted_beside(&settled, &request.goal, self.drivers, &self.host)?;
        if wanted.strange > 0 {
            let message = format!(
                "another version of hwctl made {} things that this one does not know: they stay",
                wanted.strange
            );
            self.events.emit(EventKind::Warning { message });
        }
        let plan = Plan::make(&wanted, &self.host).await?;
        left_out::require_inputs(&wanted.left_out, &plan, &request.goal)?;
        if request.run.is_some() && !plan.changes.is_empty() {
            disk_space::require(&plan, &self.host).map_err(|error| {
                Failure::from(error).not_done("nothing was changed on the host")
            })?;
        }
        for trial in self.drivers.trials().filter(|trial| plan.has_configuration_read(*trial)) {
            validate::conflicts(trial, &wanted, &self.host).await.map_err(|error| {
                Failure::from(error).not_done("nothing was changed on the host")
            })?;
        }
        self.warn_of_confirm_timeout(&request, &plan);
        let mut kept = plan.kept.clone();
        kept.extend(self.concerns(&request.goal));
        let reply = Reply::Plan {
            changes: plan.changes.clone(),
            kept,
            fingerprint: plan.fingerprint.clone(),
            wants: self.blobs.borrow_mut().want(&plan.blobs)?,
            lacking: wanted.lacking.clone(),
            seals: if request.seal { self.seals(&plan) } else { Vec::new() },
        };
        if request.run.is_some() && plan.changes.is_empty() {
            self.nothing_to_do(&request, &plan, &settled)?;
            self.lock = None;
        }
        self.planned = Some((request, wanted, plan));
        Ok(reply)
    }

    /// The paths in the folders whose resources were left out. An error has the digests of those that the host does not
    /// have like that.
    fn settled(&self, folders: &[FolderDigest]) -> Result<HashSet<PathBuf>, Vec<String>> {
        let (mut settled, mut differ) = (HashSet::new(), Vec::new());
        for folder in folders.iter().filter(|folder| folder.declared.is_none()) {
            match folder.settled(&self.host) {
                Some(paths) => settled.extend(paths),
                None => differ.push(folder.digest.clone()),
            }
        }
        if differ.is_empty() { Ok(settled) } else { Err(differ) }
    }

    /// Keeps what the next run need not find out again.
    fn keep_for_next_run(&self, goal: &Goal, folders: &[FolderDigest]) {
        keep_for_next_run(&self.host);
        // A run of some parts has not compared the folders of the others.
        if matches!(goal, Goal::Declared { scope: Scope::All, .. }) {
            // Without it the next run is slower, and no less right.
            let _ = self.host.keep_settled_folders(folders, &self.looks);
        }
    }

    /// What programs of the host print is told without the secrets of these resources.
    fn hide_secrets(&self, resources: &[Declared]) {
        for declared in resources {
            declared.resource.hide_secrets(&self.host);
        }
    }

    /// A seal for each change. None where the host cannot keep the key to them.
    fn seals(&self, plan: &Plan) -> Vec<String> {
        seal::of(plan, &self.host).unwrap_or_else(|error| {
            let message = format!("the plan has no digest: {error:#}");
            self.events.emit(EventKind::Warning { message });
            Vec::new()
        })
    }

    /// Refuses a host of a newer version before anything is planned or changed.
    fn require_known_specs(&self, goal: Option<&Goal>) -> Result<(), Failure> {
        let is_known = |part: &PartSpec| part.driver.is_none() || self.drivers.of(part).is_some();
        let known = specs::require_known(&self.host, goal, is_known);
        known.map_err(|error| Failure::from(error).not_done("nothing was changed on the host"))
    }

    /// What others have on the host that stands against what is declared, as the drivers of the parts know it.
    fn concerns(&self, goal: &Goal) -> Vec<(Id, String)> {
        let Goal::Declared { resources, parts, scope, .. } = goal else { return Vec::new() };
        let meant = parts.iter().filter(|part| scope.has(&part.name));
        let drivers: HashMap<&str, &dyn Driver> =
            meant.filter_map(|part| Some((part.name.as_str(), self.drivers.of(part)?))).collect();
        let with_driver = resources
            .iter()
            .filter_map(|declared| Some((&declared.resource, drivers.get(declared.tag.as_str())?)));
        let found = with_driver.flat_map(|(resource, driver)| {
            let concerns = driver.concerns(resource, &self.host).into_iter();
            concerns.map(|concern| (resource.id(), concern))
        });
        found.collect()
    }

    /// Says how long a risky change waits for its new login, unless that is as usual.
    fn warn_of_confirm_timeout(&self, request: &PlanRequest, plan: &Plan) {
        let risky = plan.steps.iter().find(|step| deadman::is_risky(&step.resource));
        let seconds = request.confirm_timeout_s;
        if let Some(step) = risky.filter(|_| seconds != CONFIRM_TIMEOUT_S) {
            let message = format!(
                "`{}` is taken back unless a new login confirms it within {seconds} s",
                step.resource.id()
            );
            self.events.emit(EventKind::Warning { message });
        }
    }

    /// Takes the host's lock for this session, if it has not got it.
    async fn lock(&mut self, run: &RunInfo, patience: Duration) -> Result<()> {
        if self.lock.is_none() {
            // Not a step: whoever has no live line to look at should know too.
            let emit = |message| self.events.emit(EventKind::Warning { message });
            let lock =
                Lock::take(&self.host, run, self.from(), patience, &self.halted, emit).await?;
            self.lock = Some(lock);
        }
        Ok(())
    }

    /// The end of what would have been a run: what is hwctl's no more is forgotten.
    fn nothing_to_do(
        &self,
        PlanRequest { goal, folders, .. }: &PlanRequest,
        plan: &Plan,
        settled: &HashSet<PathBuf>,
    ) -> Result<()> {
        // What is settled is declared as a whole, and is in the manifest as it is.
        let is_new = Manifest::load_beside(settled, &self.host)?.declare(goal);
        if is_new || !plan.settled.is_empty() {
            let mut manifest = Manifest::load(&self.host)?;
            manifest.forget(&plan.settled);
            manifest.declare(goal);
            manifest.save(&self.host)?;
        }
        specs::keep(&self.host, goal, None)?;
        self.keep_for_next_run(goal, folders);
        leave(goal, &self.host)
    }

    /// Where the session comes from, for the lock and the journal.
    fn from(&self) -> Option<String> {
        self.connection.as_ref().map(|known| known.client.to_string())
    }
}
