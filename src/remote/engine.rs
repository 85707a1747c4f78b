//! The engine of one host as the operator's side sees it: a request, events, an answer.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::future::{Either, select};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::connection::{Input, Output};
use super::heard;
use super::interrupt;
use super::route::Route;
use super::ssh::Target;
use super::transport::{Started, Transport};
use super::upload;
use crate::client::Pins;
use crate::engine::Examination;
use crate::engine::protocol::{
    HEARTBEAT, Reply, Request, RestartRequest, SwitchRequest, TurnRequest, Turned, write_frame,
};
use crate::event::{self, EventKind, Finding};
use crate::failure::{Exit, Failure, Page};
use crate::resource::{Blob, CertificateInfo, Facts};
use crate::spec::LogSource;

/// How long the last words of an engine that is gone are waited for.
const EXIT_OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Hears what happens on the host.
pub type Emit<'a> = &'a (dyn Fn(EventKind) + Send + Sync);

/// Where requests go; one is sent whole before the next.
pub(super) type Stdin = Mutex<Option<Input>>;

/// Sends a request whole: another one waits meanwhile.
pub(super) async fn send(stdin: &Stdin, request: &Request) -> Result<()> {
    match stdin.lock().await.as_mut() {
        Some(stdin) => write_frame(stdin, request).await,
        None => Err(anyhow!("the session is closed")),
    }
}

/// Says that this side is still there, as long as the session lasts.
async fn say_alive(stdin: Weak<Stdin>) {
    loop {
        sleep(HEARTBEAT).await;
        let Some(stdin) = stdin.upgrade() else { return };
        if send(&stdin, &Request::Alive).await.is_err() {
            return;
        }
    }
}

/// A running engine.
pub struct Engine {
    transport: Transport,
    stdin: Arc<Stdin>,
    stdout: Output,
    /// When the answer to the last request has to be there.
    answer_by: Option<Instant>,
    /// What the host is.
    pub facts: Facts,
    /// Where the host is for clients, and how they come to it.
    pub route: Route,
    /// Where hwctl's binary is on the host.
    pub binary: PathBuf,
    /// How long it took from the first packet to the engine's hello.
    pub(super) login_took: Duration,
}

impl Engine {
    /// Connects to a host and starts the engine there.
    pub async fn start(target: &Target, emit: Emit<'_>) -> Result<Self, Failure> {
        let began = Instant::now();
        interrupt::or_stopped(async {
            Self::greet(Transport::to(target, emit).await?, began, emit).await
        })
        .await
    }

    /// Starts an engine on this machine, for root.
    pub async fn here(emit: Emit<'_>) -> Result<Self, Failure> {
        let began = Instant::now();
        Self::greet(Transport::own().await?, began, emit).await
    }

    /// Hears what the host of an engine is.
    async fn greet(started: Started, began: Instant, emit: Emit<'_>) -> Result<Self, Failure> {
        let Started { transport, input, output, route, binary } = started;
        let stdin = Arc::new(Mutex::new(Some(input)));
        tokio::spawn(say_alive(Arc::downgrade(&stdin)));
        let mut engine = Self {
            transport,
            stdin,
            stdout: output,
            answer_by: Some(heard::hello_by()),
            facts: Facts::unknown(),
            route,
            binary,
            login_took: Duration::ZERO,
        };
        match engine.answer(emit).await? {
            Reply::Hello { facts } => engine.facts = facts,
            other => return Err(engine.nonsense(&other)),
        }
        engine.login_took = began.elapsed();
        let (path, took) = (engine.binary.display(), engine.login_took.as_millis());
        emit(EventKind::Trace { message: format!("`{path}` runs on the host after {took} ms") });
        Ok(engine)
    }

