//! Whether a service answers once it has started, and how it is stopped without losing what a web server has in hand.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use super::nginx_reload::wait_for_old_workers;
use crate::resource::host::Host;

/// How many answers in a row count: one alone may come from a program that is about to end.
const ANSWERS: u8 = 3;
/// How long is waited between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// As much as a status line is read for.
const STATUS_LINE_BYTES: usize = 64;
/// How long the workers of a web server may take for the requests that they have in hand.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What a service answers once it is ready: 200 to 399 to a GET request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Where it listens.
    pub address: HealthAddress,
    /// The path that is asked for.
    pub path: String,
    /// How long it may take to be ready, in seconds.
    pub timeout_s: u16,
}

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthAddress {
    /// A TCP port of the loopback.
    Port(u16),
    /// A Unix socket.
    Socket(PathBuf),
}

/// Why a service is not healthy.
#[derive(Debug)]
pub struct Unhealthy {
    /// What kind of fault it is.
    pub fault: HealthFault,
    /// What happened, for messages.
    pub error: anyhow::Error,
}

/// A kind of fault of a service that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthFault {
    /// Nothing listens there, or what does closes the connection without an answer.
    Absent,
    /// It answers with an error.
    Refusal,
    /// It answers nothing that HTTP knows, or not in time.
    Silence,
}

impl HealthFault {
    fn with(self, error: impl Into<anyhow::Error>) -> Unhealthy {
        Unhealthy { fault: self, error: error.into() }
    }
}

/// What became of a wait for a service.
pub(in crate::resource::kinds) enum Readiness {
    /// It has answered as often as it has to.
    Ready,
    /// It has ended before.
    Ended,
    /// The time is up. Says what its last answer was.
    Late(anyhow::Error),
}

impl Health {
    /// Waits until the service answers. `has_ended` says whether there is nothing left to wait for.
    pub(in crate::resource::kinds) async fn wait(
        &self,
        host: &Host,
        has_ended: impl AsyncFn() -> Result<bool>,
    ) -> Result<Readiness> {
        let deadline = Instant::now() + Duration::from_secs(self.timeout_s.into());
        let mut answers = 0;
        loop {
            let answered = self.ask(host).await;
            answers = if answered.is_ok() { answers + 1 } else { 0 };
            if answers == ANSWERS {
                return Ok(Readiness::Ready);
            }
            if let Err(Unhealthy { error, .. }) = answered {
                if has_ended().await? {
                    return Ok(Readiness::Ended);
                }
                if Instant::now() > deadline {
                    return Ok(Readiness::Late(error));
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// What failed, for a message about the service of this name.
    pub(in crate::resource::kinds) fn failure(
        &self,
        name: &str,
        late: Option<&anyhow::Error>,
    ) -> String {
        match late {
            None => format!("`{name}` ended before it answered {}", self.path),
            Some(error) => format!(
                "`{name}` does not answer {} within {} s: {error:#}",
                self.path, self.timeout_s
            ),
        }
    }
}

/// Waits for the requests to a service that a web server has in hand.
pub(in crate::resource::kinds) async fn drain(name: &str, host: &Host) {
    host.progress(None, format!("waiting for the last requests to {name}"));
    wait_for_old_workers(DRAIN_TIMEOUT).await;
}

impl Health {
    /// Asks once. The error says what came instead of a right answer.
    pub async fn ask(&self, host: &Host) -> Result<(), Unhealthy> {
        match timeout(ANSWER_TIMEOUT, self.ask_at(host)).await {
            Ok(answered) => answered,
            Err(_) => Err(HealthFault::Silence
                .with(anyhow!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        }
    }

    async fn ask_at(&self, host: &Host) -> Result<(), Unhealthy> {
        let absent = |error| HealthFault::Absent.with(error);
        match &self.address {
            HealthAddress::Port(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).await;
                let stream = stream.with_context(|| format!("connect to port {port}"));
                ask(stream.map_err(absent)?, &self.path).await
            }
            HealthAddress::Socket(path) => {
                let stream = UnixStream::connect(host.path(path)).await;
                let stream = stream.with_context(|| format!("connect to `{}`", path.display()));
                ask(stream.map_err(absent)?, &self.path).await
            }
        }
    }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<(), Unhealthy> {
    use HealthFault::{Absent, Refusal, Silence};
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: hwctl\r\nConnection: close\r\n\r\n"
    );
    let sent = stream.write_all(request.as_bytes()).await.context("ask");
    sent.map_err(|error| Silence.with(error))?;
    // The status line, `HTTP/1.1 200 OK`, is all that counts. A server may keep the connection open after it.
    let mut head = Vec::new();
    while head.len() < STATUS_LINE_BYTES && !head.contains(&b'\n') {
        let read = stream.read_buf(&mut head).await.context("read the answer");
        if read.map_err(|error| Silence.with(error))? == 0 {
            break;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse::<u16>().ok());
    match status.filter(|_| head.starts_with("HTTP/1.")) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(Refusal.with(anyhow!("it answers {status}"))),
        None if head.is_empty() => {
            Err(Absent.with(anyhow!("it closes the connection without an answer")))
        }
        None => Err(Silence.with(anyhow!("it does not speak HTTP/1.1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(answer: &'static [u8]) -> Result<(), Unhealthy> {
        let (client, mut server) = tokio::io::duplex(1024);
        let serve = async {
            let mut request = vec![0; 512];
            let length = server.read(&mut request).await.unwrap();
            server.write_all(answer).await.unwrap();
            drop(server);
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let (asked, request) = tokio::join!(ask(client, "/healthz"), serve);
        assert!(request.starts_with("GET /healthz HTTP/1.1\r\nHost: localhost\r\n"), "{request}");
        asked
    }

    #[tokio::test]
    async fn only_an_answer_without_an_error_is_health() {
        assert!(answered(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok());
        assert!(answered(b"HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n").await.is_ok());
        for (answer, fault, says) in [
            (
                &b"HTTP/1.1 500 Internal Server Error\r\n\r\n"[..],
                HealthFault::Refusal,
                "answers 500",
            ),
            (b"", HealthFault::Absent, "without an answer"),
            (b"SSH-2.0-OpenSSH\r\n", HealthFault::Silence, "does not speak"),
        ] {
            let unhealthy = answered(answer).await.unwrap_err();
            assert_eq!(unhealthy.fault, fault);
            assert!(unhealthy.error.to_string().contains(says), "{}", unhealthy.error);
        }
    }

    #[tokio::test]
    async fn an_answer_counts_though_the_connection_stays_open() {
        let (client, mut server) = tokio::io::duplex(1024);
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();

        let asked = timeout(ANSWER_TIMEOUT, ask(client, "/")).await;

        assert!(asked.expect("no wait for the end").is_ok());
        drop(server);
    }
}
