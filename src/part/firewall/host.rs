//! The firewall on the host: ufw, and its rules in the kernel.

use anyhow::{Result, bail};

use crate::engine::{Case, Driver, Later};
use crate::resource::{Host, is_firewall_loaded};

/// The driver of the firewall.
#[derive(Debug)]
pub(in super::super) struct Firewall;

impl Driver for Firewall {
    fn name(&self) -> &'static str {
        "firewall"
    }

    fn inspect<'a>(&'a self, _: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(open_ports(case.host))
    }
}

/// Requires that ufw's rules are in the kernel. Returns the ports that they open.
async fn open_ports(host: &Host) -> Result<String> {
    let rules = host.run("iptables", &["-S"]).await?;
    let has = |rule: &str| rules.lines().any(|line| line == rule);
    if !has("-A INPUT -j ufw-before-input") || has("-P INPUT ACCEPT") {
        bail!("ufw is not active");
    }
    if !is_firewall_loaded(host).await? {
        bail!("active, but some of its rules are not in the kernel");
    }
    let open = rules.lines().filter_map(|line| {
        let rule = line.strip_prefix("-A ufw-user-input -p ")?.strip_suffix(" -j ACCEPT")?;
        let protocol = rule.split(' ').next()?;
        Some(format!("{}/{protocol}", rule.rsplit_once("--dport ")?.1))
    });
    Ok(format!("active, open: {}", open.collect::<Vec<_>>().join(" ")))
}
