//! The engine of one host as the operator's side sees it: a request, events, an answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use openssh::Session;
use tokio::io::AsyncReadExt as _;

use super::bootstrap::{self, Child};
use super::ssh::Target;
use crate::engine::Service;
use crate::engine::protocol::{
    CHUNK, PlanRequest, Reply, Request, Restart, read_frame, write_frame,
};
use crate::event::{self, What};
use crate::failure::{Exit, Failure};
use crate::resource::{Blob, Facts};

/// Hears what happens on the host.
pub type Tell<'a> = &'a (dyn Fn(What) + Send + Sync);

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    target: Target,
    child: Child,
    // Kept open: the engine's channel belongs to it.
    session: Arc<Session>,
    /// What the host is.
    pub facts: Facts,
    /// Where hwctl's binary is on the host.
    pub binary: PathBuf,
}

/// What the engine answers to a plan request.
#[derive(Debug)]
pub struct Planned {
    /// The changes, in order.
    pub changes: Vec<event::Planned>,
    /// Of the state that it was made from.
    pub fingerprint: String,
    /// Blobs that it wants before it can apply the plan.
    pub wants: Vec<Blob>,
}

impl Engine {
    /// Connects and starts it.
    pub async fn start(target: &Target, tell: Tell<'_>) -> Result<Self, Failure> {
        tell(What::Step { message: "connecting".to_owned(), fraction: None });
        let session = target.connect(tell).await?;
        let step = |message, fraction| tell(What::Step { message, fraction });
        let child = bootstrap::start(&session, target, step).await?;
        let binary = bootstrap::host_path(target)?;
        let target = target.clone();
        let facts = Facts::unknown();
        let mut engine = Self { target, child, session, facts, binary };
        match engine.answer(tell).await? {
            Reply::Hello { facts } => engine.facts = facts,
            other => return Err(engine.nonsense(&other)),
        }
        Ok(engine)
    }

    /// Asks for a plan.
    pub async fn plan(&mut self, request: PlanRequest, tell: Tell<'_>) -> Result<Planned, Failure> {
        self.send(&Request::Plan(request)).await?;
        match self.answer(tell).await? {
            Reply::Plan { changes, fingerprint, wants } => {
                Ok(Planned { changes, fingerprint, wants })
            }
            other => Err(self.nonsense(&other)),
        }
    }

    /// Sends a blob from a local file.
    pub async fn send_blob(
        &mut self,
        blob: &Blob,
        path: &Path,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut file = tokio::fs::File::open(path)
            .await
            .with_context(|| format!("cannot open `{}`", path.display()))?;
        let mut sent = 0_u64;
        loop {
            let mut bytes = vec![0; CHUNK];
            let mut filled = 0;
            while filled < bytes.len() {
                let read = file.read(&mut bytes[filled..]).await;
                let read = read.with_context(|| format!("cannot read `{}`", path.display()))?;
                if read == 0 {
                    break;
                }
                filled += read;
            }
            bytes.truncate(filled);
            sent += filled as u64;
            let last = filled < CHUNK;
            self.send(&Request::Chunk { key: blob.key.clone(), bytes, last }).await?;
            let fraction = Some(sent as f32 / blob.size.max(1) as f32);
            let message = format!("sending {name} ({:.1} MB)", blob.size as f64 / 1e6);
            tell(What::Step { message, fraction });
            if last {
                return Ok(());
            }
        }
    }

    /// Carries the plan out. The run then waits to be kept or undone; the fingerprint of the
    /// served certificate is given, when the stack has one.
    pub async fn apply(
        &mut self,
        fingerprint: String,
        tell: Tell<'_>,
    ) -> Result<Option<String>, Failure> {
        self.send(&Request::Apply { fingerprint }).await?;
        match self.answer(tell).await? {
            Reply::Applied { certificate } => Ok(certificate),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Ends the run for good.
    pub async fn keep(&mut self, tell: Tell<'_>) -> Result<(), Failure> {
        self.close(&Request::Keep, tell).await
    }

    /// Takes the run back.
    pub async fn undo(&mut self, why: &str, tell: Tell<'_>) -> Result<(), Failure> {
        self.close(&Request::Undo { why: why.to_owned() }, tell).await
    }

    async fn close(&mut self, request: &Request, tell: Tell<'_>) -> Result<(), Failure> {
        self.send(request).await?;
        match self.answer(tell).await? {
            Reply::Closed => Ok(()),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Restarts a service; the fingerprint of the served certificate is given.
    pub async fn restart(&mut self, restart: Restart, tell: Tell<'_>) -> Result<String, Failure> {
        self.send(&Request::Restart(restart)).await?;
        match self.answer(tell).await? {
            Reply::Restarted { certificate } => Ok(certificate),
            other => Err(self.nonsense(&other)),
        }
    }

    /// The last lines of a service's log, oldest first.
    pub async fn last_words(
        &mut self,
        service: Service,
        lines: usize,
        tell: Tell<'_>,
    ) -> Result<Vec<String>, Failure> {
        self.send(&Request::LastWords { service, lines }).await?;
        match self.answer(tell).await? {
            Reply::Lines(lines) => Ok(lines),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Ends the session.
    pub async fn hang_up(mut self) {
        drop(self.child.stdin().take());
        // The engine ends with its input; a host that is gone is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.child.wait()).await;
        if let Some(session) = Arc::into_inner(self.session) {
            let _ = session.close().await;
        }
    }

    async fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let sent = match self.child.stdin().as_mut() {
            Some(stdin) => write_frame(stdin, request).await,
            None => Err(anyhow::anyhow!("the session is closed")),
        };
        match sent {
            Ok(()) => Ok(()),
            Err(error) => Err(self.lost(&format!("{error:#}")).await),
        }
    }

    /// The next answer; events on the way are told.
    async fn answer(&mut self, tell: Tell<'_>) -> Result<Reply, Failure> {
        loop {
            let reply = match self.child.stdout().as_mut() {
                Some(stdout) => read_frame::<Reply>(stdout).await,
                None => Ok(None),
            };
            match reply {
                Ok(Some(Reply::Event(what))) => tell(what),
                Ok(Some(Reply::Failed { failure })) => return Err(failure),
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => return Err(self.lost("the engine's stream ends").await),
                Err(error) => return Err(self.lost(&format!("{error:#}")).await),
            }
        }
    }

    /// The engine is gone: its last words on standard error say why.
    async fn lost(&mut self, why: &str) -> Failure {
        let mut told = String::new();
        if let Some(mut stderr) = self.child.stderr().take() {
            let read = stderr.read_to_string(&mut told);
            let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
        }
        let last = told.lines().map(str::trim).rfind(|line| !line.is_empty());
        Failure::new(Exit::Unreachable, format!("lost `{}` during the run", self.target.name))
            .why(last.unwrap_or(why))
            .not_done("what was under way is unknown; the host's journal has it")
            .hint("run again: a run finishes what an interrupted one has begun")
    }

    fn nonsense(&self, reply: &Reply) -> Failure {
        // Only the kind of the reply: its content may be long.
        let kind = format!("{:?}", std::mem::discriminant(reply));
        Failure::new(
            Exit::Failed,
            format!("the engine on `{}` gives a wrong answer", self.target.name),
        )
        .why(kind)
    }
}
