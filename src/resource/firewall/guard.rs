//! The chain `DOCKER-USER`, which is the host's owner's: hwctl's rules in it keep published ports of
//! containers behind the firewall. What was in it before is given back.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use bollard::query_parameters::ListContainersOptions;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::super::docker::{self, Daemon, said};
use super::super::{Host, last_lines};
use super::FirewallPort;

const CHAIN: &str = "DOCKER-USER";

/// The rules of the chain, as iptables lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guard {
    v4: Chain,
    v6: Chain,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Chain {
    exists: bool,
    rules: Vec<String>,
}

impl Chain {
    fn of(listing: &str) -> Self {
        let is_rule = |line: &&str| line.starts_with(&format!("-A {CHAIN} "));
        Self {
            exists: listing.lines().any(|line| line == format!("-N {CHAIN}")),
            rules: listing.lines().filter(is_rule).map(str::to_owned).collect(),
        }
    }

    /// What `iptables-restore` reads. Naming the chain empties it.
    fn text(&self) -> String {
        let head = ["*filter".to_owned(), format!(":{CHAIN} - [0:0]")];
        let lines = head.into_iter().chain(self.rules.iter().cloned()).chain(["COMMIT".to_owned()]);
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}

impl Guard {
    pub(super) fn of(v4: &str, v6: &str) -> Self {
        Self { v4: Chain::of(v4), v6: Chain::of(v6) }
    }

    /// Whether it has hwctl's rules.
    pub(super) fn is_ours(&self) -> bool {
        self.v4.rules.iter().any(|rule| rule == &format!("-A {CHAIN} -o docker0 -j DROP"))
    }

    /// Puts the chain back. One that Docker has made since stays, without a rule; one that only
    /// hwctl's rules made goes.
    pub(super) async fn restore(&self, host: &Host) -> Result<()> {
        for (family, chain) in [("iptables", &self.v4), ("ip6tables", &self.v6)] {
            let output = host.output(family, &["-w", "-S"]).await;
            // Without the program, or without IPv6, there is no chain.
            let Some(output) = output.ok().filter(|output| output.status.success()) else {
                continue;
            };
            let now = Chain::of(&String::from_utf8_lossy(&output.stdout));
            if now.exists && now.rules != chain.rules {
                load(host, &format!("{family}-restore"), &chain.text()).await?;
            }
            if now.exists && !chain.exists {
                // Refused while Docker's own rules lead to it.
                host.output(family, &["-w", "-X", CHAIN]).await?;
            }
        }
        Ok(())
    }
}

async fn load(host: &Host, program: &str, text: &str) -> Result<()> {
    let mut command = host.command(program);
    command.args(["-w", "--noflush"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run `{program}`"))?;
    let mut input = child.stdin.take().context("the program's input")?;
    input.write_all(text.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("`{program}` does not bring {CHAIN} back: {}", last_lines(&output, 3));
    }
    Ok(())
}

/// A container's port that outsiders reach now, and would not once the chain has hwctl's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Published {
    /// The container's name.
    pub(super) container: String,
    /// The port, such as `8081/tcp`.
    pub(super) port: String,
}

/// The published ports of containers that would be closed, on a host where the chain does not have
/// hwctl's rules yet.
pub(super) async fn closing(allow: &[FirewallPort], host: &Host) -> Result<Vec<Published>> {
    let Daemon::Up(docker) = docker::daemon(host).await? else { return Ok(Vec::new()) };
    let containers = docker.list_containers(None::<ListContainersOptions>).await.map_err(said)?;
    let mut all = Vec::new();
    for container in containers {
        let names = container.names.unwrap_or_default();
        let name = names.first().map(|name| name.trim_start_matches('/').to_owned());
        for port in container.ports.unwrap_or_default() {
            let inside = port.ip.as_deref().and_then(|ip| ip.parse::<std::net::IpAddr>().ok());
            let Some(number) =
                port.public_port.filter(|_| !inside.is_some_and(|ip| ip.is_loopback()))
            else {
                continue;
            };
            let transport = port.typ.map(|typ| typ.to_string()).unwrap_or_default();
            let shown = format!("{number}/{transport}");
            if allow.iter().any(|allowed| allowed.to_string() == shown) {
                continue;
            }
            let published = Published { container: name.clone().unwrap_or_default(), port: shown };
            if !all.contains(&published) {
                all.push(published);
            }
        }
    }
    all.sort_by(|a, b| (&a.container, &a.port).cmp(&(&b.container, &b.port)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_read_and_written() {
        let listing = "-P FORWARD DROP\n-N DOCKER\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n\
                       -A DOCKER-USER -s 10.0.0.0/8 -j DROP\n-A DOCKER-USER -j RETURN\n";

        let guard = Guard::of(listing, "-P FORWARD ACCEPT\n");

        assert!(guard.v4.exists && !guard.v6.exists);
        let text = "*filter\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -s 10.0.0.0/8 -j DROP\n\
                    -A DOCKER-USER -j RETURN\nCOMMIT\n";
        assert_eq!(guard.v4.text(), text);
    }
}
