//! Questions to the kernel over netlink (`netlink(7)`).

use std::io::{Error, ErrorKind, Result};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NLM_F_DUMP`: all that the kernel has.
pub(in crate::resource) const ALL: u16 = 0x300;
/// `NLM_F_MULTI`: more messages follow.
const MORE: u16 = 2;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// The length of `nlmsghdr`.
const HEADER: usize = 16;

/// The bodies of the kernel's answers to a message of a kind.
///
/// No protocol is `NETLINK_ROUTE`.
pub(in crate::resource) fn ask(
    protocol: Option<Protocol>,
    kind: u16,
    flags: u16,
    body: &[u8],
) -> Result<Vec<Vec<u8>>> {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)?;
    send(&socket, &message(kind, flags, body)?, SendFlags::empty())?;
    let mut answers = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        let (read, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        while rest.len() >= HEADER {
            let length = number(rest, 0)? as usize;
            let message = rest.get(..length).filter(|_| length >= HEADER).ok_or_else(broken)?;
            match u16::from_ne_bytes([message[4], message[5]]) {
                DONE => return Ok(answers),
                ERROR => return Err(broken()),
                _ => answers.push(message[HEADER..].to_vec()),
            }
            if u16::from_ne_bytes([message[6], message[7]]) & MORE == 0 {
                return Ok(answers);
            }
            // Messages begin at multiples of four.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        if read == 0 {
            return Err(broken());
        }
    }
}

/// `nlmsghdr`, then the body. Its number and who asks need not be told apart.
fn message(kind: u16, flags: u16, body: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(HEADER + body.len()).map_err(|_| broken())?;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((REQUEST | flags).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    Ok(bytes)
}

/// A 32-bit number in the machine's own byte order.
pub(in crate::resource) fn number(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_ne_bytes).ok_or_else(broken)
}

/// The kernel does not answer that.
pub(in crate::resource) fn broken() -> Error {
    Error::new(ErrorKind::InvalidData, "the kernel gives no answer over netlink")
}
