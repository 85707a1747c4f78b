//! The network of a lab host: a namespace, a link with two ends, two addresses and three rules. Hosts of one segment have
//! their links in a bridge, as machines at one switch.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::command::{run, run_words};
use super::place::{LINKS, Place, free_place, link_of, slots_in_use};
use super::state::{HostDir, State, read_record};

/// Locked while links and rules change, by every lab on this machine whatever its folder. It holds
/// the value that `ip_forward` had before the first host, as long as there are hosts.
pub(super) const MACHINE_LOCK: &str = "/run/lock/hwctl-lab";
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// The place of one host in the lab's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Network {
    pool: [u8; 2],
    slot: u8,
    mtu: u32,
    /// Tells the links and rules of this host from those of any other: after this machine booted
    /// anew, another host may have the number that a host of before has on record.
    #[serde(default)]
    mark: String,
    /// The number of the segment that it shares with other hosts. None where its link is its own.
    #[serde(default)]
    segment: Option<u8>,
}

impl Network {
    /// The host's own address.
    pub(super) fn address(&self) -> Ipv4Addr {
        match self.segment {
            None => Ipv4Addr::new(self.pool[0], self.pool[1], self.slot, 2),
            Some(segment) => Ipv4Addr::new(self.pool[0], self.pool[1], segment, self.slot),
        }
    }

