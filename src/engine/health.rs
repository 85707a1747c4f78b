//! What the API says of its own health, asked at its socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// Status and body, without nginx.
pub(super) async fn health(socket: &Path) -> Result<(u16, String)> {
    timeout(PATIENCE, ask(socket))
        .await
        .map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))?
}

async fn ask(socket: &Path) -> Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket).await.context("connect to its socket")?;
    let request = "GET /flask/api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else { bail!("it does not speak HTTP") };
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.trim().chars().take(300).collect()))
}
