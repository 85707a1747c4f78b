//! The network interfaces by which others reach the host, straight from the kernel.

use std::io;

use crate::resource::host::Host;
use crate::resource::host::docker;
use crate::resource::host::docker::Daemon;
use crate::resource::host::netlink::{ALL, ask, broken, number};

/// `RTM_GETLINK`.
const GET_LINKS: u16 = 18;
/// The length of `ifinfomsg`, before the attributes.
const HEAD: usize = 16;
/// Where `ifinfomsg` has its flags, and two of them: `IFF_UP` and `IFF_LOOPBACK`.
const FLAGS: usize = 8;
const UP: u32 = 1;
const LOOPBACK: u32 = 8;
/// `IFLA_IFNAME`, `IFLA_MASTER`, and `IFLA_LINKINFO` with `IFLA_INFO_KIND` in it.
const NAME: u16 = 3;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const KIND: u16 = 1;
/// The bits of an attribute's type that are its number.
const NUMBER: u16 = 0x3fff;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Interface {
    name: String,
    /// Such as `bridge` or `veth`. Empty for hardware.
    kind: String,
    is_up: bool,
    is_loopback: bool,
    /// Whether it is a part of another interface, such as the port of a bridge.
    is_part: bool,
}

/// Names the interfaces by which others reach the host: all that are up, except the loopback, the ports
/// of bridges and the bridges of Docker's networks, whatever those are called.
pub async fn outer_interfaces(host: &Host) -> anyhow::Result<Vec<String>> {
    let mut outer: Vec<_> = interfaces()?.into_iter().filter(Interface::may_be_outer).collect();
    if outer.iter().any(|interface| interface.kind == "bridge") {
        match bridges_of_docker(host).await {
            Some(names) => outer.retain(|interface| !names.contains(&interface.name)),
            // A bridge that may be Docker's is closed rather than open.
            None => outer.retain(|interface| interface.kind != "bridge"),
        }
    }
    let mut names: Vec<_> = outer.into_iter().map(|interface| interface.name).collect();
    names.sort_unstable();
    Ok(names)
}

/// The bridges of Docker's networks that are not called as Docker itself calls them. None when
/// Docker is installed and cannot tell.
async fn bridges_of_docker(host: &Host) -> Option<Vec<String>> {
    let docker = match docker::daemon(host).await {
        Ok(Daemon::Up(docker)) => docker,
        Ok(Daemon::Absent) => return Some(Vec::new()),
        Ok(Daemon::Down) | Err(_) => return None,
    };
    let networks = docker.list_networks(None).await.ok()?;
    let name = |network: bollard::models::Network| {
        network.options?.remove("com.docker.network.bridge.name")
    };
    Some(networks.into_iter().filter_map(name).collect())
}

impl Interface {
    fn may_be_outer(&self) -> bool {
        let is_docker = self.name == "docker0"
            || self.name.strip_prefix("br-").is_some_and(|id| {
                id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
        // iptables takes a `+` at the end for any characters, and no quotes.
        let is_plain =
            self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte));
        self.is_up && !self.is_loopback && !self.is_part && !is_docker && is_plain
    }

    fn read(answer: &[u8]) -> io::Result<Self> {
        let flags = number(answer, FLAGS)?;
        let mut interface =
            Self { is_up: flags & UP != 0, is_loopback: flags & LOOPBACK != 0, ..Self::default() };
        for (kind, value) in attributes(answer.get(HEAD..).ok_or_else(broken)?) {
            match kind {
                NAME => interface.name = text(value),
                MASTER => interface.is_part = true,
                LINK_INFO => {
                    let kind = attributes(value).into_iter().find(|(kind, _)| *kind == KIND);
                    interface.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
                }
                _ => {}
            }
        }
        Ok(interface)
    }
}

fn interfaces() -> io::Result<Vec<Interface>> {
    let answers = ask(None, GET_LINKS, ALL, &[0; HEAD])?;
    answers.iter().map(|answer| Interface::read(answer)).collect()
}

/// The attributes (`rtattr`) of a message: their numbers and values.
fn attributes(mut rest: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & NUMBER;
        let Some(value) = rest.get(4..length) else { break };
        found.push((kind, value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn interface(flags: u32, attributes: &[Vec<u8>]) -> Interface {
        let mut answer = vec![0; HEAD];
        answer[FLAGS..FLAGS + 4].copy_from_slice(&flags.to_ne_bytes());
        answer.extend(attributes.concat());
        Interface::read(&answer).unwrap()
    }

    #[test]
    fn an_interface_is_read() {
        let kind = attribute(KIND, b"bridge\0");
        let bridge = interface(UP, &[attribute(NAME, b"shop0\0"), attribute(LINK_INFO, &kind)]);

        let expected = Interface {
            name: "shop0".to_owned(),
            kind: "bridge".to_owned(),
            is_up: true,
            ..Interface::default()
        };
        assert_eq!(bridge, expected);
    }

    #[test]
    fn what_containers_are_behind_is_not_outer() {
        let outer = |name: &[u8], flags, more: &[Vec<u8>]| {
            interface(flags, &[&[attribute(NAME, name)], more].concat()).may_be_outer()
        };

        assert!(outer(b"eth0.100\0", UP, &[]));
        assert!(outer(b"br-lan\0", UP, &[]), "a bridge of the host's own");
        assert!(!outer(b"br-0123456789ab\0", UP, &[]));
        assert!(!outer(b"docker0\0", UP, &[]));
        assert!(!outer(b"lo\0", UP | LOOPBACK, &[]));
        assert!(!outer(b"eth1\0", 0, &[]), "it is down");
        assert!(!outer(b"veth12\0", UP, &[attribute(MASTER, &4_u32.to_ne_bytes())]));
        assert!(!outer(b"all+\0", UP, &[]));
    }

    #[test]
    fn the_loopback_of_this_machine_is_found() {
        let found = interfaces().unwrap();

        assert!(found.iter().any(|interface| interface.name == "lo" && interface.is_loopback));
    }
}
