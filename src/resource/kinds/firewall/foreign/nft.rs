//! What an own ruleset of nftables does with a new connection, as `nft -j list ruleset` shows it. The tables
//! that iptables keeps in nftables are left out.

use serde_json::Value;

use super::{Packet, Verdict};

/// How deep chains lead to each other at most. The kernel allows no loops.
const MAX_DEPTH: usize = 16;
/// Where a packet to the host itself passes.
const HOOKS: [&str; 3] = ["ingress", "prerouting", "input"];

/// Follows each chain that a packet to the host passes.
pub(super) fn judge(listing: &str, packet: Packet<'_>) -> Verdict {
    let document: Value = serde_json::from_str(listing).unwrap_or_default();
    let objects = document["nftables"].as_array().map_or(&[][..], Vec::as_slice);
    let ruleset = Ruleset { objects, packet };
    let chains = objects.iter().filter_map(|object| object.get("chain"));
    let dropped = chains.filter(|chain| is_entry(chain)).find_map(|chain| {
        match ruleset.follow(chain, MAX_DEPTH) {
            Verdict::Undecided if chain["policy"] == "drop" => {
                Some(format!("nft chain {}, policy drop", shown(chain)))
            }
            Verdict::Dropped(rule) => Some(rule),
            _ => None,
        }
    });
    dropped.map_or(Verdict::Undecided, Verdict::Dropped)
}

/// Whether packets to the host enter the ruleset by this chain.
fn is_entry(chain: &Value) -> bool {
    let hook = chain["hook"].as_str().unwrap_or_default();
    let is_of_iptables = ["ip", "ip6"].iter().any(|family| chain["family"] == *family)
        && chain["name"].as_str().is_some_and(|name| name == hook.to_uppercase());
    chain["type"] == "filter" && HOOKS.contains(&hook) && !is_of_iptables
}

fn shown(chain: &Value) -> String {
    let part = |name: &str| chain[name].as_str().unwrap_or_default();
    format!("{} {} {}", part("family"), part("table"), part("name"))
}

struct Ruleset<'a> {
    objects: &'a [Value],
    packet: Packet<'a>,
}

impl<'a> Ruleset<'a> {
    fn follow(&self, chain: &Value, depth: usize) -> Verdict {
        let is_in = |rule: &&Value| {
            rule["chain"] == chain["name"]
                && rule["table"] == chain["table"]
                && rule["family"] == chain["family"]
        };
        let rules = self.objects.iter().filter_map(|object| object.get("rule"));
        for rule in rules.filter(is_in) {
            let Some(statement) = self.statement(rule) else { continue };
            let jump = ["jump", "goto"].iter().find_map(|word| statement[*word]["target"].as_str());
            let verdict = if has(statement, "accept") {
                Verdict::Accepted
            } else if has(statement, "drop") || has(statement, "reject") {
                Verdict::Dropped(format!("nft rule in {}", shown(chain)))
            } else if has(statement, "return") {
                return Verdict::Undecided;
            } else if let (Some(name), 1..) = (jump, depth) {
                self.chain(chain, name).map_or(Verdict::Undecided, |to| self.follow(to, depth - 1))
            } else {
                continue;
            };
            if verdict != Verdict::Undecided {
                return verdict;
            }
        }
        Verdict::Undecided
    }

    fn chain(&self, beside: &Value, name: &str) -> Option<&'a Value> {
        let mut chains = self.objects.iter().filter_map(|object| object.get("chain"));
        chains.find(|chain| {
            chain["name"] == name
                && chain["table"] == beside["table"]
                && chain["family"] == beside["family"]
        })
    }

    /// The statement that ends the rule, if the rule is about the packet. What is not known here is taken
    /// for a match of other packets.
    fn statement(&self, rule: &'a Value) -> Option<&'a Value> {
        for statement in rule["expr"].as_array()? {
            if let Some(condition) = statement.get("match") {
                let holds = self.holds(&condition["left"], &condition["right"]);
                if holds == (condition["op"] == "!=") {
                    return None;
                }
            } else if let Some(map) = statement.get("vmap") {
                let pairs = map["data"]["set"].as_array()?;
                let pair = pairs.iter().find(|pair| self.holds(&map["key"], &pair[0]));
                if let Some(pair) = pair {
                    return Some(&pair[1]);
                }
            } else if ["counter", "log", "comment"].iter().all(|name| !has(statement, name)) {
                let ends = ["accept", "drop", "reject", "return", "jump", "goto"];
                return ends.iter().any(|name| has(statement, name)).then_some(statement);
            }
        }
        None
    }

    /// Whether a value of the packet is one of those on the right.
    fn holds(&self, left: &Value, right: &Value) -> bool {
        if let Some(values) = right.as_array().or_else(|| right["set"].as_array()) {
            return values.iter().any(|value| self.holds(left, value));
        }
        let key = left["meta"]["key"].as_str().or_else(|| left["ct"]["key"].as_str());
        let payload = &left["payload"];
        let field = (payload["protocol"].as_str(), payload["field"].as_str());
        match (key, field) {
            (Some("iifname" | "iif"), _) => {
                right.as_str().is_some_and(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => self.packet.interface.starts_with(prefix),
                    None => pattern == self.packet.interface,
                })
            }
            (Some("state"), _) => right == "new",
            (Some("l4proto"), _) | (_, (Some("ip" | "ip6"), Some("protocol" | "nexthdr"))) => {
                right == "tcp" || right == 6
            }
            (Some("nfproto"), _) => true,
            (_, (Some("tcp" | "th"), Some("dport"))) => self.has_port(right),
            (_, (_, Some("saddr"))) => right["prefix"]["len"] == 0,
            _ if has(left, "fib") => right == "local",
            // Flags of a first packet.
            _ if has(left, "&") => right == "syn",
            _ => false,
        }
    }

    fn has_port(&self, right: &Value) -> bool {
        let port = u64::from(self.packet.port);
        match right["range"].as_array().map(Vec::as_slice) {
            Some([first, last]) => {
                first.as_u64().is_some_and(|first| first <= port)
                    && last.as_u64().is_some_and(|last| port <= last)
            }
            _ => right.as_u64() == Some(port),
        }
    }
}

