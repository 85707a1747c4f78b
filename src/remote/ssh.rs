//! The connection: the system's own ssh, so that its configuration, agents and jump hosts work.

use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use openssh::Session;
use tokio::sync::Mutex;

use super::connection::Connection;
use super::engine::Emit;
use super::kept;
use super::login::{self, Refusal};
use super::sudo_password::SudoPassword;
use crate::event::EventKind;
use crate::failure::Failure;

/// How a host is reached.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in the inventory.
    pub name: String,
    /// Whether it is this machine, so that no ssh is needed.
    pub is_here: bool,
    /// Address, name or alias of `ssh_config`.
    pub address: String,
    /// Login name; ssh's own choice when absent.
    pub user: Option<String>,
    /// Port; ssh's own choice when absent.
    pub port: Option<u16>,
    /// Private key; ssh's own choice when absent.
    pub identity: Option<PathBuf>,
    /// Known hosts; ssh's own file when absent.
    pub known_hosts: Option<PathBuf>,
    /// Arguments of ssh in the inventory, such as `-J` and a jump host.
    pub ssh_arguments: Vec<String>,
    /// Whether the key of a host that was never seen is taken without asking.
    pub accept_new_host_key: bool,
    /// sudo on the host, and flags for it. Words that are plain to every shell.
    pub sudo: Vec<String>,
    /// The password of sudo, where it may want one.
    pub become_password: Option<SudoPassword>,
    /// The Linux build of hwctl to put on the host; this program itself when absent.
    pub host_binary: Option<PathBuf>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// For how many seconds after its last use the connection stays, for the next command; a kept
    /// one is used. When absent there is a login of its own, which ends with the command.
    pub persist: Option<NonZeroUsize>,
}

impl Target {
    /// The same host by a login of its own.
    pub(super) fn anew(&self) -> Self {
        Self { persist: None, ..self.clone() }
    }

    /// Takes the connection that an earlier command has kept, or opens one.
    pub(super) async fn connect(&self, emit: Emit<'_>) -> Result<Connection, Failure> {
        if self.is_here {
            return Ok(Connection::here());
        }
        if self.persist.is_some()
            && let Some(session) = kept::find(&kept::place(self)?).await
        {
            let message = "the connection of an earlier command is used".to_owned();
            emit(EventKind::Trace { message });
            return Ok(Connection::kept(session));
        }
        self.log_in(emit).await
    }

    async fn open(&self, emit: Emit<'_>) -> Result<Connection, Refusal> {
        let Some(seconds) = self.persist else {
            let made = login::log_in(self, None, None, emit).await?;
            return Ok(Connection::new(Session::new_native_mux(made), false));
        };
        let place = kept::place(self).map_err(Failure::from)?;
        let folder = kept::folder_of(&place);
        let made = login::log_in(self, Some(folder), Some(seconds.get()), emit).await?;
        let (session, stays) = kept::keep(made, &place);
        Ok(Connection::new(session, stays))
    }

    /// Opens a connection.
    pub(super) async fn log_in(&self, emit: Emit<'_>) -> Result<Connection, Failure> {
        let refusal = match self.open(emit).await {
            Ok(connection) => return Ok(connection),
            Err(refusal) => refusal,
        };
        let unknown = match &refusal {
            Refusal::Ssh(told) => is_key_unknown(told),
            _ => false,
        };
        if unknown && !self.accept_new_host_key && std::io::stdin().is_terminal() {
            self.ask_about_host_key(emit).await?;
            emit(EventKind::Step { message: "connecting".to_owned(), fraction: None });
            return self.open(emit).await.map_err(|refusal| self.explain(refusal, None));
        }
        let fingerprint = if unknown { self.offered_host_key().await? } else { None };
        Err(self.explain(refusal, fingerprint.as_deref()))
    }

    /// Lets ssh show the fingerprint and ask, on the terminal. Whether the key was accepted is told
    /// by the next connection. Of several hosts one is asked about at a time.
    async fn ask_about_host_key(&self, emit: Emit<'_>) -> Result<(), Failure> {
        static QUESTION: Mutex<()> = Mutex::const_new(());
        let _turn = QUESTION.lock().await;
        emit(EventKind::Asking);
        let _ = tokio::process::Command::new("ssh")
            .args(["-o", "StrictHostKeyChecking=ask", "-o", "PasswordAuthentication=no"])
            .args(["-o", "LogLevel=ERROR"])
            .args(self.arguments()?)
            .args(["--", &self.address, "true"])
            .status()
            .await;
        Ok(())
    }

    /// The fingerprint of the key that the host offers, in ssh's words.
    async fn offered_host_key(&self) -> Result<Option<String>, Failure> {
        let output = tokio::process::Command::new("ssh")
            .args(["-v", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(self.arguments()?)
            .args(["--", &self.address, "true"])
            .stdin(Stdio::null())
            .output()
            .await;
        let told = output.map(|output| output.stderr).unwrap_or_default();
        let told = String::from_utf8_lossy(&told);
        let key = told.lines().find_map(|line| line.split_once("Server host key: "));
        Ok(key.map(|(_, key)| key.to_owned()))
    }
}

/// Whether ssh turned the host down because its key is in no file of known hosts.
fn is_key_unknown(told: &str) -> bool {
    told.contains("Host key verification failed")
        && !told.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || told.contains("requested strict checking")
}

#[cfg(test)]
impl Target {
    /// A host that is reached as ssh would by itself.
    pub(super) fn at(address: &str) -> Self {
        Self {
            name: address.to_owned(),
            is_here: false,
            address: address.to_owned(),
            user: None,
            port: None,
            identity: None,
            known_hosts: None,
            ssh_arguments: Vec::new(),
            accept_new_host_key: false,
            sudo: vec!["sudo".to_owned()],
            become_password: None,
            host_binary: None,
            connect_timeout: Duration::from_secs(10),
            persist: None,
        }
    }
}
