//! A connection to a host, in which its shell starts programs: by ssh, or none where the host is this machine.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use openssh::Session;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Command;

use super::ssh::Target;
use crate::failure::Failure;

/// The input of a program on the host.
pub(super) type Input = Box<dyn AsyncWrite + Send + Sync + Unpin>;
/// The output of a program on the host.
pub(super) type Output = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// A connection to a host.
#[derive(Debug)]
pub(super) struct Connection {
    way: Way,
    /// Whether it was kept by an earlier command.
    pub(super) is_old: bool,
    /// Whether it stays for the next command.
    stays: bool,
}

#[derive(Debug)]
enum Way {
    Ssh(Arc<Session>),
    /// The host is this machine.
    Here,
}

/// A program that runs on the host.
pub(super) struct Child {
    pub(super) stdin: Option<Input>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
    process: Process,
}

enum Process {
    Ssh(openssh::Child<Arc<Session>>),
    Here(tokio::process::Child),
}

impl Connection {
    /// The connection to this machine, which needs no ssh.
    pub(super) fn here() -> Self {
        Self { way: Way::Here, is_old: false, stays: false }
    }

    /// A connection by ssh that this command has opened.
    pub(super) fn new(session: Session, stays: bool) -> Self {
        Self { way: Way::Ssh(Arc::new(session)), is_old: false, stays }
    }

    /// A connection by ssh that an earlier command has kept.
    pub(super) fn kept(session: Session) -> Self {
        Self { is_old: true, ..Self::new(session, true) }
    }

    /// Starts a line of the login shell. All its streams are piped.
    pub(super) async fn start(&self, target: &Target, line: &str) -> Result<Child, Failure> {
        match &self.way {
            Way::Ssh(session) => {
                let mut command = Arc::clone(session).arc_raw_command(line);
                let piped = openssh::Stdio::piped;
                command.stdin(piped()).stdout(piped()).stderr(piped());
                let started = command.spawn().await;
                let mut child = started.map_err(|error| {
                    target.unreachable("ssh starts no command there").why(error.to_string())
                })?;
                Ok(Child {
                    stdin: child.stdin().take().map(|stream| Box::new(stream) as Input),
                    stdout: child.stdout().take().map(|stream| Box::new(stream) as Output),
                    stderr: child.stderr().take().map(|stream| Box::new(stream) as Output),
                    process: Process::Ssh(child),
                })
            }
            Way::Here => {
                let mut command = Command::new("sh");
                command.args(["-c", line]);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                // Ctrl-C is for this program, which ends the other one in its own time.
                command.process_group(0);
                let started = command.spawn();
                let mut child = started.map_err(|error| {
                    target.unreachable("no shell starts here").why(error.to_string())
                })?;
                Ok(Child {
                    stdin: child.stdin.take().map(|stream| Box::new(stream) as Input),
                    stdout: child.stdout.take().map(|stream| Box::new(stream) as Output),
                    stderr: child.stderr.take().map(|stream| Box::new(stream) as Output),
                    process: Process::Here(child),
                })
            }
        }
    }

    /// The control socket of ssh.
    pub(super) fn control_socket(&self) -> Option<&Path> {
        match &self.way {
            Way::Ssh(session) => Some(session.control_socket()),
            Way::Here => None,
        }
    }

    /// Ends it, unless it stays for the next command.
    pub(super) async fn close(self) {
        if !self.stays {
            self.end().await;
        }
    }

    /// Ends it, so that no command uses it any more.
    pub(super) async fn end(self) {
        if let Way::Ssh(session) = self.way
            && let Some(session) = Arc::into_inner(session)
        {
            let _ = session.close().await;
        }
    }
}

impl Child {
    /// Waits for its end. Returns its exit code; none when a signal ended it.
    ///
    /// # Errors
    ///
    /// The connection is lost. The error is its cause.
    pub(super) async fn wait(self) -> Result<Option<i32>, String> {
        match self.process {
            Process::Ssh(child) => match child.wait().await {
                Ok(status) => Ok(status.code()),
                // So the library says that the shell found no such command.
                Err(openssh::Error::Remote(_)) => Ok(Some(127)),
                Err(openssh::Error::RemoteProcessTerminated) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
            Process::Here(mut child) => {
                child.wait().await.map(|status| status.code()).map_err(|error| error.to_string())
            }
        }
    }
}
