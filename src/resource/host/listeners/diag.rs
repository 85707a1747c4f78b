//! The kernel's own list of listening TCP sockets (`sock_diag(7)`).
//!
//! `/proc/net/tcp` has them too, but the kernel goes through the table of all connections for it:
//! several milliseconds where this takes a fraction of one.

use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::{AddressFamily, netlink::SOCK_DIAG};

use crate::resource::host::netlink::{ALL, ask, broken, number};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// Among states, that of a socket that listens: `1 << TCP_LISTEN`.
const LISTENING: u32 = 1 << 10;
const TCP: u8 = 6;
/// The length of `inet_diag_req_v2`.
const LENGTH: usize = 56;

/// Address, port and inode of each listening socket of a family.
pub(super) fn listening(family: AddressFamily) -> Result<Vec<(IpAddr, u16, u64)>> {
    let answers = ask(Some(SOCK_DIAG), BY_FAMILY, ALL, &question(family))?;
    answers.iter().map(|message| answer(message)).collect()
}

/// `inet_diag_req_v2`.
fn question(family: AddressFamily) -> Vec<u8> {
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let mut bytes = vec![family, TCP, 0, 0];
    bytes.extend(LISTENING.to_ne_bytes());
    bytes.resize(LENGTH, 0);
    bytes
}

/// Reads an `inet_diag_msg`: the family, port and address at 0, 4 and 8, the inode at 68.
fn answer(message: &[u8]) -> Result<(IpAddr, u16, u64)> {
    let address: [u8; 16] =
        message.get(8..24).and_then(|b| b.try_into().ok()).ok_or_else(broken)?;
    let address = match AddressFamily::from_raw(message[0].into()) {
        AddressFamily::INET => {
            let [a, b, c, d, ..] = address;
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => Ipv6Addr::from(address).to_canonical(),
    };
    let port = u16::from_be_bytes([message[4], message[5]]);
    Ok((address, port, number(message, 68)?.into()))
}
