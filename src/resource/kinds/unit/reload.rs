//! Has a unit take up its configuration while it serves.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::Unit;
use crate::resource::host::Host;
use crate::resource::kinds::nginx_reload::reload_nginx;

/// How long a unit that was reloaded has to stay in one state.
const SETTLED: Duration = Duration::from_millis(500);
/// How long that may take.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long is waited between two looks.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

impl Unit {
    pub(super) async fn reload(&self, host: &Host) -> Result<()> {
        if self.name == "nginx.service" {
            return reload_nginx(host).await;
        }
        self.systemctl(host, "reload").await?;
        self.settle(host).await
    }

    /// Waits until the unit no longer changes its state. sshd, for one, reports its reload to systemd some time after
    /// `systemctl reload` has returned.
    async fn settle(&self, host: &Host) -> Result<()> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let (mut last, mut since) = (self.read_anew(host).await?.start, Instant::now());
        while since.elapsed() < SETTLED && Instant::now() < deadline {
            sleep(SETTLE_PAUSE).await;
            let now = self.read_anew(host).await?.start;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(())
    }
}
