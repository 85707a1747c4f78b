//! Load on a host's API through nginx and TLS, on connections that stay: every answer is kept.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// How many connections there are.
pub(crate) const CONNECTIONS: usize = 32;
/// After this long without an answer a request has failed.
const PATIENCE: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is loaded, and as whom.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    bearer: String,
}

impl Target {
    /// A host that is known by its certificate.
    pub(crate) fn new(address: std::net::IpAddr, certificate: &str, token: &str) -> Self {
        Self::of_many(address, &[certificate], token)
    }

    /// An address behind which one of several hosts answers, each with a certificate of its own.
    pub(crate) fn of_many(
        address: std::net::IpAddr,
        certificates: &[impl AsRef<str>],
        token: &str,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let certificate = certificate.as_ref().as_bytes();
            roots.add(CertificateDer::from_pem_slice(certificate).unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.unwrap().with_root_certificates(roots).with_no_client_auth();
        let bearer = format!("Bearer {token}");
        Self { address: (address, 443).into(), tls: Arc::new(tls), bearer }
    }

    async fn connect(&self, stage: &Stage) -> Result<SendRequest<Empty<Bytes>>, Failure> {
        stage.enter("connects");
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        stage.enter("greets by TLS");
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its end shows in the sender.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn get(
        &self,
        sender: &mut Option<SendRequest<Empty<Bytes>>>,
        path: &str,
        rested: bool,
        stage: &Stage,
    ) -> Result<(u16, Bytes), Failure> {
        stage.enter("asks on an open connection");
        let request = || {
            Request::get(path)
                .header(HOST, self.address.ip().to_string())
                .header(AUTHORIZATION, &self.bearer)
                .body(Empty::new())
        };
        let used = match sender.take() {
            None => None,
            Some(mut open) => match open.send_request(request()?).await {
                Ok(answer) => Some((open, answer)),
                // nginx may close a connection that rests: then any client opens another.
                Err(error) if error.is_canceled() => None,
                Err(error) if rested && error.is_incomplete_message() => None,
                Err(error) => return Err(error.into()),
            },
        };
        let (mut open, response) = if let Some(used) = used {
            used
        } else {
            let mut open = self.connect(stage).await?;
            stage.enter("asks on a new connection");
            let answer = open.send_request(request()?).await?;
            (open, answer)
        };
        let status = response.status().as_u16();
        let stays = response.headers().get(CONNECTION).is_none_or(|value| value != "close");
        stage.enter("reads the body");
        let body = response.into_body().collect().await?.to_bytes();
        stage.enter("waits for the end of the answer");
        // What was closed between two requests is opened anew; that loses nothing.
        *sender = (stays && open.ready().await.is_ok()).then_some(open);
        Ok((status, body))
    }
}

/// What a request does: where one hangs, this is told.
#[derive(Default)]
struct Stage(Mutex<&'static str>);

impl Stage {
    fn enter(&self, name: &'static str) {
        *self.0.lock().unwrap() = name;
    }
}

/// A request and what became of it.
pub(crate) struct Answer {
    pub(crate) path: &'static str,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// The status, or why there is none.
    pub(crate) status: Result<u16, String>,
    /// The number of visits that was acknowledged.
    pub(crate) visits: Option<u64>,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        matches!(self.status, Ok(200..300))
    }

    pub(crate) fn took(&self) -> Duration {
        self.ended - self.began
    }
}

/// Load that goes on until it is ended.
pub(crate) struct Load {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    connections: Vec<JoinHandle<Vec<Answer>>>,
}

impl Load {
    /// Starts it: the paths are dealt to the connections, and each rests between two requests.
    pub(crate) fn start(target: &Target, paths: &[&'static str], rest: Duration) -> Self {
        Self::start_with(CONNECTIONS, target, paths, rest)
    }

    /// Starts it with another number of connections.
    pub(crate) fn start_with(
        connections: usize,
        target: &Target,
        paths: &[&'static str],
        rest: Duration,
    ) -> Self {
        // One thread for a connection and who asks on it: on two, a request that is handed over at the moment at which
        // the connection ends may lie in tokio's channel between them for as long as its sender lives.
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let dealt = paths.iter().copied().cycle().take(connections);
        let connections = dealt
            .map(|path| runtime.spawn(connection(target.clone(), path, rest, Arc::clone(&stop))))
            .collect();
        Self { runtime, stop, connections }
    }

    /// Ends it, and gives all answers in the order that they came.
    pub(crate) fn end(self) -> Vec<Answer> {
        self.stop.store(true, Ordering::Relaxed);
        let mut answers = Vec::new();
        for connection in self.connections {
            answers.extend(self.runtime.block_on(connection).unwrap());
        }
        answers.sort_by_key(|answer| answer.ended);
        answers
    }
}

async fn connection(
    target: Target,
    path: &'static str,
    rest: Duration,
    stop: Arc<AtomicBool>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut sender = None;
    let stage = Stage::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let get = target.get(&mut sender, path, !rest.is_zero(), &stage);
        let got = tokio::time::timeout(PATIENCE, get).await;
        let ended = Instant::now();
        let (status, visits) = match got {
            Ok(Ok((status, body))) => (Ok(status), visits(&body)),
            Ok(Err(error)) => (Err(error.to_string()), None),
            Err(_) => (Err(format!("no answer: {}", stage.0.lock().unwrap())), None),
        };
        answers.push(Answer { path, began, ended, status, visits });
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
    answers
}

fn visits(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(body).ok()?["visits"].as_u64()
}

/// How many answers of each kind there were, for people.
pub(crate) fn told(answers: &[Answer]) -> String {
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for Answer { path, status, .. } in answers {
        let status = status.as_ref().map_or_else(Clone::clone, u16::to_string);
        *kinds.entry(format!("{path} {status}")).or_default() += 1;
    }
    format!("{kinds:?}")
}

/// Holds that no request failed.
pub(crate) fn assert_none_failed(answers: &[Answer], during: &str) {
    assert!(answers.len() > 10 * CONNECTIONS, "{during}: {}", told(answers));
    assert!(answers.iter().all(Answer::is_ok), "{during}: {}", told(answers));
}

/// Holds that each acknowledged visit has a number of its own, higher than that of all visits that
/// were acknowledged before it was asked for. Gives the highest.
pub(crate) fn assert_none_lost(answers: &[Answer]) -> u64 {
    let acknowledged = || answers.iter().filter_map(|answer| Some((answer, answer.visits?)));
    // By the time of the answer, the highest number up to then.
    let mut highest: Vec<(Instant, u64)> = Vec::new();
    for (answer, visits) in acknowledged() {
        let before = highest.last().map_or(0, |last| last.1);
        highest.push((answer.ended, before.max(visits)));
    }
    for (answer, visits) in acknowledged() {
        let known = highest.partition_point(|(ended, _)| *ended < answer.began);
        let before = known.checked_sub(1).map_or(0, |last| highest[last].1);
        assert!(visits > before, "visit {visits} comes after {before} was acknowledged");
    }
    let numbers: std::collections::HashSet<u64> =
        acknowledged().map(|(_, visits)| visits).collect();
    assert_eq!(numbers.len(), acknowledged().count(), "a number was given twice");
    highest.last().map_or(0, |last| last.1)
}
