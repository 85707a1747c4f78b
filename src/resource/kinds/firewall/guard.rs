//! The chain `DOCKER-USER`, which is the host's owner's: hwctl's rules in it keep published ports of
//! containers behind the firewall. What was in it before is given back.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::kernel::Listing;
use crate::resource::host::{Host, last_lines};

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

    /// Whether these rules are in it, in their order, and no rule of others before the last of them ends
    /// the chain for what they are about.
    fn holds(&self, wanted: &[String]) -> bool {
        let mut wanted = wanted.iter().peekable();
        for rule in &self.rules {
            if wanted.next_if(|next| *next == rule).is_some() {
                continue;
            }
            let lets_past = ["ACCEPT", "RETURN"].iter().any(|end| rule.ends_with(end));
            if wanted.peek().is_some() && lets_past {
                return false;
            }
        }
        wanted.peek().is_none()
    }

    /// What `iptables-restore` reads. Naming the chain empties it.
    fn text(&self) -> String {
        let head = ["*filter".to_owned(), format!(":{CHAIN} - [0:0]")];
        let lines = head.into_iter().chain(self.rules.iter().cloned()).chain(["COMMIT".to_owned()]);
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}

impl Guard {
    pub(super) fn of(listing: &Listing) -> Self {
        Self { v4: Chain::of(&listing.v4), v6: Chain::of(&listing.v6) }
    }

    /// Whether it has the rules of the files that ufw loads, and nothing of others lets past them. A
    /// family is left out whose file has none, and one that the host has not got.
    pub(super) fn holds(&self, file4: &str, file6: &str, has_v6: bool) -> bool {
        self.v4.holds(&Chain::of(file4).rules)
            && (!has_v6 || self.v6.holds(&Chain::of(file6).rules))
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

pub(super) async fn load(host: &Host, program: &str, text: &str) -> Result<()> {
    let mut command = host.command(program);
    command.args(["-w", "--noflush"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run `{program}`"))?;
    let mut input = child.stdin.take().context("the program's input")?;
    input.write_all(text.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("`{program}` refuses the rules: {}", last_lines(&output, 3));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_read_and_written() {
        let listing = "-P FORWARD DROP\n-N DOCKER\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n\
                       -A DOCKER-USER -s 10.0.0.0/8 -j DROP\n-A DOCKER-USER -j RETURN\n";

        let v6 = "-P FORWARD ACCEPT\n".to_owned();
        let guard = Guard::of(&Listing { v4: listing.to_owned(), v6, nft: String::new() });

        assert!(guard.v4.exists && !guard.v6.exists);
        let text = "*filter\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -s 10.0.0.0/8 -j DROP\n\
                    -A DOCKER-USER -j RETURN\nCOMMIT\n";
        assert_eq!(guard.v4.text(), text);
    }

    #[test]
    fn a_chain_that_lost_a_rule_or_lets_past_it_does_not_hold() {
        let rules = ["-A DOCKER-USER -i eth0 -j DROP", "-A DOCKER-USER -o docker0 -j DROP"];
        let of = |rules: &[&str]| Chain::of(&rules.join("\n"));
        let wanted = of(&rules).rules;
        let block = "-A DOCKER-USER -s 203.0.113.7/32 -j DROP";
        let hole = "-A DOCKER-USER -p tcp -j ACCEPT";
        let end = "-A DOCKER-USER -j RETURN";

        assert!(of(&rules).holds(&wanted));
        assert!(of(&[block, rules[0], rules[1], end]).holds(&wanted));
        assert!(!of(&rules[1..]).holds(&wanted));
        assert!(!of(&[rules[1], rules[0]]).holds(&wanted));
        assert!(!of(&[hole, rules[0], rules[1]]).holds(&wanted));
        assert!(!of(&[end]).holds(&wanted));
        assert!(of(&[end]).holds(&[]), "the file has no rules for it");
    }
}
