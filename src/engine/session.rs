//! One session of the engine: hello, then requests until the operator's side hangs up.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::apply::{self, Teller};
use super::blobs::{self, Bundle};
use super::facts::{self, Connection};
use super::goal::{self, leave};
use super::journal::{self, Journal};
use super::lock::Lock;
use super::manifest::Manifest;
use super::plan::{Plan, Wanted};
use super::protocol::{
    CLIENT_GREETING, ENGINE_GREETING, Goal, PlanRequest, Reply, Request, read_frame, write_frame,
};
use crate::event::{Action, RunOutcome, What};
use crate::failure::{Exit, Failure};
use crate::resource::{Blob, Host, Id, Resource, sha256};

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
    let requests = read_requests(input);
    let work = async move {
        let mut session = Session::new(replies, connection, bundle);
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

/// Reads requests in a task of its own, so that the end of the input is seen during work.
fn read_requests(
    input: impl AsyncRead + Unpin + Send + 'static,
) -> UnboundedReceiver<Result<Request>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut input = BufReader::new(input);
        if let Err(error) = skip_to_greeting(&mut input).await {
            let _ = sender.send(Err(error));
            return;
        }
        loop {
            match read_frame(&mut input).await {
                Ok(Some(request)) => {
                    if sender.send(Ok(request)).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return;
                }
            }
        }
    });
    receiver
}

async fn skip_to_greeting(input: &mut (impl AsyncBufReadExt + Unpin)) -> Result<()> {
    for _ in 0..3 {
        let mut line = Vec::new();
        let mut bounded = (&mut *input).take(4096);
        bounded.read_until(b'\n', &mut line).await?;
        if line.trim_ascii() == CLIENT_GREETING.as_bytes() {
            return Ok(());
        }
    }
    Err(anyhow!("the other end is not hwctl"))
}

/// A run that waits to be kept or undone.
struct Run {
    journal: Journal,
    goal: Goal,
    settled: Vec<Id>,
}

struct Session {
    teller: Teller,
    connection: Option<Connection>,
    bundle: Option<Bundle>,
    /// The change that is under way, for progress.
    current: Rc<Cell<Option<usize>>>,
    host: Host,
    planned: Option<(PlanRequest, Wanted, Plan)>,
    run: Option<Run>,
    lock: Option<Lock>,
}

impl Session {
    fn new(replies: UnboundedSender<Reply>, connection: &str, bundle: Option<Bundle>) -> Self {
        let current = Rc::new(Cell::new(None));
        let host = Self::host(&replies, &current, bundle);
        Self {
            teller: Teller(replies),
            connection: Connection::parse(connection),
            bundle,
            current,
            host,
            planned: None,
            run: None,
            lock: None,
        }
    }

    fn host(
        replies: &UnboundedSender<Reply>,
        current: &Rc<Cell<Option<usize>>>,
        bundle: Option<Bundle>,
    ) -> Host {
        let (replies, current) = (replies.clone(), Rc::clone(current));
        let progress = move |progress: crate::resource::Progress| {
            let crate::resource::Progress { fraction, message } = progress;
            let what = match current.get() {
                Some(index) => What::ChangeProgress { index, fraction, message },
                None => What::Step { message, fraction },
            };
            let _ = replies.send(Reply::Event(what));
        };
        let open = move |blob: &Blob| blobs::open(blob, bundle);
        Host::new("/", Box::new(open), Box::new(progress))
    }

    async fn run(&mut self, mut requests: UnboundedReceiver<Result<Request>>) -> Result<()> {
        let facts = facts::gather(&self.host, self.connection.as_ref()).await?;
        self.reply(Reply::Hello { facts });
        while let Some(request) = requests.recv().await {
            let answer = match request? {
                Request::Plan(request) => self.plan(request).await.map(Some),
                Request::Chunk { key, bytes, last } => {
                    blobs::keep_chunk(&self.host, &key, &bytes, last)
                        .map(|()| None)
                        .map_err(Into::into)
                }
                Request::Apply { fingerprint } => {
                    self.apply(&fingerprint, || requests.is_closed()).await.map(Some)
                }
                Request::History => self.history().map(Some).map_err(Into::into),
                Request::Keep => self.close(RunOutcome::Kept, None).map(Some).map_err(Into::into),
                Request::Undo { why } => self.undo(&why).await.map(|_| Some(Reply::Closed)),
            };
            match answer {
                Ok(Some(reply)) => self.reply(reply),
                Ok(None) => {}
                Err(failure) => self.reply(Reply::Failed { failure }),
            }
        }
        self.close(RunOutcome::Interrupted, None)?;
        Ok(())
    }

