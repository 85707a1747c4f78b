//! The kernel's own list of listening TCP sockets, asked for over netlink (`sock_diag(7)`).
//!
//! `/proc/net/tcp` has them too, but the kernel goes through the table of all connections for it:
//! several milliseconds where this takes a fraction of one.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const ALL: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Among states, that of a socket that listens: `1 << TCP_LISTEN`.
const LISTENING: u32 = 1 << 10;
const TCP: u8 = 6;
/// The length of `nlmsghdr`.
const HEADER: usize = 16;

/// Address, port and inode of each listening socket of a family.
pub(super) fn listening(family: AddressFamily) -> Result<Vec<(IpAddr, u16, u64)>> {
    let kind = (SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG));
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, kind.0, kind.1, kind.2)?;
    rustix::net::send(&socket, &question(family), SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        let (read, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        while rest.len() >= HEADER {
            let length = number(rest, 0)? as usize;
            let message = rest.get(..length).filter(|_| length >= HEADER).ok_or_else(broken)?;
            match u16::from_ne_bytes([message[4], message[5]]) {
                DONE => return Ok(found),
                ERROR => return Err(broken()),
                _ => found.push(answer(&message[HEADER..])?),
            }
            // Messages begin at multiples of four.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        if read == 0 {
            return Err(broken());
        }
    }
}

/// `nlmsghdr`, then `inet_diag_req_v2`.
fn question(family: AddressFamily) -> Vec<u8> {
    const LENGTH: u32 = 72;
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let mut bytes = LENGTH.to_ne_bytes().to_vec();
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(ALL.to_ne_bytes());
    // Its number and who asks, which need not be told apart.
    bytes.extend([0; 8]);
    bytes.extend([family, TCP, 0, 0]);
    bytes.extend(LISTENING.to_ne_bytes());
    bytes.resize(LENGTH as usize, 0);
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

fn number(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_ne_bytes).ok_or_else(broken)
}

fn broken() -> Error {
    Error::new(ErrorKind::InvalidData, "the kernel does not list its sockets")
}
