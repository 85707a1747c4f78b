//! One lab host: how to reach it, and what can be done to it that happens to real machines.

use std::fs;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::command::last_lines;
use super::place::Place;
use super::state::{HostDir, Record, State};
use super::{Lab, boot, root};
use crate::failure::{Exit, Failure};

/// How long a host may take from power on to its first ssh login.
const BOOT_TIME: Duration = Duration::from_mins(1);

/// A disposable host. It lives until it is taken down, whatever becomes of this value.
#[derive(Clone, Debug)]
pub struct LabHost {
    /// Its name, also its host name.
    pub name: String,
    /// Its address; this machine has a route to it.
    pub address: IpAddr,
    /// The release that it runs, such as `trixie`.
    pub release: String,
    state: State,
    dir: HostDir,
    record: Record,
    identity: PathBuf,
    known_hosts: PathBuf,
    ssh_config: PathBuf,
}

impl LabHost {
    pub(super) fn new(state: &State, dir: HostDir, record: Record) -> Self {
        Self {
            name: record.name.clone(),
            address: record.network.address().into(),
            release: record.release.clone(),
            state: state.clone(),
            identity: state.key(),
            known_hosts: dir.known_hosts(),
            ssh_config: dir.ssh_config(),
            dir,
            record,
        }
    }

    /// The user who may log in, with passwordless sudo.
    #[must_use]
    #[allow(clippy::unused_self)] // A question to the host: another kind may have another user.
    pub fn ssh_user(&self) -> &str {
        root::USER
    }

    /// The private key to log in with.
    #[must_use]
    pub fn identity(&self) -> &Path {
        &self.identity
    }

    /// A `known_hosts` file with this host's keys, so that strict checking works from the start.
    #[must_use]
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts
    }

    /// A configuration for `ssh -F` that knows this host by its name and its address.
    #[must_use]
    pub fn ssh_config(&self) -> &Path {
        &self.ssh_config
    }

    /// What the host says on its console, in a file on this machine.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.dir.console()
    }

    /// The host's root file system as a folder of this machine.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.root()
    }

    /// The name of the host's network namespace, for `ip netns exec`.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.record.network.namespace()
    }

    /// The name of this machine's end of the link to the host.
    #[must_use]
    pub fn link(&self) -> String {
        self.record.network.link()
    }

    /// The place of another host of its segment.
    pub(super) fn beside(&self) -> Option<Place> {
        self.record.network.beside()
    }

    /// Whether the host's systemd runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        boot::leader(&self.record.network).is_some()
    }

    /// Whether the host lives only as long as a process such as a test run.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.record.owner.is_some()
    }

    /// An `ssh` command line to this host, ready for a command or a terminal.
    #[must_use]
    pub fn ssh_command(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&self.ssh_config).arg(&self.name);
        ssh
    }

    /// Runs a shell command on the host as `ubuntu`, over ssh.
    pub fn ssh(&self, command: &str) -> Result<Output> {
        let mut ssh = self.ssh_command();
        ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]);
        ssh.arg("--").arg(command).stdin(Stdio::null());
        ssh.output().with_context(|| format!("run ssh to `{}`", self.name))
    }

    /// Runs a program on the host as root, from outside: needs neither its sshd nor its network.
    pub fn exec(&self, argv: &[&str]) -> Result<Output> {
        boot::exec(&self.record.network, argv)
    }

    /// Cuts the power: every process ends at once, nothing is written.
    pub fn power_off_hard(&self) -> Result<()> {
        let _lock = self.state.lock(&self.name)?;
        boot::kill(&self.dir, Some(&self.record.network))
    }

    /// Boots the host again on its same root, at its same address, and waits until it can be
    /// logged in to.
    pub fn boot(&self) -> Result<()> {
        self.boot_unreachable()?;
        self.wait_until_reachable()
    }

    /// Boots the host again though nobody may be able to log in to it.
    pub fn boot_unreachable(&self) -> Result<()> {
        let lock = self.state.lock(&self.name)?;
        if !self.is_running() {
            boot::kill(&self.dir, Some(&self.record.network))?;
            self.record.network.rewire()?;
            boot::mount_root(&self.dir, &self.state.layers(&self.record))?;
            boot::start(&self.dir, &self.record.network)?;
        }
        drop(lock);
        let deadline = Instant::now() + BOOT_TIME;
        while !self.exec(&["true"]).is_ok_and(|output| output.status.success()) {
            if Instant::now() > deadline {
                return Err(self.unreachable().into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Shuts the host down as `systemctl poweroff` does: every unit is stopped, all is written. The
    /// caller holds the lock of its name.
    pub(super) fn power_off(&self) -> Result<()> {
        self.exec(&["systemctl", "poweroff"])?;
        let deadline = Instant::now() + BOOT_TIME;
        while self.is_running() {
            if Instant::now() > deadline {
                bail!("`{}` does not shut down", self.name);
            }
            sleep(Duration::from_millis(20));
        }
        boot::kill(&self.dir, Some(&self.record.network))
    }

    /// Reboots the host as `systemctl reboot` does, and waits until it can be logged in to.
    pub fn reboot(&self) -> Result<()> {
        let before = boot::leader(&self.record.network).context("the host is not running")?;
        self.exec(&["systemctl", "reboot"])?;
        let deadline = Instant::now() + BOOT_TIME;
        while boot::leader(&self.record.network).is_none_or(|leader| leader == before) {
            if Instant::now() > deadline {
                bail!("`{}` does not go down for its reboot", self.name);
            }
            sleep(Duration::from_millis(20));
        }
        self.wait_until_reachable()
    }

    /// Drops every packet to and from the host, silently.
    pub fn cut_network(&self) -> Result<()> {
        self.record.network.cut()
    }

    /// Ends what [`LabHost::cut_network`] did.
    pub fn restore_network(&self) -> Result<()> {
        self.record.network.restore()
    }

    /// Waits until a login over ssh works.
    pub fn wait_until_reachable(&self) -> Result<()> {
        let deadline = Instant::now() + BOOT_TIME;
        loop {
            // Asking sshd before it listens would cost ssh's own start each time.
            if self.answers() && self.ssh("true").is_ok_and(|output| output.status.success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.unreachable().into());
            }
            if self.is_temporary() {
                super::refuse_when_ending()?;
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let wait = Duration::from_millis(200);
        std::net::TcpStream::connect_timeout(&(self.address, 22).into(), wait).is_ok()
    }

    fn unreachable(&self) -> Failure {
        let console = fs::read(self.console()).unwrap_or_default();
        let seconds = BOOT_TIME.as_secs();
        Failure::new(Exit::Failed, format!("`{}` does not come up in {seconds} s", self.name))
            .why(format!(
                "its console says last:\n{}",
                last_lines(&String::from_utf8_lossy(&console), 8)
            ))
            .hint(format!("look at `{}`", self.console().display()))
    }
}

/// A host for as long as this value lives: taken down when it is dropped, also by a panic. If the
/// process is killed before that, the next `up` takes it down.
#[derive(Debug)]
pub struct TemporaryHost<'lab> {
    pub(super) lab: &'lab Lab,
    pub(super) host: LabHost,
}

impl Deref for TemporaryHost<'_> {
    type Target = LabHost;

    fn deref(&self) -> &LabHost {
        &self.host
    }
}

impl Drop for TemporaryHost<'_> {
    fn drop(&mut self) {
        // A drop cannot fail; what stays is on record, and the next `up` removes it.
        if let Err(error) = self.lab.down(&self.host.name) {
            self.lab.notify(&format!("`{}` is not taken down: {error:#}", self.host.name));
        }
    }
}
