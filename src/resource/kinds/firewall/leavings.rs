//! What ufw and Docker leave in the kernel when their packages go: chains, rules and a bridge, which would be there until
//! the next boot. What others have put beside them stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::guard::load;
use crate::resource::host::Host;
use crate::resource::host::fs::{make_private, remove_file, write_atomic};

/// The programs of both families, without `-save` and `-restore` at the end.
const FAMILIES: [&str; 2] = ["iptables", "ip6tables"];
/// The chain whose policy Docker and ufw set, and do not set back.
const FORWARD: &str = "-P FORWARD ";
/// Docker's chain for rules of the host's owner.
const DOCKER_USER: &str = "DOCKER-USER";
/// The bridge of Docker's default network.
const BRIDGE: &str = "docker0";

/// Whose chains and rules are meant.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owner {
    Ufw,
    Docker,
}

impl Owner {
    fn of(package: &str) -> Option<Self> {
        match package {
            "ufw" => Some(Self::Ufw),
            "docker.io" | "docker-ce" | "moby-engine" => Some(Self::Docker),
            _ => None,
        }
    }

    fn has_chain(self, chain: &str) -> bool {
        match self {
            Self::Ufw => chain.starts_with("ufw-") || chain.starts_with("ufw6-"),
            Self::Docker => chain == "DOCKER" || chain.starts_with("DOCKER-"),
        }
    }

    /// Whether a rule in a chain of the kernel is about an interface of Docker's.
    fn has_rule(self, rule: &str) -> bool {
        let is_bridge = |name: &str| {
            let digits = name.strip_prefix("br-").unwrap_or_default();
            name == BRIDGE || digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let chains = ["FORWARD", "POSTROUTING", "PREROUTING"];
        let words: Vec<_> = rule.split(' ').collect();
        self == Self::Docker
            && words.get(1).is_some_and(|chain| chains.contains(chain))
            && words.windows(2).any(|pair| ["-i", "-o"].contains(&pair[0]) && is_bridge(pair[1]))
    }
}

/// Notes the policies of before ufw and Docker come, once.
pub(in crate::resource) async fn note_policies(packages: &[&str], host: &Host) -> Result<()> {
    if !packages.iter().any(|package| Owner::of(package).is_some()) || noted(host).exists() {
        return Ok(());
    }
    let mut lines = String::new();
    for family in FAMILIES {
        // Without the program nothing has set a policy by it.
        let Ok(listing) = host.run(family, &["-w", "-S"]).await else { continue };
        let policies = listing.lines().filter(|line| line.starts_with(FORWARD));
        lines.extend(policies.map(|policy| format!("{family} {policy}\n")));
    }
    make_private(&host.state_dir())?;
    write_atomic(&noted(host), lines.as_bytes(), 0o600, None)
}

/// Removes from the kernel what is left of packages that are about to be removed and whose services have stopped.
pub(in crate::resource) async fn remove_leavings(packages: &[String], host: &Host) -> Result<()> {
    let owners: Vec<Owner> = packages.iter().filter_map(|package| Owner::of(package)).collect();
    if owners.is_empty() {
        return Ok(());
    }
    for family in FAMILIES {
        let Ok(saved) = host.run(&format!("{family}-save"), &[""; 0]).await else { continue };
        let text = removal(&saved, &owners);
        if !text.is_empty() {
            load(host, &format!("{family}-restore"), &text).await?;
        }
    }
    if owners.contains(&Owner::Docker) {
        // Absent where Docker was told to make none.
        host.output("ip", &["link", "delete", BRIDGE]).await.ok();
    }
    let policies = fs::read_to_string(noted(host)).unwrap_or_default();
    for line in policies.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if let [family, rule @ ..] = words.as_slice() {
            let set = ["-w"].into_iter().chain(rule.iter().copied()).collect::<Vec<_>>();
            host.run(family, &set).await?;
        }
    }
    host.forget();
    remove_file(&noted(host))
}

fn noted(host: &Host) -> PathBuf {
    host.state_dir().join("policies")
}