fn has(statement: &Value, name: &str) -> bool {
    statement.get(name).is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain(name: &str, hook: Option<&str>, policy: &str) -> Value {
        let base = json!({ "family": "inet", "table": "filter", "name": name });
        let mut chain = base.as_object().unwrap().clone();
        if let Some(hook) = hook {
            chain.extend(
                json!({ "type": "filter", "hook": hook, "policy": policy })
                    .as_object()
                    .unwrap()
                    .clone(),
            );
        }
        json!({ "chain": chain })
    }

    fn rule(chain: &str, expr: &Value) -> Value {
        json!({ "rule": { "family": "inet", "table": "filter", "chain": chain, "expr": expr } })
    }

    fn is(left: &Value, right: &Value) -> Value {
        json!({ "match": { "op": "==", "left": left, "right": right } })
    }

    fn judged(objects: &[Value]) -> [Verdict; 2] {
        let listing = json!({ "nftables": objects }).to_string();
        [22, 443].map(|port| judge(&listing, Packet { interface: "eth0", port }))
    }

    fn drops(objects: &[Value]) -> [bool; 2] {
        judged(objects).map(|verdict| matches!(verdict, Verdict::Dropped(_)))
    }

    fn dport() -> Value {
        json!({ "payload": { "protocol": "tcp", "field": "dport" } })
    }

    #[test]
    fn a_policy_that_drops_is_found_with_its_chain() {
        let state = json!({ "ct": { "key": "state" } });
        let ports = json!({ "set": [22, { "range": [8000, 8080] }] });
        let objects = [
            chain("input", Some("input"), "drop"),
            rule(
                "input",
                &json!([is(&state, &json!(["established", "related"])), { "accept": null }]),
            ),
            rule(
                "input",
                &json!([is(&json!({ "meta": { "key": "iifname" } }), &json!("lo")), { "accept": null }]),
            ),
            rule("input", &json!([is(&dport(), &ports), { "counter": null }, { "accept": null }])),
        ];

        let expected = Verdict::Dropped("nft chain inet filter input, policy drop".to_owned());
        assert_eq!(judged(&objects), [Verdict::Undecided, expected]);
    }

    #[test]
    fn maps_and_jumps_lead_to_the_rule_that_drops() {
        let key = json!({ "ct": { "key": "state" } });
        let map = json!({ "vmap": { "key": key, "data": { "set": [
            ["established", { "accept": null }],
            ["new", { "jump": { "target": "fresh" } }],
        ] } } });
        let objects = [
            chain("input", Some("input"), "accept"),
            chain("fresh", None, ""),
            rule("input", &json!([map])),
            rule("fresh", &json!([is(&dport(), &json!(22)), { "accept": null }])),
            rule("fresh", &json!([{ "log": null }, { "reject": null }])),
        ];

        assert_eq!(drops(&objects), [false, true]);
    }

    #[test]
    fn bans_of_addresses_and_the_tables_of_iptables_are_no_firewall() {
        let saddr = json!({ "payload": { "protocol": "ip", "field": "saddr" } });
        let set = json!("@addr-set-sshd");
        let bans = [
            chain("f2b-chain", Some("input"), "accept"),
            rule(
                "f2b-chain",
                &json!([is(&dport(), &json!(22)), is(&saddr, &set), { "reject": null }]),
            ),
            rule("f2b-chain", &json!([{ "limit": { "rate": 9 } }, { "drop": null }])),
        ];
        assert_eq!(drops(&bans), [false, false]);

        let of_iptables = json!({ "chain": { "family": "ip", "table": "filter", "name": "INPUT",
            "type": "filter", "hook": "input", "policy": "drop" } });
        assert_eq!(drops(&[of_iptables]), [false, false]);
        assert_eq!(judge("", Packet { interface: "eth0", port: 22 }), Verdict::Undecided);
    }
}
