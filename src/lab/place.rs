//! Where in the lab's network a host gets its place: numbers that no link of this machine has, and addresses that no route
//! covers.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use ipnet::Ipv4Net;

/// The networks that hosts get their addresses from: the first that no route of this machine claims.
const POOLS: [[u8; 2]; 3] = [[10, 213], [172, 29], [100, 120]];
pub(super) const LINKS: &str = "/sys/class/net";

/// Which of the free places is taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Lowest,
    Highest,
    /// The highest one, for the first host of a segment.
    NewSegment,
    /// The highest one, for another host of the segment with this number in this network.
    Segment([u8; 2], u8),
}

/// A place whose addresses no route covers and whose number no link has.
pub(super) fn free_place(routes: &str, in_use: &[u8], place: Place) -> Result<([u8; 2], u8)> {
    let taken: Vec<Ipv4Net> = routes.lines().filter_map(destination).collect();
    let mut slots: Vec<u8> = (1..=254).filter(|slot| !in_use.contains(slot)).collect();
    if !matches!(place, Place::Lowest) {
        slots.reverse();
    }
    for pool in POOLS {
        for &slot in &slots {
            let wanted = Ipv4Net::new_assert(Ipv4Addr::new(pool[0], pool[1], slot, 0), 30);
            let is_free = |net: &Ipv4Net| !net.contains(&wanted) && !wanted.contains(net);
            if taken.iter().all(is_free) {
                return Ok((pool, slot));
            }
        }
    }
    bail!("no address is free for a lab host: routes of this machine cover all that hwctl knows")
}

/// Where a line of `ip route` leads to; the default route leads to no place of its own.
fn destination(line: &str) -> Option<Ipv4Net> {
    let kinds = ["unicast", "local", "broadcast", "unreachable", "blackhole", "prohibit"];
    let word = line.split_whitespace().find(|word| !kinds.contains(word))?;
    let host = |word: &str| word.parse::<Ipv4Addr>().ok().map(Ipv4Net::from);
    word.parse().ok().or_else(|| host(word)).filter(|net: &Ipv4Net| net.prefix_len() > 0)
}

/// The numbers of the lab's links on this machine, whichever lab folder they belong to.
pub(super) fn slots_in_use() -> Vec<u8> {
    let Ok(links) = fs::read_dir(LINKS) else { return Vec::new() };
    links
        .flatten()
        .filter_map(|link| link.file_name().to_str()?.strip_prefix("hwctl")?.parse().ok())
        .collect()
}

/// The name of the link of a host, or of the bridge of a segment, with this number.
pub(super) fn link_of(number: u8) -> String {
    format!("hwctl{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(routes: &str, in_use: &[u8]) -> ([u8; 2], u8) {
        free_place(routes, in_use, Place::Lowest).unwrap()
    }

    #[test]
    fn a_free_place_is_taken() {
        let routes = "default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0 scope link\n";
        assert_eq!(place(routes, &[]), ([10, 213], 1));
        assert_eq!(place(routes, &[1, 2, 4]), ([10, 213], 3));
        assert_eq!(free_place(routes, &[1, 254], Place::Highest).unwrap(), ([10, 213], 253));
    }

    #[test]
    fn places_that_a_route_covers_are_left_alone() {
        assert_eq!(place("10.213.0.0/23 dev tun0", &[]), ([10, 213], 2));
        assert_eq!(place("10.213.1.2 dev tun0", &[]), ([10, 213], 2));
        assert_eq!(place("unreachable 10.0.0.0/8", &[]), ([172, 29], 1));
        let all = "10.0.0.0/8 dev a\n172.16.0.0/12 dev b\n100.64.0.0/10 dev c";
        assert!(free_place(all, &[], Place::Lowest).is_err());
    }
}
