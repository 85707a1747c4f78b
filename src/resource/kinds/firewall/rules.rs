//! ufw's file of rules for one address family: rules of others are kept to the letter.

use std::net::IpAddr;

use anyhow::{Result, anyhow};
use ipnet::IpNet;

use super::{Advise, FirewallPort};
use crate::resource::model::digest::hex;

const BEGIN: &str = "### RULES ###\n";
const END: &str = "### END RULES ###\n";
const TUPLE: &str = "### tuple ### ";
/// How the comment of a rule of hwctl's begins. What the operator says of the port comes after a colon.
const OWNER: &str = "hwctl";

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn input_chain(self) -> &'static str {
        match self {
            Self::V4 => "ufw-user-input",
            Self::V6 => "ufw6-user-input",
        }
    }

    fn anywhere(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }

    /// Whether the port is open to addresses of this family.
    fn has(self, port: &FirewallPort) -> bool {
        port.from.is_none_or(|from| matches!(from, IpNet::V4(_)) == (self == Self::V4))
    }
}

/// One file of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RuleFile {
    /// Up to and with the line that begins the rules.
    head: String,
    pub(super) rules: Vec<Rule>,
    /// From the line that ends the rules on.
    tail: String,
}

/// One rule: what was asked of ufw, and the lines for iptables that ufw made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    tuple: String,
    pub(super) lines: Vec<String>,
}

/// What changes of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleChange {
    pub(super) name: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    /// Whether what it lets in stays the same.
    pub(super) is_comment: bool,
}

impl RuleFile {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let Some((head, rest)) = text.split_once(BEGIN) else {
            return Err(anyhow!("a file of ufw's rules has no line `{}`", BEGIN.trim()))
                .hint("restore that file from a backup; `ufw reset` on the host makes it anew, but turns the firewall off and deletes all rules, also those that are not hwctl's");
        };
        // As packaged, the file has no rules and no line that ends them.
        let (section, tail) = match rest.split_once(END) {
            Some((section, tail)) => (section, format!("{END}{tail}")),
            None => ("", format!("{END}{rest}")),
        };
        let mut rules: Vec<Rule> = Vec::new();
        for line in section.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(tuple) = line.strip_prefix(TUPLE) {
                rules.push(Rule { tuple: tuple.to_owned(), lines: Vec::new() });
            } else if let Some(rule) = rules.last_mut() {
                rule.lines.push(line.to_owned());
            }
        }
        Ok(Self { head: format!("{head}{BEGIN}"), rules, tail })
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.head.clone();
        for rule in &self.rules {
            text.push('\n');
            text.push_str(TUPLE);
            text.push_str(&rule.tuple);
            text.push('\n');
            for line in &rule.lines {
                text.push_str(line);
                text.push('\n');
            }
        }
        text.push('\n');
        text.push_str(&self.tail);
        text
    }

    /// The rules that others made and that are not declared, such as `deny from 192.0.2.7`.
    pub(super) fn others(&self, allow: &[FirewallPort], family: Family) -> Vec<String> {
        let is_other = |rule: &&Rule| {
            !rule.is_own() && !allow.iter().any(|port| rule.is_exactly(port, family))
        };
        let rules = self.rules.iter().filter(is_other);
        rules.map(|rule| format!("{} {}", rule.action(), rule.name(family))).collect()
    }

    /// Whether hwctl has made a rule for this port.
    pub(super) fn has_own(&self, port: &FirewallPort, family: Family) -> bool {
        self.rules.iter().any(|rule| rule.is_own() && rule.is_exactly(port, family))
    }

    /// Whether a rule of others lets a client in to this port. While ufw filters, the client's session
    /// proves that a rule for one interface or address of the host does.
    pub(super) fn lets_in(&self, client: IpAddr, port: &FirewallPort, filters: bool) -> bool {
        let about =
            |rule: &&Rule| !rule.is_own() && rule.has_port(port) && rule.is_about(client, filters);
        // The first rule decides.
        self.rules.iter().find(about).is_some_and(Rule::lets_in)
    }

    /// The TCP ports that rules let in from anywhere or from some networks: the first and the last of
    /// each, and whether hwctl made the rule.
    pub(super) fn open_tcp(&self) -> Vec<(u16, u16, bool)> {
        let open = self.rules.iter().filter(|rule| rule.lets_in() && rule.is_incoming());
        open.flat_map(|rule| rule.tcp_ports().into_iter().map(|(a, b)| (a, b, rule.is_own())))
            .collect()
    }

    /// Brings the rules to those that are wanted, and says what changes.
    pub(super) fn bring_to(
        &mut self,
        allow: &[FirewallPort],
        exclusive: bool,
        family: Family,
    ) -> Vec<RuleChange> {
        let allow = allow.iter().filter(|port| family.has(port));
        let mut changes = Vec::new();
        let mut kept = Vec::new();
        for rule in std::mem::take(&mut self.rules) {
            let declared = allow.clone().find(|port| rule.is_exactly(port, family));
            let own = declared.map(|port| Rule::own(port, family));
            let mut is_comment = false;
            let before = match &own {
                // As ufw does it: the same rule with another action is replaced.
                Some(_) if !rule.lets_in() => rule.shown(),
                Some(own) if rule.is_own() && rule.lines != own.lines => "damaged".to_owned(),
                Some(own) if rule.is_own() && rule.comment() != own.comment() => {
                    is_comment = true;
                    rule.shown()
                }
                None if rule.is_own() || exclusive => rule.shown(),
                _ => {
                    kept.push(rule);
                    continue;
                }
            };
            let (name, after) = (rule.name(family), own.as_ref().map(Rule::shown));
            changes.push(RuleChange { name, before: Some(before), after, is_comment });
            kept.extend(own);
        }
        for port in allow {
            let is_there = |rule: &Rule| {
                if exclusive { rule.is_exactly(port, family) } else { rule.covers(port, family) }
            };
            if !kept.iter().any(|rule| rule.lets_in() && is_there(rule)) {
                let rule = Rule::own(port, family);
                let (name, after) = (rule.name(family), Some(rule.shown()));
                changes.push(RuleChange { name, before: None, after, is_comment: false });
                kept.push(rule);
            }
        }
        self.rules = kept;
        changes
    }

    /// The rules of an earlier state with those that others have made or removed since: of that
    /// state hwctl's own count, and those that hwctl has taken away.
    pub(super) fn with_others(&self, now: &Self, exclusive: bool, family: Family) -> Self {
        let replaced = |rule: &Rule| {
            now.rules.iter().any(|own| own.is_own() && own.name(family) == rule.name(family))
        };
        let mut rules: Vec<_> = self.rules.clone();
        rules.retain(|rule| {
            rule.is_own() || now.rules.contains(rule) || exclusive || replaced(rule)
        });
        let new = now.rules.iter().filter(|rule| !rule.is_own() && !self.rules.contains(rule));
        rules.extend(new.cloned());
        Self { rules, ..self.clone() }
    }

    /// The rules in which this file and another differ.
    pub(super) fn differences(&self, other: &Self, family: Family) -> Vec<RuleChange> {
        let gone = self.rules.iter().filter(|rule| !other.rules.contains(rule));
        let new = other.rules.iter().filter(|rule| !self.rules.contains(rule));
        let is_same = |a: &Rule, b: &Rule| a.name(family) == b.name(family);
        let changed = gone.clone().map(|rule| {
            let after = new.clone().find(|new| is_same(new, rule));
            let is_comment = after.is_some_and(|after| after.lines == rule.lines);
            let (name, after) = (rule.name(family), after.map(Rule::shown));
            RuleChange { name, before: Some(rule.shown()), after, is_comment }
        });
        let added = new.clone().filter(|new| !gone.clone().any(|rule| is_same(new, rule)));
        let added = added.map(|rule| {
            let (name, after) = (rule.name(family), Some(rule.shown()));
            RuleChange { name, before: None, after, is_comment: false }
        });
        changed.chain(added).collect()
    }

    /// Takes out the rules that hwctl made.
    pub(super) fn without_own(mut self) -> Self {
        self.rules.retain(|rule| !rule.is_own());
        self
    }
}

