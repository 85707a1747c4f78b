//! Tries a new API beside the running one, in the same confinement and with the same settings, and
//! asks it for its health: the running one goes on serving until the new one has shown that it can.

use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::health::health;
use crate::resource::{Action, Advise, Change, Host, Resource, last_lines, write_atomic};

const SERVICE: &str = "flask-app.service";
const UNIT: &str = "/etc/systemd/system/flask-app.service";
const SOCKET: &str = "/run/gunicorn/flask.sock";
const TRIAL: &str = "hwctl-trial.service";
const TRIAL_UNIT: &str = "/run/systemd/system/hwctl-trial.service";
const TRIAL_SOCKET: &str = "/run/hwctl-trial/flask.sock";

/// Whether a change puts a new API, or new settings, in the place of the running one.
pub(super) fn is_switch(resource: &Resource, change: &Change) -> bool {
    matches!(resource, Resource::Unit(unit) if unit.name == SERVICE)
        && change.action == Action::Restart
}

/// Starts the API that is on disk now, looks at its health, and stops it again.
pub(super) async fn api(host: &Host) -> Result<()> {
    let unit = std::fs::read_to_string(host.path(Path::new(UNIT)))
        .with_context(|| format!("read `{UNIT}`"))?;
    let path = host.path(Path::new(TRIAL_UNIT));
    write_atomic(&path, beside(&unit).as_bytes(), 0o644, None)?;
    let tried = try_out(host).await;
    // Whatever it did, it goes.
    host.output("systemctl", &["stop", TRIAL]).await?;
    host.output("systemctl", &["reset-failed", TRIAL]).await?;
    std::fs::remove_file(&path).with_context(|| format!("remove `{TRIAL_UNIT}`"))?;
    host.run("systemctl", &["daemon-reload"]).await?;
    tried
        .context("the new API is not fit to serve; the one before serves on")
        .hint("try another build; `journalctl -u hwctl-trial` on the host has the whole log")
}

async fn try_out(host: &Host) -> Result<()> {
    host.run("systemctl", &["daemon-reload"]).await?;
    let started = host.output("systemctl", &["start", TRIAL]).await?;
    if !started.status.success() {
        return Err(anyhow!(
            "it does not start: {}",
            last_words(host, &last_lines(&started, 1)).await
        ));
    }
    let (status, body) =
        health(&host.path(Path::new(TRIAL_SOCKET))).await.context("ask its health")?;
    if status == 200 {
        return Ok(());
    }
    // Redis may be down for both: then the new one is no worse.
    match health(&host.path(Path::new(SOCKET))).await {
        Ok((200, _)) => Err(anyhow!("its health is {status}: {body}")),
        _ => Ok(()),
    }
}

/// What it said itself, between what systemd says of it.
async fn last_words(host: &Host, otherwise: &str) -> String {
    let args = ["-u", TRIAL, "-n", "10", "-o", "cat", "-q", "--no-pager", "--since=-20s"];
    let output = host.output("journalctl", &args).await;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let own = text.lines().filter(|line| {
        !["hwctl-trial.service", "Start", "Fail", "Stop"].iter().any(|own| line.starts_with(own))
    });
    let own: Vec<_> = own.collect();
    if own.is_empty() { otherwise.to_owned() } else { own.join("\n") }
}

/// The service's unit for a process beside it: with a socket of its own, started once.
fn beside(unit: &str) -> String {
    let own = "RuntimeDirectory=hwctl-trial\nEnvironment=SOCKET=/run/hwctl-trial/flask.sock\n\
               Restart=no\nTimeoutStartSec=10s\n";
    let mut text = String::new();
    for line in unit.lines() {
        let (name, _) = line.split_once('=').unwrap_or((line, ""));
        match name {
            "[Install]" => break,
            "[Service]" => text.extend([line, "\n", own]),
            "Requires" | "After" | "Restart" | "RestartSec" | "TimeoutStartSec" => {}
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_beside_has_no_part_in_the_socket() {
        let unit = include_str!("../../templates/systemd/flask-app.service");
        let beside = beside(unit);
        assert!(!beside.contains("flask-app.socket"), "{beside}");
        assert!(!beside.contains("Restart=always") && !beside.contains("[Install]"), "{beside}");
        assert!(
            beside.contains("SOCKET=/run/hwctl-trial") && beside.contains("NoNewPrivileges=yes")
        );
    }
}
