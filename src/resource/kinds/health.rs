//! Whether a service answers once it has started, and how it is stopped without losing what a web server has in hand.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
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
            let answered = match timeout(ANSWER_TIMEOUT, self.ask(host)).await {
                Ok(answered) => answered,
                Err(_) => Err(anyhow!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
            };
            answers = if answered.is_ok() { answers + 1 } else { 0 };
            if answers == ANSWERS {
                return Ok(Readiness::Ready);
            }
            if let Err(error) = answered {
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
    pub async fn ask(&self, host: &Host) -> Result<()> {
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
