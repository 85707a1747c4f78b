//! The connection: the system's own ssh, so that its configuration, agents and jump hosts work.

use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder};
use tokio::sync::Mutex;

use super::engine::Tell;
use super::kept;
use crate::event::What;
use crate::failure::{Exit, Failure};
use crate::resource::Secret;

/// How long ssh waits for hwctl's next word when nothing is under way, in seconds.
const LEFT_ALONE: NonZeroUsize = NonZeroUsize::new(10).unwrap();

/// How a host is reached.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in the inventory.
    pub name: String,
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
    /// Whether the key of a host that was never seen is taken without asking.
    pub accept_new_host_key: bool,
    /// The password of sudo, where it wants one.
    pub become_password: Option<Secret>,
    /// The Linux build of hwctl to put on the host; this program itself when absent.
    pub host_binary: Option<PathBuf>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// For how many seconds after its last use the connection stays, for the next command; a kept
    /// one is used. When absent there is a login of its own, which ends with the command.
    pub persist: Option<NonZeroUsize>,
}

/// A connection to a host.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: Arc<Session>,
    /// Whether it was kept by an earlier command.
    pub(super) is_old: bool,
    /// Whether it stays for the next command.
    stays: bool,
}

impl Connection {
    fn new(session: Session, stays: bool) -> Self {
        Self { session: Arc::new(session), is_old: false, stays }
    }

    /// Ends it, unless it stays for the next command.
    pub(super) async fn close(self) {
        if !self.stays {
            self.end().await;
        }
    }

    /// Ends it, so that no command uses it any more.
    pub(super) async fn end(self) {
        if let Some(session) = Arc::into_inner(self.session) {
            let _ = session.close().await;
        }
    }
}

impl Target {
    /// The same host by a login of its own.
    pub(super) fn anew(&self) -> Self {
        Self { persist: None, ..self.clone() }
    }

    /// Takes the connection that an earlier command has kept, or opens one.
    pub(super) async fn connect(&self, tell: Tell<'_>) -> Result<Connection, Failure> {
        if self.persist.is_some()
            && let Some(session) = kept::find(&kept::place(self)?).await
        {
            return Ok(Connection { is_old: true, ..Connection::new(session, true) });
        }
        self.log_in(tell).await
    }

    async fn open(&self) -> Result<Result<Connection, openssh::Error>, Failure> {
        let mut builder = self.builder();
        let Some(seconds) = self.persist else {
            let session = builder.connect_mux(&self.address).await;
            return Ok(session.map(|session| Connection::new(session, false)));
        };
        builder.control_persist(ControlPersist::IdleFor(seconds));
        let session = kept::log_in(&builder, &self.address, &kept::place(self)?).await;
        Ok(session.map(|(session, stays)| Connection::new(session, stays)))
    }

