//! What the API says of its own health, asked at its socket.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// The longest answer that makes sense, in bytes.
const MAX_ANSWER: u64 = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an API that is not ready is asked again: it finds a Redis that was restarted anew.
const AGAIN: Duration = Duration::from_secs(2);

/// Status and body, without nginx.
pub(super) async fn health(socket: &Path) -> Result<(u16, String)> {
    let start = Instant::now();
    loop {
        let answer = timeout(PATIENCE, ask(socket, "/flask/api/health")).await;
        let answer = answer.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))??;
        if answer.0 != 503 || start.elapsed() > AGAIN {
            return Ok((answer.0, answer.1.chars().take(300).collect()));
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Status and body of one answer of the API.
pub(super) async fn ask(socket: &Path, path: &str) -> Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket).await.context("connect to its socket")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else { bail!("it does not speak HTTP") };
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.trim().to_owned()))
}
