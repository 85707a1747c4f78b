//! What systemctl is asked to do with a unit, and what is said when it fails.

use std::process::Output;

use anyhow::{Context, Result, anyhow};

use super::{Host, Unit};
use crate::resource::host::last_lines;
use crate::resource::model::hint::Advise;

impl Unit {
    pub(super) async fn systemctl(&self, host: &Host, verb: &str) -> Result<()> {
        let output = host.output("systemctl", &[verb, &self.name]).await?;
        self.require(&output, verb, host).await
    }

    /// Enables it without a reload of systemd, which finds a new unit by itself.
    pub(super) async fn enable_on_disk(&self, host: &Host) -> Result<()> {
        let mut enable = host.command("systemctl");
        // By its own hands: after `--no-reload` systemd takes all units for stale.
        enable.env("SYSTEMD_OFFLINE", "1").args(["enable", &self.name]);
        let output = enable.output().await.context("run `systemctl`")?;
        self.require(&output, "enable", host).await?;
        host.owe_reload(true);
        Ok(())
    }

    pub(super) async fn require(&self, output: &Output, verb: &str, host: &Host) -> Result<()> {
        if output.status.success() {
            return Ok(());
        }
        let told = last_lines(output, 2);
        self.failed(format!("`systemctl {verb} {}` fails: {told}", self.name), host).await
    }

    /// A failure of the unit, with the last lines of its journal.
    pub(super) async fn failed(&self, what: String, host: &Host) -> Result<()> {
        let args = ["-u", &self.name, "-n", "8", "-o", "cat", "--no-pager"];
        let journal = host.output("journalctl", &args).await?;
        let journal = String::from_utf8_lossy(&journal.stdout).trim().replace('\n', "\n    ");
        let journal = host.without_secrets(journal);
        Err(anyhow!("{what}\n    {journal}"))
            .hint(format!("`journalctl -u {}` on the host has the rest", self.name))
    }

    /// Masks it again, as somebody had done. A unit file in the place of the mask is gone by now, or
    /// is itself the mask that was there.
    pub(super) async fn mask(&self, host: &Host) -> Result<()> {
        self.systemctl(host, "stop").await?;
        host.output("systemctl", &["disable", &self.name]).await?;
        self.systemctl(host, "mask").await
    }
}
