//! What the rules that iptables lists do with a new connection. ufw's own are left out.

use super::{Packet, Verdict};

/// How deep chains lead to each other at most. The kernel allows no loops.
const MAX_DEPTH: usize = 16;

/// Follows the chain `INPUT` of a listing (`iptables -S`).
pub(super) fn judge(listing: &str, packet: Packet<'_>) -> Verdict {
    let verdict = follow(listing, "INPUT", packet, MAX_DEPTH);
    // With ufw the policy is ufw's.
    let has_ufw = listing.lines().any(|line| line.starts_with("-N ufw"));
    let policy = listing.lines().find(|line| line.starts_with("-P INPUT "));
    match (verdict, policy) {
        (Verdict::Undecided, Some(policy)) if policy.ends_with("DROP") && !has_ufw => {
            Verdict::Dropped(policy.to_owned())
        }
        (verdict, _) => verdict,
    }
}

fn follow(listing: &str, chain: &str, packet: Packet<'_>, depth: usize) -> Verdict {
    let prefix = format!("-A {chain} ");
    for line in listing.lines() {
        let Some(rule) = line.strip_prefix(&prefix) else { continue };
        let words = words(rule);
        let Some(target) = target(&words) else { continue };
        if target.starts_with("ufw") || !matches(&words, packet) {
            continue;
        }
        match target {
            "ACCEPT" => return Verdict::Accepted,
            "DROP" | "REJECT" | "TARPIT" => return Verdict::Dropped(line.to_owned()),
            "RETURN" => return Verdict::Undecided,
            chain if depth > 0 => match follow(listing, chain, packet, depth - 1) {
                Verdict::Undecided => {}
                decided => return decided,
            },
            _ => {}
        }
    }
    Verdict::Undecided
}

fn target(words: &[String]) -> Option<&str> {
    let at = words.iter().position(|word| word == "-j" || word == "-g")?;
    words.get(at + 1).map(String::as_str)
}

/// Whether the rule is about the packet. What is not known here is taken for a match of other packets:
/// limits, sets of addresses, marks.
fn matches(words: &[String], packet: Packet<'_>) -> bool {
    let mut words = words.iter().map(String::as_str);
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        let mut value = || words.next().unwrap_or_default();
        let holds = match word {
            "-p" => ["tcp", "6", "all"].contains(&value()),
            "-i" => is_interface(value(), packet.interface),
            "-s" => ["0.0.0.0/0", "::/0"].contains(&value()),
            "--dport" | "--dports" => value().split(',').any(|part| has_port(part, packet.port)),
            "--ctstate" | "--state" => value().split(',').any(|state| state == "NEW"),
            "--tcp-flags" => {
                let _among = value();
                value() == "SYN"
            }
            "-m" if ["tcp", "conntrack", "state", "multiport", "comment"].contains(&value()) => {
                continue;
            }
            "--comment" => {
                value();
                continue;
            }
            // What follows belongs to the target.
            "-j" | "-g" => return true,
            _ => return false,
        };
        if holds == negated {
            return false;
        }
        negated = false;
    }
    true
}

fn is_interface(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

fn has_port(part: &str, port: u16) -> bool {
    let (first, last) = part.split_once(':').unwrap_or((part, part));
    let (first, last) = (first.parse::<u16>(), last.parse::<u16>());
    first.is_ok_and(|first| first <= port) && last.is_ok_and(|last| port <= last)
}

/// The words of a rule. Comments are quoted.
fn words(rule: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let mut characters = rule.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words.last_mut().expect("one").extend(characters.next()),
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().expect("one").push(other),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const UFW: &str = include_str!("../testdata/iptables-S");

    fn judged(listing: &str) -> [Verdict; 2] {
        [22, 443].map(|port| judge(listing, Packet { interface: "eth0", port }))
    }

    fn dropped(rule: &str) -> Verdict {
        Verdict::Dropped(rule.to_owned())
    }

    #[test]
    fn what_does_not_drop_everybody_is_no_firewall() {
        let harmless = [
            "-P INPUT ACCEPT\n",
            UFW,
            // fail2ban, and an address that somebody blocked by hand.
            "-P INPUT ACCEPT\n-N f2b-sshd\n-A INPUT -p tcp -m multiport --dports 22,443 -j f2b-sshd\n\
             -A f2b-sshd -s 192.0.2.7/32 -j REJECT --reject-with icmp-port-unreachable\n\
             -A f2b-sshd -j RETURN\n-A INPUT -s 198.51.100.0/24 -j DROP\n",
            // Damaged packets, another interface, floods, lists of addresses.
            "-P INPUT ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n\
             -A INPUT -i wlan0 -j DROP\n-A INPUT -p udp -j DROP\n\
             -A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP\n\
             -A INPUT -m set --match-set banned src -j DROP\n\
             -A INPUT -p tcp -m hashlimit --hashlimit-above 9/sec --hashlimit-name a -j DROP\n",
        ];
        for listing in harmless {
            for verdict in judged(listing) {
                assert!(!matches!(verdict, Verdict::Dropped(_)), "{verdict:?} in\n{listing}");
            }
        }
    }

    #[test]
    fn a_rule_or_a_policy_that_drops_everybody_is_found() {
        let end = "-A INPUT -j REJECT --reject-with icmp-host-prohibited";
        let images_of_clouds = format!(
            "-P INPUT ACCEPT\n-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n\
             -A INPUT -p icmp -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n\
             -A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT\n{end}\n"
        );
        assert_eq!(judged(&images_of_clouds), [Verdict::Accepted, dropped(end)]);

        let in_a_chain =
            "-A own -p tcp -m tcp --dport 400:500 -m comment --comment \"no -j ACCEPT\" -j DROP";
        let listing = format!("-P INPUT ACCEPT\n-N own\n-A INPUT -i eth+ -g own\n{in_a_chain}\n");
        assert_eq!(judged(&listing), [Verdict::Undecided, dropped(in_a_chain)]);

        let policy = "-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n";
        assert_eq!(judged(policy), [Verdict::Accepted, dropped("-P INPUT DROP")]);

        // Before ufw's own rules.
        let before = format!("-A INPUT -p tcp -m multiport --dports 80,443 -j DROP\n{UFW}");
        assert!(matches!(judged(&before)[1], Verdict::Dropped(_)));
    }
}