impl Rule {
    /// The rule as ufw itself writes it for `ufw allow 80/tcp comment hwctl`, or for
    /// `ufw allow proto tcp from 10.0.0.0/8 to any port 80 comment 'hwctl: shop'`.
    fn own(port: &FirewallPort, family: Family) -> Self {
        let (number, protocol) = (port.number, port.protocol.name());
        let (anywhere, chain) = (family.anywhere(), family.input_chain());
        let from = port.source().unwrap_or_else(|| anywhere.to_owned());
        let source = port.source().map(|from| format!(" -s {from}")).unwrap_or_default();
        let comment = match &port.comment {
            Some(comment) => format!("{OWNER}: {comment}"),
            None => OWNER.to_owned(),
        };
        let comment = hex(comment.as_bytes());
        Self {
            tuple: format!("allow {protocol} {number} {anywhere} any {from} in comment={comment}"),
            lines: vec![format!("-A {chain} -p {protocol} --dport {number}{source} -j ACCEPT")],
        }
    }

    fn is_own(&self) -> bool {
        let comment = self.comment().unwrap_or_default();
        comment == OWNER || comment.split_once(": ").is_some_and(|(owner, _)| owner == OWNER)
    }

    /// Its comment, which ufw keeps in hex.
    fn comment(&self) -> Option<String> {
        let (_, digits) = self.tuple.split_once(" comment=")?;
        let pairs = digits.trim().as_bytes().chunks(2).map(std::str::from_utf8);
        let byte = |pair: Result<&str, _>| u8::from_str_radix(pair.ok()?, 16).ok();
        String::from_utf8(pairs.map(byte).collect::<Option<Vec<_>>>()?).ok()
    }