    /// Asks for what the host's journal has, newest first.
    pub async fn history(&mut self, emit: Emit<'_>) -> Result<Vec<event::Run>, Failure> {
        self.send(&Request::History).await?;
        match self.answer(emit).await? {
            Reply::History { runs } => Ok(runs),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Carries the plan out, and sends meanwhile what the host wants of it, from local files; the
    /// operator may stop it after the change in hand. The run then waits to be kept or undone; the
    /// certificates of the endpoints are given.
    pub async fn apply(
        &mut self,
        fingerprint: String,
        uploads: &[(Blob, PathBuf)],
        emit: Emit<'_>,
    ) -> Result<Pins, Failure> {
        upload::require_readable(uploads).await?;
        self.send(&Request::Apply { fingerprint }).await?;
        // While a change is made, that is told.
        let changing = AtomicUsize::new(0);
        let tell_of_run = |what: EventKind| {
            match &what {
                EventKind::ChangeStarted { .. } => changing.fetch_add(1, Ordering::Relaxed),
                EventKind::ChangeDone { .. } => changing.fetch_sub(1, Ordering::Relaxed),
                _ => 0,
            };
            emit(what);
        };
        let tell_of_upload = |what| {
            if changing.load(Ordering::Relaxed) == 0 {
                emit(what);
            }
        };
        let stdin = Arc::clone(&self.stdin);
        let answer = {
            let answering = pin!(self.answer_or_stop(&tell_of_run));
            let sending = pin!(upload::send(uploads, &stdin, &tell_of_upload));
            match select(answering, sending).await {
                Either::Left((answer, _)) => answer?,
                Either::Right((Ok(()), answering)) => answering.await?,
                Either::Right((Err(failure), _)) => return Err(failure),
            }
        };
        match answer {
            Reply::Applied { pins } => Ok(pins),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Ends the run for good.
    pub async fn keep(&mut self, emit: Emit<'_>) -> Result<(), Failure> {
        self.close(&Request::Keep, emit).await
    }

    /// Ends a run that failed, and leaves the host as it is.
    pub async fn leave(&mut self, why: &str, emit: Emit<'_>) -> Result<(), Failure> {
        self.close(&Request::Leave { why: why.to_owned() }, emit).await
    }

    /// Takes the run back; says what of it cannot be.
    pub async fn undo(&mut self, why: &str, emit: Emit<'_>) -> Result<Vec<String>, Failure> {
        self.send(&Request::Undo { why: why.to_owned() }).await?;
        match self.answer(emit).await? {
            Reply::Undone { left } => Ok(left),
            other => Err(self.nonsense(&other)),
        }
    }

    pub(super) async fn close(&mut self, request: &Request, emit: Emit<'_>) -> Result<(), Failure> {
        self.send(request).await?;
        match self.answer(emit).await? {
            Reply::Closed => Ok(()),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Restarts a service; the certificates of the endpoints are given.
    pub async fn restart(
        &mut self,
        asked: RestartRequest,
        emit: Emit<'_>,
    ) -> Result<Pins, Failure> {
        self.send(&Request::Restart(asked)).await?;
        match self.answer(emit).await? {
            Reply::Restarted { pins } => Ok(pins),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Takes parts out of service or back; the names of those that were not so before are given.
    pub async fn switch(
        &mut self,
        asked: SwitchRequest,
        emit: Emit<'_>,
    ) -> Result<Vec<String>, Failure> {
        self.send(&Request::Switch(asked)).await?;
        match self.answer(emit).await? {
            Reply::Switched(parts) => Ok(parts),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Gives a host behind a part no more work, or gives it some again.
    pub async fn turn(&mut self, asked: TurnRequest, emit: Emit<'_>) -> Result<Turned, Failure> {
        self.send(&Request::Turn(asked)).await?;
        match self.answer(emit).await? {
            Reply::Turned(turned) => Ok(turned),
            other => Err(self.nonsense(&other)),
        }
    }

    /// What the certificates of the host say of themselves.
    pub async fn certificates(&mut self, emit: Emit<'_>) -> Result<Vec<CertificateInfo>, Failure> {
        self.send(&Request::Certificates).await?;
        match self.answer(emit).await? {
            Reply::Certificates(all) => Ok(all),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Asks for what is wrong, the cause first.
    pub async fn examine(
        &mut self,
        asked: Examination,
        emit: Emit<'_>,
    ) -> Result<Vec<Finding>, Failure> {
        self.send(&Request::Examine(asked)).await?;
        match interrupt::or_stopped(self.answer(emit)).await? {
            Reply::Findings(findings) => Ok(findings),
            other => Err(self.nonsense(&other)),
        }
    }

    /// The last lines of a log, oldest first.
    pub async fn tail(
        &mut self,
        source: LogSource,
        lines: usize,
        emit: Emit<'_>,
    ) -> Result<Vec<String>, Failure> {
        self.send(&Request::Tail { source, lines }).await?;
        match self.answer(emit).await? {
            Reply::Lines(lines) => Ok(lines),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Ends the session and waits until the engine is gone.
    pub async fn hang_up(self) {
        drop(self.stdin.lock().await.take());
        self.transport.end().await;
    }

    /// Ends a session that leaves nothing to wait for: the engine holds no lock and has said all.
    /// It ends by itself, as its input does.
    pub async fn let_go(self) {
        drop(self.stdin.lock().await.take());
        self.transport.let_go().await;
    }

    pub(super) async fn send(&mut self, request: &Request) -> Result<(), Failure> {
        self.answer_by = heard::answer_by(request);
        match send(&self.stdin, request).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // An engine that hangs up has said why.
                let said = tokio::time::timeout(EXIT_OUTPUT_TIMEOUT, self.answer(&|_| ())).await;
                match said {
                    Ok(Err(failure)) => Err(failure),
                    _ => Err(self.lost(&format!("{error:#}")).await),
                }
            }
        }
    }

    /// The next answer; events on the way are told.
    pub(super) async fn answer(&mut self, emit: Emit<'_>) -> Result<Reply, Failure> {
        loop {
            let reply = heard::next(&mut self.stdout, self.answer_by).await;
            if let Some(reply) = self.heard(reply, emit).await? {
                return Ok(reply);
            }
        }
    }

    /// The same, for what changes nothing.
    pub(super) async fn answer_unless_stopped(&mut self, emit: Emit<'_>) -> Result<Reply, Failure> {
        interrupt::or_stopped(self.answer(emit)).await
    }

    /// The same, for a run: it ends early when the operator wants it to, and may ask for a new
    /// login.
    async fn answer_or_stop(&mut self, emit: Emit<'_>) -> Result<Reply, Failure> {
        let mut told = false;
        loop {
            let reply = {
                let mut reading = pin!(heard::next(&mut self.stdout, self.answer_by));
                loop {
                    tokio::select! {
                        reply = &mut reading => break reply,
                        () = interrupt::wanted(), if !told => {
                            told = true;
                            // A session that is gone is told by the reading.
                            let _ = send(&self.stdin, &Request::Stop).await;
                        }
                    }
                }
            };
            match self.heard(reply, emit).await? {
                Some(Reply::LogInAnew { run }) => self.log_in_anew(&run, emit).await?,
                Some(reply) => return Ok(reply),
                None => {}
            }
        }
    }

    /// An answer; none for what is only told on the way to it.
    async fn heard(
        &mut self,
        reply: Result<Option<Reply>>,
        emit: Emit<'_>,
    ) -> Result<Option<Reply>, Failure> {
        match reply {
            Ok(Some(Reply::Alive)) => {}
            Ok(Some(Reply::Event(what))) if heard::is_of_host(&what) => emit(what),
            Ok(Some(Reply::Event(_))) => {
                return Err(self.lost("the host tells of what is not its to tell").await);
            }
            Ok(Some(Reply::Failed { failure })) => return Err(heard::failure_of_host(failure)),
            Ok(Some(reply)) => return Ok(Some(reply)),
            Ok(None) => return Err(self.lost("the engine's stream ends").await),
            Err(error) => return Err(self.lost(&format!("{error:#}")).await),
        }
        Ok(None)
    }

    /// Proves by a connection of its own that the host can still be logged in to.
    async fn log_in_anew(&mut self, run: &str, emit: Emit<'_>) -> Result<(), Failure> {
        // It becomes a part of a script for the login shell.
        if run.contains(|part: char| !part.is_ascii_alphanumeric() && part != '-') {
            return Err(self.lost("the host gives its run a strange name").await);
        }
        emit(EventKind::Step {
            message: "logging in again to confirm the change".to_owned(),
            fraction: None,
        });
        match self.transport.confirm(run).await {
            Ok(()) => Ok(()),
            Err(failure) => {
                let why: Vec<_> = std::iter::once(failure.what).chain(failure.why).collect();
                self.send(&Request::LockedOut { why: why.join(": ") }).await
            }
        }
    }

    /// The engine is gone: its last words on standard error say why.
    async fn lost(&mut self, why: &str) -> Failure {
        let last = self.transport.last_line().await;
        Failure::new(Exit::Unreachable, format!("lost the connection to {}", self.transport.host()))
            .why(last.unwrap_or_else(|| why.to_owned()))
            .not_done("if a run was under way, it is not known how far it got")
            .hint("run the same command again: it finishes what an interrupted run has begun; `hwctl history` shows that run")
            .page(Page::Undo)
    }

    pub(super) fn nonsense(&self, reply: &Reply) -> Failure {
        let what = format!("the engine on {} gives a wrong answer", self.transport.host());
        // Only the kind of the reply: its content may be long.
        Failure::new(Exit::Failed, what).why(format!("{:?}", std::mem::discriminant(reply)))
    }
}
