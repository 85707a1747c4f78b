//! Commands on a host over ssh: lines as they come, or a terminal of one's own.

use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use super::connection::Input;
use super::engine::Emit;
use super::interrupt;
use super::ssh::Target;
use super::sudo::{self, Gate, Progress, READY};
use crate::event::EventKind;
use crate::failure::{Exit, Failure};

/// A line longer than this is told in parts.
const MAX_LINE: usize = 64 << 10;

/// Runs a program with its arguments as they are; no shell of the host's looks at them. What it
/// prints is told, its exit code returned; none when a signal ended it.
pub async fn exec(
    target: &Target,
    command: &[String],
    sudo: bool,
    emit: Emit<'_>,
) -> Result<Option<i32>, Failure> {
    emit(EventKind::Step { message: "connecting".to_owned(), fraction: None });
    let connection = interrupt::or_stopped(target.connect(emit)).await?;
    emit(EventKind::Asking);
    let asks = sudo && target.become_password.is_some();
    let mut words = command.to_vec();
    if asks {
        // The program must get none of what sudo may read, so its start has to be known.
        let wait = format!("echo {READY} >&2; exec \"$@\"");
        words.splice(0..0, ["sh".to_owned(), "-c".to_owned(), wait, "sh".to_owned()]);
    }
    if sudo {
        words.splice(0..0, sudo::words(target));
    }
    let mut child = connection.start(target, &line(&words)?).await?;
    let mut stdin = child.stdin.take();
    let (stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    if asks && let Some(stderr) = &mut stderr {
        interrupt::or_stopped(pass_sudo(target, &mut stdin, stderr)).await?;
    }
    drop(stdin);
    let ended = interrupt::or_stopped(async {
        tokio::join!(emit_lines(stdout, false, emit), emit_lines(stderr, true, emit));
        child.wait().await.map_err(|why| {
            let what = format!("lost `{}` while the command ran", target.name);
            Failure::new(Exit::Unreachable, what).why(why)
        })
    });
    let code = ended.await?;
    connection.close().await;
    Ok(code)
}

async fn emit_lines(stream: Option<impl AsyncRead + Unpin>, is_error: bool, emit: Emit<'_>) {
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
            emit(EventKind::Output { is_error, text });
            line.clear();
        }
        if is_over {
            return;
        }
    }
}

/// Waits until sudo has started the program, and gives it the password if it asks.
async fn pass_sudo(
    target: &Target,
    stdin: &mut Option<Input>,
    stderr: &mut (impl AsyncRead + Unpin),
) -> Result<(), Failure> {
    let mut gate = Gate::new(target);
    let mut line = Vec::new();
    // Byte by byte: what follows is the program's own.
    loop {
        let byte = stderr.read_u8().await;
        let is_refused = match &byte {
            Ok(b'\n') if line.ends_with(READY.as_bytes()) => return Ok(()),
            Ok(byte) => {
                if *byte == b'\n' {
                    line.clear();
                } else {
                    line.push(*byte);
                }
                gate.hear(&[*byte], stdin).await == Progress::Wrong || !gate.is_open()
            }
            Err(_) => true,
        };
        if is_refused {
            drop(stdin.take());
            let told = gate.rest(stderr).await;
            return Err(gate.refusal(&told, ""));
        }
    }
}

/// One line for the login shell that starts this program with these arguments.
///
/// Shells differ in what they make of quotes: to csh a `!` is special inside them too, to fish a
/// backslash is. So whatever is not plain in all shells travels as base64, and sh runs it.
fn line(words: &[String]) -> Result<String, Failure> {
    let quoted = shlex::try_join(words.iter().map(String::as_str))
        .map_err(|_| Failure::usage("an argument of the command contains a zero byte"))?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " /._-".contains(c);
    if quoted.chars().all(is_plain) {
        return Ok(format!("sh -c 'exec {quoted}'"));
    }
    let encoded = BASE64_STANDARD.encode(format!("exec {quoted}"));
    Ok(format!("sh -c 'eval \"$(echo {encoded} | base64 -d)\"'"))
}

impl Target {
    /// ssh itself, on this process's terminal: a login, or a command where there is one. On this machine a shell.
    /// `terminal` asks for one on the host, too.
    pub fn ssh(
        &self,
        command: &[String],
        terminal: bool,
    ) -> Result<std::process::Command, Failure> {
        if self.is_here {
            let mut shell = std::process::Command::new("sh");
            match command {
                [] => shell.args(["-c", "exec \"${SHELL:-sh}\" -l"]),
                command => shell.args(["-c", &line(command)?]),
            };
            return Ok(shell);
        }
        let mut ssh = std::process::Command::new("ssh");
        ssh.args(self.arguments()?);
        if terminal {
            ssh.arg("-t");
        }
        ssh.args(["--", &self.address]);
        if !command.is_empty() {
            ssh.arg(line(command)?);
        }
        ssh.stdin(Stdio::inherit());
        Ok(ssh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_program_through_every_shell() {
        let all: &[&[&str]] = &[
            &[
                "printf", "%s|", "x!y", "!!", "a  b", "$HOME", "it's", "\\", "a\nb", "*", "~",
                "{a,b}", "",
            ],
            &["printf", "%s|", "plain", "/a/b.c", "-x"],
        ];
        for words in all {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let line = line(&words).unwrap();
            // Nothing in it means anything to csh or fish but the single quotes.
            assert_eq!(line.matches('\'').count(), 2, "{line}");
            assert!(!line.contains(['!', '\\', '\n']), "{line}");

            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();

            let expected = words[2..].join("|") + "|";
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        }
    }
}