    fn reply(&self, reply: Reply) {
        let _ = self.teller.0.send(reply);
    }

    async fn plan(&mut self, request: PlanRequest) -> Result<Reply, Failure> {
        let patience = Duration::from_secs(request.patience_s);
        self.host.set_patience(patience);
        if let Some(run) = &request.run {
            let from = self.from();
            let tell = |message| self.teller.tell(What::Step { message, fraction: None });
            self.lock = Some(Lock::take(&self.host, run, from, patience, tell).await?);
        }
        let wanted = goal::wanted(&request.goal, &self.host)?;
        let plan = Plan::make(&wanted, &self.host).await?;
        let reply = Reply::Plan {
            changes: plan.changes.clone(),
            kept: plan.kept.clone(),
            fingerprint: plan.fingerprint.clone(),
            wants: blobs::missing(&plan.blobs, self.bundle),
        };
        if request.run.is_some() && plan.changes.is_empty() {
            self.nothing_to_do(&request.goal, &plan)?;
        }
        self.planned = Some((request, wanted, plan));
        Ok(reply)
    }

    /// The end of what would have been a run: what is hwctl's no more is forgotten.
    fn nothing_to_do(&self, goal: &Goal, plan: &Plan) -> Result<()> {
        if !plan.settled.is_empty() {
            let mut manifest = Manifest::load(&self.host)?;
            manifest.forget(&plan.settled);
            manifest.save(&self.host)?;
        }
        leave(goal, &self.host)
    }

    /// Who holds the host does not matter to those who only look at its journal.
    fn history(&self) -> Result<Reply> {
        let mut runs = journal::runs(&self.host, Lock::is_held(&self.host))?;
        runs.reverse();
        Ok(Reply::History { runs })
    }

    /// Where the session comes from, for the lock and the journal.
    fn from(&self) -> Option<String> {
        self.connection.as_ref().map(|known| known.client.to_string())
    }

    async fn apply(
        &mut self,
        fingerprint: &str,
        operator_is_gone: impl Fn() -> bool,
    ) -> Result<Reply, Failure> {
        let Some((request, wanted, plan)) = self.planned.take() else {
            return Err(anyhow!("there is no plan to apply").into());
        };
        let Some(run) = &request.run else {
            return Err(anyhow!("the plan was made only to be looked at").into());
        };
        if plan.fingerprint != fingerprint {
            return Err(anyhow!("the plan to apply is not the one that was shown").into());
        }
        Manifest::settle(&self.host)?;
        let mut journal = Journal::begin(&self.host, run, self.from())?;
        self.teller.tell(What::RunBegan { run: journal.id().to_owned() });
        let applied = apply::apply(
            &wanted,
            &plan,
            &mut journal,
            &self.host,
            &self.teller,
            &self.current,
            operator_is_gone,
        );
        let applied = applied.await;
        self.current.set(None);
        self.run = Some(Run { journal, goal: request.goal, settled: plan.settled.clone() });
        let applied = match applied {
            Ok(()) => self.require_nothing_left(&wanted, &plan).await,
            Err(error) => Err(error.into()),
        };
        match applied {
            Ok(()) => {
                let _ = fs::remove_dir_all(blobs::folder());
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
        apply::undo(&run.journal, &self.host, &self.teller).await?;
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
            if outcome != RunOutcome::Undone {
                let mut manifest = Manifest::load(&self.host)?;
                manifest.take_in(journal.entries(), is_whole);
                if is_whole {
                    manifest.forget(&settled);
                }
                manifest.save(&self.host)?;
            }
            journal.end(&self.host, outcome, why)?;
            if is_whole {
                leave(&goal, &self.host)?;
            }
        }
        self.lock = None;
        Ok(Reply::Closed)
    }

    /// The fingerprint of the certificate that the stack serves.
    fn certificate(&self, wanted: &Wanted) -> Option<String> {
        wanted.declared.iter().find_map(|step| {
            let Resource::Certificate(certificate) = &step.resource else { return None };
            let pem = fs::read(self.host.path(&certificate.certificate)).ok()?;
            let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
            Some(sha256(&pem.contents))
        })
    }
}
