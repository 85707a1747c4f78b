//! One session of the engine: hello, then requests until the operator's side hangs up.

use std::cell::Cell;
use std::fs;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::apply::{self, Teller};
use super::facts::{self, Connection};
use super::journal::Journal;
use super::lock::Lock;
use super::plan::Plan;
use super::protocol::{
    CLIENT_GREETING, ENGINE_GREETING, PlanRequest, Reply, Request, Restart, RunInfo, read_frame,
    write_frame,
};
use crate::event::What;
use crate::failure::{Exit, Failure};
use crate::resource::{Blob, Declared, Host, Resource, fingerprint, sha256};

/// What the binary carries for the host: bytes by the key of their blob.
#[derive(Clone, Copy, Debug)]
pub struct Bundle {
    /// The key of the API binary's blob.
    pub key: &'static str,
    /// The number of its bytes.
    pub size: u64,
    /// Its bytes, compressed with gzip.
    pub gzip: &'static [u8],
}

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

struct Session {
    teller: Teller,
    connection: Option<Connection>,
    bundle: Option<Bundle>,
    /// The change that is under way, for progress.
    current: Rc<Cell<Option<usize>>>,
    host: Host,
    planned: Option<(PlanRequest, Plan)>,
    journal: Option<Journal>,
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
            journal: None,
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
        let open = move |blob: &Blob| open_blob(blob, bundle);
        Host::new("/", Box::new(open), Box::new(progress))
    }

    async fn run(&mut self, mut requests: UnboundedReceiver<Result<Request>>) -> Result<()> {
        let facts = facts::gather(&self.host, self.connection.as_ref()).await?;
        self.reply(Reply::Hello { facts });
        while let Some(request) = requests.recv().await {
            let answer = match request? {
                Request::Plan(request) => self.plan(request).await.map(Some),
                Request::Chunk { key, bytes, last } => {
                    keep_chunk(&self.host, &key, &bytes, last).map(|()| None).map_err(Into::into)
                }
                Request::Apply { fingerprint } => {
                    self.apply(&fingerprint, || requests.is_closed()).await.map(Some)
                }
                Request::Keep => self.close("kept").map(Some).map_err(Into::into),
                Request::Undo { why } => self.undo(&why).await.map(|()| Some(Reply::Closed)),
                Request::Restart(restart) => self.restart(&restart).await.map(Some),
                Request::LastWords { service, lines } => {
                    let words = service.last_words(&self.host, lines).await;
                    words.map(|lines| Some(Reply::Lines(lines))).map_err(Into::into)
                }
            };
            match answer {
                Ok(Some(reply)) => self.reply(reply),
                Ok(None) => {}
                Err(failure) => self.reply(Reply::Failed { failure }),
            }
        }
        if let Some(journal) = &self.journal {
            journal.end("interrupted")?;
        }
        Ok(())
    }

    fn reply(&self, reply: Reply) {
        let _ = self.teller.0.send(reply);
    }

    async fn plan(&mut self, request: PlanRequest) -> Result<Reply, Failure> {
        let patience = Duration::from_secs(request.patience_s);
        self.host.set_patience(patience);
        if let Some(run) = &request.run {
            self.lock(run, patience).await?;
        }
        let plan = Plan::make(&request.declared, &self.host).await?;
        let reply = Reply::Plan {
            changes: plan.changes.clone(),
            fingerprint: plan.fingerprint.clone(),
            wants: self.missing_blobs(&plan),
        };
        self.planned = Some((request, plan));
        Ok(reply)
    }

    /// Takes the host's lock for this session, if it has not got it.
    async fn lock(&mut self, run: &RunInfo, patience: Duration) -> Result<()> {
        if self.lock.is_none() {
            let tell = |message| self.teller.tell(What::Step { message, fraction: None });
            let lock = Lock::take(&self.host, run, self.from(), patience, tell).await?;
            self.lock = Some(lock);
        }
        Ok(())
    }

    async fn restart(&mut self, restart: &Restart) -> Result<Reply, Failure> {
        self.lock(&restart.run, Duration::from_secs(restart.patience_s)).await?;
        restart.service.restart(&self.host).await?;
        let certificate = fingerprint(&self.host.path(&restart.certificate))?;
        Ok(Reply::Restarted { certificate })
    }

    /// Where the session comes from, for the lock and the journal.
    fn from(&self) -> Option<String> {
        self.connection.as_ref().map(|known| known.client.to_string())
    }

    fn missing_blobs(&self, plan: &Plan) -> Vec<Blob> {
        let mut missing: Vec<Blob> = Vec::new();
        for blob in &plan.blobs {
            let bundled = self.bundle.is_some_and(|bundle| bundle.key == blob.key);
            let stored = fs::metadata(blob_path(&blob.key)).is_ok_and(|m| m.len() == blob.size);
            if !bundled && !stored && !missing.contains(blob) {
                missing.push(blob.clone());
            }
        }
        missing
    }

    async fn apply(
        &mut self,
        fingerprint: &str,
        operator_is_gone: impl Fn() -> bool,
    ) -> Result<Reply, Failure> {
        let Some((request, plan)) = self.planned.take() else {
            return Err(anyhow!("there is no plan to apply").into());
        };
        let Some(run) = &request.run else {
            return Err(anyhow!("the plan was made only to be looked at").into());
        };
        if plan.fingerprint != fingerprint {
            return Err(anyhow!("the plan to apply is not the one that was shown").into());
        }
        let from = self.from();
        let mut journal = Journal::begin(&self.host, run, from)?;
        let applied = apply::apply(
            &request.declared,
            &plan,
            &mut journal,
            &self.host,
            &self.teller,
            &self.current,
            operator_is_gone,
        );
        let applied = applied.await;
        self.current.set(None);
        self.journal = Some(journal);
        let applied = match applied {
            Ok(()) => self.require_nothing_left(&request.declared).await,
            Err(error) => Err(error.into()),
        };
        match applied {
            Ok(()) => {
                let _ = fs::remove_dir_all(blob_folder());
                Ok(Reply::Applied { certificate: self.certificate(&request.declared) })
            }
            Err(failure) if request.keep_on_failure => {
                self.close("failed, left as it was")?;
                Err(failure.not_done("the run was not undone (`--keep-on-failure`)"))
            }
            Err(failure) => Err(self.undo_after(failure).await),
        }
    }

    /// The law of a run: once applied, a plan of the same is empty.
    async fn require_nothing_left(&self, declared: &[Declared]) -> Result<(), Failure> {
        let plan = Plan::make(declared, &self.host).await?;
        let Some(first) = plan.changes.first() else { return Ok(()) };
        let ids: Vec<_> = plan.changes.iter().map(|c| c.change.id.to_string()).collect();
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
            Ok(()) => Failure { exit: Exit::Undone, ..failure },
            Err(second) => second
                .why
                .iter()
                .fold(failure.why(second.what), super::super::failure::Failure::why),
        }
    }

    async fn undo(&mut self, why: &str) -> Result<(), Failure> {
        let Some(journal) = &self.journal else {
            return Err(anyhow!("there is no run to undo").into());
        };
        apply::undo(journal, &self.host, &self.teller).await?;
        self.close(&format!("undone: {why}"))?;
        Ok(())
    }

    fn close(&mut self, outcome: &str) -> Result<Reply> {
        if let Some(journal) = self.journal.take() {
            journal.end(outcome)?;
        }
        self.lock = None;
        Ok(Reply::Closed)
    }

    /// The fingerprint of the certificate that the stack serves.
    fn certificate(&self, declared: &[Declared]) -> Option<String> {
        declared.iter().find_map(|declared| {
            let Resource::Certificate(certificate) = &declared.resource else { return None };
            fingerprint(&self.host.path(&certificate.certificate)).ok()
        })
    }
}