    /// What it does, with what the operator says of it.
    fn shown(&self) -> String {
        let comment = self.comment().filter(|_| self.is_own());
        match comment.as_ref().and_then(|comment| comment.split_once(": ")) {
            Some((_, comment)) => format!("{} ({comment})", self.action()),
            None => self.action().to_owned(),
        }
    }

    /// Action, protocol, port, destination, source port, source, perhaps two names of
    /// applications, direction with interface.
    fn fields(&self) -> Vec<&str> {
        let tuple = self.tuple.split_once(" comment=").map_or(&*self.tuple, |(tuple, _)| tuple);
        tuple.split_whitespace().collect()
    }

    /// Without the kind of logging.
    fn action(&self) -> &str {
        let action = self.fields().first().copied().unwrap_or_default();
        action.split_once('_').map_or(action, |(action, _)| action)
    }

    /// A rate limit lets in as well.
    fn lets_in(&self) -> bool {
        matches!(self.action(), "allow" | "limit")
    }

    /// The direction, with the interface if it is about one only: `in`, `in_eth0`, `out`.
    fn direction(&self) -> Option<&str> {
        let fields = self.fields();
        fields.get(8).or(fields.get(6).filter(|_| fields.len() == 7)).copied()
    }

    /// Whether it is about packets to this host.
    fn is_incoming(&self) -> bool {
        let fields = self.fields();
        (6..=9).contains(&fields.len())
            && !fields[0].starts_with("route:")
            && self.direction().is_none_or(|direction| direction.starts_with("in"))
    }

    /// Whether it is about packets by any interface, to any address of this host, from any port.
    fn is_for_all_of_host(&self) -> bool {
        let fields = self.fields();
        self.is_incoming()
            && self.direction().is_none_or(|direction| direction == "in")
            && ["0.0.0.0/0", "::/0"].contains(&fields[3])
            && fields[4] == "any"
    }

    /// The network that it is about.
    fn source(&self) -> Option<IpNet> {
        let source = *self.fields().get(5)?;
        source.parse().ok().or_else(|| source.parse::<IpAddr>().ok().map(IpNet::from))
    }

    /// Whether it is about this port and network, and nothing else.
    fn is_exactly(&self, port: &FirewallPort, family: Family) -> bool {
        let fields = self.fields();
        self.is_for_all_of_host()
            && fields.len() < 8
            && fields[1] == port.protocol.name()
            && fields[2] == port.number.to_string()
            && fields[5] == port.source().unwrap_or_else(|| family.anywhere().to_owned())
    }

    /// Whether it is about this port and network, perhaps among others.
    fn covers(&self, port: &FirewallPort, family: Family) -> bool {
        let source = self.source();
        let has_source = match port.from {
            Some(from) => source.is_some_and(|source| source.contains(&from)),
            None => self.fields().get(5) == Some(&family.anywhere()),
        };
        self.is_for_all_of_host() && has_source && self.has_port(port)
    }

    /// Whether it is about packets from this client. A rule for one interface or address counts when
    /// `any_place`.
    fn is_about(&self, client: IpAddr, any_place: bool) -> bool {
        let is_place = if any_place { self.is_incoming() } else { self.is_for_all_of_host() };
        is_place && self.source().is_some_and(|source| source.contains(&client))
    }

    /// Whether this port is one of its ports.
    fn has_port(&self, port: &FirewallPort) -> bool {
        let fields = self.fields();
        fields.get(1).is_some_and(|name| [port.protocol.name(), "any"].contains(name))
            && self.ports().iter().any(|(a, b)| (*a..=*b).contains(&port.number))
    }

    fn tcp_ports(&self) -> Vec<(u16, u16)> {
        let has_tcp = self.fields().get(1).is_some_and(|name| ["tcp", "any"].contains(name));
        if has_tcp { self.ports() } else { Vec::new() }
    }

    /// Its ports, each a first and a last one.
    fn ports(&self) -> Vec<(u16, u16)> {
        let range = |part: &str| {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        match self.fields().get(2) {
            Some(&"any") => vec![(0, u16::MAX)],
            Some(parts) => parts.split(',').filter_map(range).collect(),
            None => Vec::new(),
        }
    }

    /// What it is about, as a person would say it.
    fn name(&self, family: Family) -> String {
        let fields = self.fields();
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        let what = match (field(2), field(1)) {
            ("any", "any") => "any".to_owned(),
            ("any", protocol) => protocol.to_owned(),
            (port, "any") => port.to_owned(),
            (port, protocol) => format!("{port}/{protocol}"),
        };
        let to = Some(field(3)).filter(|to| *to != family.anywhere());
        let from = Some(field(5)).filter(|from| *from != family.anywhere());
        let direction = self.direction().filter(|direction| *direction != "in");
        let program = Some(field(6)).filter(|name| fields.len() > 7 && *name != "-");
        [
            Some(what),
            program.map(|name| format!("({})", name.replace("%20", " "))),
            to.map(|to| format!("to {to}")),
            from.map(|from| format!("from {from}")),
            direction.map(|direction| direction.replace('_', " on ")),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
    }
}