    /// This machine's address on the link, the host's gateway.
    pub(super) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(self.pool[0], self.pool[1], self.segment.unwrap_or(self.slot), 1)
    }

    /// The length of the prefix of both addresses.
    fn prefix(&self) -> u8 {
        if self.segment.is_some() { 24 } else { 30 }
    }

    /// The place of another host of its segment.
    pub(super) fn beside(&self) -> Option<Place> {
        self.segment.map(|segment| Place::Segment(self.pool, segment))
    }

    /// The name of the network namespace.
    pub(super) fn namespace(&self) -> String {
        format!("hwctl-{}", self.slot)
    }

    /// The name of the link's end on this machine; the host sees the other as `eth0`.
    pub(super) fn link(&self) -> String {
        link_of(self.slot)
    }

    /// The name of the bridge that joins the links of its segment.
    fn bridge(&self) -> Option<String> {
        self.segment.map(link_of)
    }

    fn comment(&self) -> String {
        format!("hwctl-lab-{}", self.mark)
    }

    fn pool_net(&self) -> String {
        format!("{}.{}.0.0/16", self.pool[0], self.pool[1])
    }

    /// The commands that make namespace and link. A reboot repeats them, so that nothing that the
    /// host set up in its namespace (addresses, firewall rules, bridges) outlives it.
    pub(super) fn wiring(&self) -> Vec<String> {
        let (ns, link, mtu) = (self.namespace(), self.link(), self.mtu);
        let (address, gateway, prefix) = (self.address(), self.gateway(), self.prefix());
        vec![
            format!("ip netns add {ns}"),
            format!("ip link add {link} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {ns}"),
            format!("ip link set {link} alias {}", self.mark),
            match self.bridge() {
                None => format!("ip address add {gateway}/{prefix} dev {link}"),
                Some(bridge) => format!("ip link set {link} master {bridge}"),
            },
            format!("ip link set {link} up"),
            format!("ip -n {ns} link set lo up"),
            format!("ip -n {ns} address add {address}/{prefix} dev eth0"),
            format!("ip -n {ns} link set eth0 up"),
            format!("ip -n {ns} route add default via {gateway}"),
        ]
    }

    /// Rules that let the host reach what this machine reaches. Between hosts addresses stay as
    /// they are, so that one host can play a client that another one knows by its address.
    fn rules(&self) -> Vec<String> {
        let (comment, pool) = (self.comment(), self.pool_net());
        let link = self.bridge().unwrap_or_else(|| self.link());
        let said = format!("-m comment --comment {comment}");
        vec![
            format!("iptables -w -I FORWARD -i {link} {said} -j ACCEPT"),
            format!("iptables -w -I FORWARD -o {link} {said} -j ACCEPT"),
            format!(
                "iptables -w -t nat -I POSTROUTING -s {} ! -d {pool} {said} -j MASQUERADE",
                self.address()
            ),
        ]
    }

    /// Rules that drop every packet to and from the host, silently, as a pulled cable does.
    fn cuts(&self) -> Vec<String> {
        let link = self.link();
        let said = format!("-m comment --comment {}-cut", self.comment());
        [("INPUT", "-i"), ("OUTPUT", "-o"), ("FORWARD", "-i"), ("FORWARD", "-o")]
            .map(|(chain, side)| format!("iptables -w -I {chain} {side} {link} {said} -j DROP"))
            .to_vec()
    }

    /// Pulls the cable. A host of a segment loses its link, as at a switch. On other links packets are dropped silently.
    pub(super) fn cut(&self) -> Result<()> {
        let _lock = lock_machine()?;
        if self.segment.is_some() {
            return run_words(&format!("ip link set {} down", self.link())).map(drop);
        }
        run_all(&self.cuts())
    }

    /// Puts the cable back.
    pub(super) fn restore(&self) -> Result<()> {
        let _lock = lock_machine()?;
        if self.segment.is_some() {
            return run_words(&format!("ip link set {} up", self.link())).map(drop);
        }
        remove_rules(&format!("{}-cut", self.comment()))
    }

    /// Makes all of it anew.
    pub(super) fn rewire(&self) -> Result<()> {
        let mut lock = lock_machine()?;
        if !self.is_ours() {
            bail!("another lab host has the address `{}` by now", self.address());
        }
        self.remove_links();
        remove_rules(&self.comment())?;
        self.set_up(&mut lock)
    }

    /// Removes all that [`claim`] made, also when some of it is gone already.
    pub(super) fn release(&self) -> Result<()> {
        let mut lock = lock_machine()?;
        if self.is_ours() {
            self.remove_links();
        }
        self.remove_empty_bridge()?;
        remove_rules(&self.comment())?;
        remove_rules(&format!("{}-cut", self.comment()))?;
        if slots_in_use().is_empty() {
            restore_forwarding(&mut lock)?;
        }
        Ok(())
    }

    fn set_up(&self, lock: &mut File) -> Result<()> {
        turn_forwarding_on(lock)?;
        self.ensure_bridge()?;
        run_all(&self.wiring())?;
        run_all(&self.rules())
    }

    /// The first host of a segment makes its bridge.
    fn ensure_bridge(&self) -> Result<()> {
        let Some(bridge) = self.bridge().filter(|name| !Path::new(LINKS).join(name).exists())
        else {
            return Ok(());
        };
        run_all(&[
            format!("ip link add {bridge} mtu {} type bridge", self.mtu),
            format!("ip address add {}/{} dev {bridge}", self.gateway(), self.prefix()),
            format!("ip link set {bridge} up"),
        ])
    }

    /// The last host of a segment takes its bridge away.
    fn remove_empty_bridge(&self) -> Result<()> {
        let Some(bridge) = self.bridge() else { return Ok(()) };
        let Ok(mut ports) = fs::read_dir(Path::new(LINKS).join(&bridge).join("brif")) else {
            return Ok(());
        };
        if ports.next().is_some() {
            return Ok(());
        }
        run("ip", &["link", "delete", &bridge]).map(drop)
    }

    /// Whether the link of this number, if there is one, is this host's. One without a mark was
    /// left by a crash in the middle of its making and is anybody's to remove.
    fn is_ours(&self) -> bool {
        fs::read_to_string(Path::new(LINKS).join(self.link()).join("ifalias"))
            .map_or(true, |alias| [self.mark.as_str(), ""].contains(&alias.trim()))
    }

    /// What distinguishes the host's network namespace from all others. None if it has none.
    pub(super) fn namespace_inode(&self) -> Option<u64> {
        let path = Path::new("/run/netns").join(self.namespace());
        fs::metadata(path).ok().filter(|_| self.is_ours()).map(|file| file.ino())
    }

    /// The link's end in this machine may outlive the namespace's file by a moment: both go by name.
    fn remove_links(&self) {
        // What is not there is what is wanted here; a link that stays makes the next command fail.
        let _ = run("ip", &["link", "delete", &self.link()]);
        let _ = run("ip", &["netns", "delete", &self.namespace()]);
    }
}