fn blob_folder() -> PathBuf {
    PathBuf::from("/var/lib/hwctl/blobs")
}

fn blob_path(key: &str) -> PathBuf {
    blob_folder().join(key)
}

fn open_blob(blob: &Blob, bundle: Option<Bundle>) -> Result<Box<dyn Read + Send>> {
    if let Some(bundle) = bundle.filter(|bundle| bundle.key == blob.key) {
        return Ok(Box::new(flate2::read::GzDecoder::new(Cursor::new(bundle.gzip))));
    }
    let path = blob_path(&blob.key);
    let file = fs::File::open(&path).with_context(|| format!("open `{}`", path.display()))?;
    Ok(Box::new(file))
}

/// Adds a chunk to a blob; the last one gives it its name.
fn keep_chunk(host: &Host, key: &str, bytes: &[u8], last: bool) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::DirBuilderExt as _;

    let is_key = key.len() < 80 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_key {
        return Err(anyhow!("`{key}` is not the key of a blob"));
    }
    let folder = host.path(&blob_folder());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let part = folder.join(format!("{key}.part"));
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&part)?;
    file.write_all(bytes).with_context(|| format!("write `{}`", part.display()))?;
    if !last {
        return Ok(());
    }
    if key.len() == 64 && sha256(&fs::read(&part)?) != key {
        fs::remove_file(&part)?;
        return Err(anyhow!("a blob arrived broken: its hash is not `{key}`"));
    }
    fs::rename(&part, folder.join(key)).with_context(|| format!("store blob `{key}`"))
}
