//! Whether a service answers once it has started, and how it is stopped without losing what a web server has in hand.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use super::Unit;
use super::nginx_reload::wait_for_old_workers;
use crate::resource::host::Host;
use crate::resource::host::units::{block, field};

/// How many answers in a row count: one alone may come from a program that is about to end.
const ANSWERS: u8 = 3;
/// How long is waited between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
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

impl Unit {
    /// Waits until the unit answers. Fails early if it ends.
    pub(super) async fn require_health(&self, host: &Host) -> Result<()> {
        let Some(health) = &self.health else { return Ok(()) };
        host.progress(None, format!("waiting for {} to answer", self.name));
        let deadline = Instant::now() + Duration::from_secs(health.timeout_s.into());
        let mut answers = 0;
        loop {
            let answered = match timeout(ANSWER_TIMEOUT, health.ask(host)).await {
                Ok(answered) => answered,
                Err(_) => Err(anyhow!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
            };
            answers = if answered.is_ok() { answers + 1 } else { 0 };
            if answers == ANSWERS {
                return Ok(());
            }
            host.forget();
            let state = field(&block(host, &self.name).await?, "ActiveState").to_owned();
            let has_ended = matches!(state.as_str(), "failed" | "inactive");
            if let Err(error) = answered
                && (has_ended || Instant::now() > deadline)
            {
                return self.unhealthy(health, &error, has_ended, host).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn unhealthy(
        &self,
        health: &Health,
        error: &anyhow::Error,
        has_ended: bool,
        host: &Host,
    ) -> Result<()> {
        let what = match has_ended {
            true => format!("`{}` ended before it answered {}", self.name, health.path),
            false => format!(
                "`{}` does not answer {} within {} s: {error:#}",
                self.name, health.path, health.timeout_s
            ),
        };
        self.failed(what, host).await
    }

    /// Waits for the requests that a web server has in hand, for a service that answers such.
    pub(super) async fn drain(&self, host: &Host) {
        if self.health.is_some() {
            host.progress(None, format!("waiting for the last requests to {}", self.name));
            wait_for_old_workers(DRAIN_TIMEOUT).await;
        }
    }
}

impl Health {
    async fn ask(&self, host: &Host) -> Result<()> {
        match &self.address {
            HealthAddress::Port(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).await;
                ask(stream.with_context(|| format!("connect to port {port}"))?, &self.path).await
            }
            HealthAddress::Socket(path) => {
                let stream = UnixStream::connect(host.path(path)).await;
                let stream = stream.with_context(|| format!("connect to `{}`", path.display()))?;
                ask(stream, &self.path).await
            }
        }
    }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: hwctl\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.context("ask")?;
    let mut head = Vec::new();
    // The status line: `HTTP/1.1 200 OK`.
    stream.take(64).read_to_end(&mut head).await.context("read the answer")?;
    let head = String::from_utf8_lossy(&head);
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse::<u16>().ok());
    match status.filter(|_| head.starts_with("HTTP/1.")) {
        Some(200..=399) => Ok(()),
        Some(status) => bail!("it answers {status}"),
        None if head.is_empty() => bail!("it closes the connection without an answer"),
        None => bail!("it does not speak HTTP/1.1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(answer: &'static [u8]) -> Result<()> {
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
        for (answer, says) in [
            (&b"HTTP/1.1 500 Internal Server Error\r\n\r\n"[..], "answers 500"),
            (b"", "without an answer"),
            (b"SSH-2.0-OpenSSH\r\n", "does not speak"),
        ] {
            let error = answered(answer).await.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