/// Finds a free place in the network and makes namespace, link and rules there. `note` is called
/// with the place before anything is made, so that a crash leaves nothing that is not on record.
pub(super) fn claim(
    state: &State,
    dir: &HostDir,
    place: Place,
    note: impl FnOnce(&Network) -> Result<()>,
) -> Result<()> {
    let mut lock = lock_machine()?;
    let routes = run("ip", &["-4", "route", "show", "table", "all"])?;
    let mut in_use = slots_in_use();
    let records = state.host_dirs()?;
    for Network { slot, segment, .. } in records.iter().filter_map(read_record).map(|it| it.network)
    {
        in_use.extend([Some(slot), segment].into_iter().flatten());
    }
    let segment = match place {
        Place::Lowest | Place::Highest => None,
        Place::NewSegment => Some(free_place(&routes, &in_use, place)?),
        Place::Segment(pool, number) => Some((pool, number)),
    };
    in_use.extend(segment.map(|(_, number)| number));
    let (pool, slot) = free_place(&routes, &in_use, place)?;
    let pool = segment.map_or(pool, |(pool, _)| pool);
    let segment = segment.map(|(_, number)| number);
    let network = Network { pool, slot, mtu: default_mtu(&routes), mark: dir.mark(), segment };
    note(&network)?;
    network.remove_links();
    network.set_up(&mut lock)
}

/// Waits until every [`claim`] that has begun is over.
pub(super) fn wait_for_claims() -> Result<()> {
    lock_machine().map(drop)
}

/// The packet size of the link that the default route uses: a host behind it must not send larger
/// ones, since the error that would tell it so is often filtered on the way.
fn default_mtu(routes: &str) -> u32 {
    routes
        .lines()
        .find(|line| line.starts_with("default"))
        .and_then(|line| line.split_whitespace().skip_while(|word| *word != "dev").nth(1))
        .and_then(|link| fs::read_to_string(Path::new(LINKS).join(link).join("mtu")).ok())
        .and_then(|mtu| mtu.trim().parse().ok())
        .unwrap_or(1500)
}

fn run_all(lines: &[String]) -> Result<()> {
    lines.iter().try_for_each(|line| run_words(line).map(drop))
}

/// Deletes the rules that carry a comment, wherever they are in their chains.
fn remove_rules(comment: &str) -> Result<()> {
    for table in ["filter", "nat"] {
        let rules = run("iptables-save", &["-t", table])?;
        for rule in rules.lines().filter(|rule| carries(rule, comment)) {
            let words = rule.replacen("-A ", "-D ", 1);
            run_words(&format!("iptables -w -t {table} {words}"))?;
        }
    }
    Ok(())
}

fn carries(rule: &str, comment: &str) -> bool {
    let mut words = rule.split_whitespace().skip_while(|word| *word != "--comment");
    rule.starts_with("-A ") && words.nth(1).is_some_and(|word| word.trim_matches('"') == comment)
}

fn lock_machine() -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(MACHINE_LOCK)
        .with_context(|| format!("open `{MACHINE_LOCK}`"))?;
    file.lock().with_context(|| format!("lock `{MACHINE_LOCK}`"))?;
    Ok(file)
}

fn turn_forwarding_on(lock: &mut File) -> Result<()> {
    let before = fs::read_to_string(IP_FORWARD).with_context(|| format!("read `{IP_FORWARD}`"))?;
    if before.trim() != "1" {
        lock.write_all(before.trim().as_bytes()).context("remember `ip_forward`")?;
        fs::write(IP_FORWARD, "1").with_context(|| format!("write `{IP_FORWARD}`"))?;
    }
    Ok(())
}

fn restore_forwarding(lock: &mut File) -> Result<()> {
    let mut before = String::new();
    lock.rewind()?;
    lock.read_to_string(&mut before)?;
    if !before.is_empty() {
        fs::write(IP_FORWARD, before).with_context(|| format!("write `{IP_FORWARD}`"))?;
        lock.set_len(0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_known_by_its_whole_comment() {
        let rule = "-A FORWARD -i hwctl1 -m comment --comment hwctl-lab-1 -j ACCEPT";
        assert!(carries(rule, "hwctl-lab-1"));
        assert!(!carries(rule, "hwctl-lab-11"));
        assert!(!carries(&rule.replace("lab-1", "lab-11"), "hwctl-lab-1"));
        assert!(!carries(":FORWARD ACCEPT [0:0]", "hwctl-lab-1"));
    }
}
