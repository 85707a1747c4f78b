//! The address of a name, as ssh finds it.

use std::net::IpAddr;
#[cfg(target_os = "linux")]
use std::process::Stdio;

use anyhow::{Context as _, Result};

/// The address of a name or address.
pub(super) async fn resolve(address: &str) -> Result<IpAddr> {
    if let Ok(ip) = address.parse() {
        return Ok(ip);
    }
    let found = look_up(address).await;
    let found = found.with_context(|| format!("cannot resolve `{address}`"))?;
    found.with_context(|| format!("`{address}` has no address"))
}

/// By libc's own program: a static binary cannot load what libc looks names up with.
#[cfg(target_os = "linux")]
async fn look_up(name: &str) -> Result<Option<IpAddr>> {
    let mut getent = tokio::process::Command::new("getent");
    let output = getent.args(["ahosts", "--", name]).stdin(Stdio::null()).output().await;
    let output = output.context("run `getent`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().next().and_then(|address| address.parse().ok()))
}

#[cfg(not(target_os = "linux"))]
async fn look_up(name: &str) -> Result<Option<IpAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.next().map(|found| found.ip()))
}
