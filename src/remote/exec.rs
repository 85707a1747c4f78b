//! Commands on a host over ssh: lines as they come, or a terminal of one's own.

use std::process::Stdio;
use std::sync::Arc;

use openssh::Stdio as RemoteStdio;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};

use super::bootstrap;
use super::engine::Tell;
use super::interrupt;
use super::ssh::Target;
use crate::event::What;
use crate::failure::{Exit, Failure};

/// A line longer than this is told in parts.
const MAX_LINE: usize = 64 << 10;

/// Runs a program with its arguments as they are; no shell of the host's looks at them. What it
/// prints is told, its exit code returned; none when a signal ended it.
pub async fn exec(
    target: &Target,
    command: &[String],
    sudo: bool,
    tell: Tell<'_>,
) -> Result<Option<i32>, Failure> {
    tell(What::Step { message: "connecting".to_owned(), fraction: None });
    let connection = interrupt::or_stopped(target.connect(tell)).await?;
    tell(What::Asking);
    let mut words = command.to_vec();
    if sudo {
        words.splice(0..0, bootstrap::root_words(target));
    }
    let failed = |error: openssh::Error| {
        target.unreachable("ssh starts no command there").why(error.to_string())
    };
    let mut child = Arc::clone(&connection.session)
        .arc_raw_command(quoted(&words)?)
        .stdin(RemoteStdio::piped())
        .stdout(RemoteStdio::piped())
        .stderr(RemoteStdio::piped())
        .spawn()
        .await
        .map_err(failed)?;
    if let (true, Some(mut stdin)) = (sudo, child.stdin().take()) {
        let _ = stdin.write_all(&bootstrap::password_line(target)).await;
    }
    drop(child.stdin().take());
    let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
    let ended = interrupt::or_stopped(async {
        tokio::join!(lines(stdout, false, tell), lines(stderr, true, tell));
        match child.wait().await {
            Ok(status) => Ok(status.code()),
            // So the library says that the shell found no such command.
            Err(openssh::Error::Remote(_)) => Ok(Some(127)),
            Err(openssh::Error::RemoteProcessTerminated) => Ok(None),
            Err(error) => {
                let what = format!("lost `{}` while the command ran", target.name);
                Err(Failure::new(Exit::Unreachable, what).why(error.to_string()))
            }
        }
    });
    let code = ended.await?;
    connection.close().await;
    Ok(code)
}

async fn lines(stream: Option<impl AsyncRead + Unpin>, is_error: bool, tell: Tell<'_>) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::with_capacity(MAX_LINE, stream);
    let mut line = Vec::new();
    loop {
        let Ok(bytes) = reader.fill_buf().await else { return };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let is_over = bytes.is_empty();
        let taken = end.map_or(bytes.len(), |end| end + 1);
        line.extend_from_slice(&bytes[..end.unwrap_or(taken)]);
        reader.consume(taken);
        if end.is_some() || line.len() >= MAX_LINE || (is_over && !line.is_empty()) {
            let text = String::from_utf8_lossy(&line);
            let text = text.strip_suffix('\r').unwrap_or(&text).to_owned();
            tell(What::Output { is_error, text });
            line.clear();
        }
        if is_over {
            return;
        }
    }
}

/// One line for the login shell that gives these words and no others.
fn quoted(words: &[String]) -> Result<String, Failure> {
    shlex::try_join(words.iter().map(String::as_str))
        .map_err(|_| Failure::usage("a word of the command holds a zero byte"))
}

impl Target {
    /// ssh itself, on this process's terminal: a login, or a command where there is one.
    /// `terminal` asks for one on the host, too.
    pub fn ssh(
        &self,
        command: &[String],
        terminal: bool,
    ) -> Result<std::process::Command, Failure> {
        let mut ssh = std::process::Command::new("ssh");
        ssh.args(self.arguments()?);
        if terminal {
            ssh.arg("-t");
        }
        ssh.args(["--", &self.address]);
        if !command.is_empty() {
            ssh.arg(quoted(command)?);
        }
        ssh.stdin(Stdio::inherit());
        Ok(ssh)
    }
}