/// What `iptables-restore` reads to take out the chains of the owners and the rules that lead to them.
fn removal(saved: &str, owners: &[Owner]) -> String {
    let mut tables = Vec::new();
    for table in saved.split("\n*").map(|table| table.trim_start_matches('*')) {
        let Some((name, _)) = table.split_once('\n').filter(|(name, _)| !name.starts_with('#'))
        else {
            continue;
        };
        let rules = || table.lines().filter(|line| line.starts_with("-A "));
        let is_in = |rule: &str, chain: &str| rule.split(' ').nth(1) == Some(chain);
        let declared = table.lines().filter_map(|line| line.strip_prefix(':')?.split(' ').next());
        let going: BTreeSet<&str> = declared
            .filter(|chain| owners.iter().any(|owner| owner.has_chain(chain)))
            // With rules in it, it is of somebody who would miss them.
            .filter(|chain| *chain != DOCKER_USER || !rules().any(|rule| is_in(rule, chain)))
            .collect();
        let target = |rule: &str| {
            let words: Vec<_> = rule.split(' ').collect();
            words
                .windows(2)
                .find(|pair| ["-j", "-g"].contains(&pair[0]))
                .map(|pair| pair[1].to_owned())
        };
        let is_going = |rule: &str| {
            let leads = target(rule).is_some_and(|target| going.contains(target.as_str()));
            let is_inside = going.iter().any(|chain| is_in(rule, chain));
            !is_inside && (leads || owners.iter().any(|owner| owner.has_rule(rule)))
        };
        let deleted =
            rules().filter(|rule| is_going(rule)).map(|rule| rule.replacen("-A", "-D", 1));
        let flushed = going.iter().map(|chain| format!("-F {chain}"));
        let removed = going.iter().map(|chain| format!("-X {chain}"));
        let lines: Vec<String> = deleted.chain(flushed).chain(removed).collect();
        if !lines.is_empty() {
            tables.push(format!("*{name}\n{}\nCOMMIT\n", lines.join("\n")));
        }
    }
    tables.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "# Generated by iptables-save\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n\
        :DOCKER - [0:0]\n:DOCKER-USER - [0:0]\n:mine - [0:0]\n:ufw-before-input - [0:0]\n\
        -A INPUT -i docker0 -j ACCEPT\n-A INPUT -j ufw-before-input\n-A FORWARD -j mine\n\
        -A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n\
        -A FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT\n-A FORWARD -i br-lan -j ACCEPT\n\
        -A DOCKER -i docker0 -j RETURN\n-A mine -s 192.0.2.1/32 -j DROP\nCOMMIT\n# Completed\n\
        *nat\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
        -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n\
        -A POSTROUTING -s 198.51.100.0/24 -j MASQUERADE\nCOMMIT\n";

    #[test]
    fn the_chains_of_both_go_and_those_of_others_stay() {
        assert_eq!(
            removal(SAVED, &[Owner::Docker, Owner::Ufw]),
            "*filter\n-D INPUT -j ufw-before-input\n-D FORWARD -j DOCKER-USER\n\
             -D FORWARD -o docker0 -j DOCKER\n\
             -D FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT\n\
             -F DOCKER\n-F DOCKER-USER\n-F ufw-before-input\n\
             -X DOCKER\n-X DOCKER-USER\n-X ufw-before-input\nCOMMIT\n\
             *nat\n-D POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n-F DOCKER\n-X DOCKER\nCOMMIT\n"
        );
        let ufw = removal(SAVED, &[Owner::Ufw]);
        assert!(!ufw.contains("DOCKER") && ufw.contains("-X ufw-before-input"), "{ufw}");
        assert_eq!(removal("", &[Owner::Docker]), "");
    }

    #[test]
    fn rules_that_somebody_has_put_into_dockers_chain_stay() {
        let saved = SAVED.replace("-A mine", "-A DOCKER-USER -s 192.0.2.9/32 -j DROP\n-A mine");
        let text = removal(&saved, &[Owner::Docker]);
        assert!(!text.contains("DOCKER-USER") && text.contains("-X DOCKER\n"), "{text}");
    }
}