    /// Opens a connection.
    pub(super) async fn log_in(&self, tell: Tell<'_>) -> Result<Connection, Failure> {
        let error = match self.open().await? {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let told = chain(&error);
        let unknown = told.contains("Host key verification failed")
            && !told.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
            || told.contains("requested strict checking");
        if unknown && !self.accept_new_host_key && std::io::stdin().is_terminal() {
            self.ask_about_host_key(tell).await;
            tell(What::Step { message: "connecting".to_owned(), fraction: None });
            return self.open().await?.map_err(|error| self.explain(&chain(&error), None));
        }
        let fingerprint = if unknown { self.offered_host_key().await } else { None };
        Err(self.explain(&told, fingerprint))
    }

    fn builder(&self) -> SessionBuilder {
        let mut builder = SessionBuilder::default();
        let check = if self.accept_new_host_key { KnownHosts::Add } else { KnownHosts::Strict };
        builder.known_hosts_check(check).connect_timeout(self.connect_timeout);
        builder.server_alive_interval(Duration::from_secs(15));
        // Should hwctl die, ssh does not stay.
        builder.control_persist(ControlPersist::IdleFor(LEFT_ALONE));
        if let Some(user) = &self.user {
            builder.user(user.clone());
        }
        if let Some(port) = self.port {
            builder.port(port);
        }
        if let Some(identity) = &self.identity {
            builder.keyfile(identity);
        }
        if let Some(known_hosts) = &self.known_hosts {
            builder.user_known_hosts_file(known_hosts);
        }
        builder
    }

    /// ssh's own arguments for a connection outside the session.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut args =
            vec!["-o".to_owned(), format!("ConnectTimeout={}", self.connect_timeout.as_secs())];
        let known = self.known_hosts.as_ref();
        args.extend(
            known.into_iter().flat_map(|path| {
                ["-o".to_owned(), format!("UserKnownHostsFile={}", path.display())]
            }),
        );
        args.extend(self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]));
        args.extend(self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
        let key = self.identity.iter();
        args.extend(key.flat_map(|key| ["-i".to_owned(), key.display().to_string()]));
        args
    }

    /// Lets ssh show the fingerprint and ask, on the terminal. Whether the key was accepted is told
    /// by the next connection. Of several hosts one is asked about at a time.
    async fn ask_about_host_key(&self, tell: Tell<'_>) {
        static QUESTION: Mutex<()> = Mutex::const_new(());
        let _turn = QUESTION.lock().await;
        tell(What::Asking);
        let _ = tokio::process::Command::new("ssh")
            .args(self.arguments())
            .args(["-o", "StrictHostKeyChecking=ask", "-o", "PasswordAuthentication=no"])
            .args(["-o", "LogLevel=ERROR", "--", &self.address, "true"])
            .status()
            .await;
    }

    /// The fingerprint of the key that the host offers, in ssh's words.
    async fn offered_host_key(&self) -> Option<String> {
        let output = tokio::process::Command::new("ssh")
            .args(self.arguments())
            .args(["-v", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["--", &self.address, "true"])
            .stdin(Stdio::null())
            .output()
            .await
            .ok()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        told.lines().find_map(|line| Some(line.split_once("Server host key: ")?.1.to_owned()))
    }

    pub(super) fn unreachable(&self, why: &str) -> Failure {
        Failure::new(Exit::Unreachable, format!("cannot reach `{}`: {why}", self.address))
    }

    /// What ssh's message means and what to do about it.
    fn explain(&self, told: &str, fingerprint: Option<String>) -> Failure {
        let last = told.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or(told);
        let nothing = "nothing was changed on the host";
        if told.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            return self
                .unreachable("its host key is not the one that is known")
                .why("somebody may be listening in, or the machine was made anew")
                .not_done(nothing)
                .hint(format!(
                    "if it was made anew: `ssh-keygen -R {}`, then run again",
                    self.address
                ));
        }
        if let Some(key) = fingerprint {
            return self
                .unreachable("its host key is not known yet")
                .why(format!("it offers {key}"))
                .not_done(nothing)
                .hint("compare the fingerprint, then run again with `--accept-new-host-key`");
        }
        let (why, hint) = if told.contains("Permission denied") {
            let user = self.user.as_deref().unwrap_or("ssh's default user");
            let why = format!("it does not let `{user}` in");
            (why, "give the right `--user` and `--identity`, or load the key into your agent")
        } else if told.contains("Could not resolve hostname") {
            (
                "its name is not known".to_owned(),
                "check the name, or set `ansible_host` to its address",
            )
        } else if told.contains("Connection refused") {
            ("no ssh answers on that port".to_owned(), "check `--port`, and that sshd runs there")
        } else if told.contains("timed out") {
            let why = "it does not answer in time".to_owned();
            (why, "check the address, its power and the firewalls on the way")
        } else if told.contains("Host key verification failed") {
            let why = "its host key is not known yet".to_owned();
            (why, "log in with ssh once, or run again with `--accept-new-host-key`")
        } else {
            let why = "ssh gives up".to_owned();
            (why, "`ssh -v` to the same address says more")
        };
        self.unreachable(&why).why(last).not_done(nothing).hint(hint)
    }
}

fn chain(error: &openssh::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push('\n');
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
