//! Which TCP ports are listened on, and by which process: straight from the kernel.

mod diag;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::AddressFamily;

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address it listens on.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The processes that hold it, by pid and name. Several share a socket after a fork; systemd
    /// (pid 1) holds those of its socket units.
    pub processes: Vec<(u32, String)>,
}

impl Listener {
    /// Whether Docker holds it for a container.
    #[must_use]
    pub fn is_of_docker(&self) -> bool {
        let names = ["docker-proxy", "dockerd"];
        self.processes.first().is_some_and(|(_, name)| names.contains(&name.as_str()))
    }

    /// Who holds it, such as `` `nginx` (pid 12) ``.
    #[must_use]
    pub fn holder(&self) -> String {
        match self.processes.first() {
            Some((pid, name)) => format!("`{name}` (pid {pid})"),
            None => "another program".to_owned(),
        }
    }
}

/// All listening TCP sockets of the host.
#[must_use]
pub fn listeners() -> Vec<Listener> {
    read_listeners(&|_| true)
}

/// Those of programs by this name: other processes, of which there may be many, are not looked at.
#[must_use]
pub fn listeners_of(program: &str) -> Vec<Listener> {
    let mut found = read_listeners(&|name| name == program);
    found.retain(|listener| !listener.processes.is_empty());
    found
}

fn read_listeners(is_meant: &dyn Fn(&str) -> bool) -> Vec<Listener> {
    let families = [AddressFamily::INET, AddressFamily::INET6];
    let asked: io::Result<Vec<_>> = families.into_iter().map(diag::listening).collect();
    // A kernel can be without the answer to that.
    let found = asked.map_or_else(|_| from_proc(), |found| found.concat());
    if found.is_empty() {
        return Vec::new();
    }
    let processes = processes_by_socket(is_meant);
    found
        .into_iter()
        .map(|(address, port, inode)| Listener {
            address,
            port,
            processes: processes.get(&inode).cloned().unwrap_or_default(),
        })
        .collect()
}

fn from_proc() -> Vec<(IpAddr, u16, u64)> {
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(listening));
    }
    found
}

/// Reads a line of `/proc/net/tcp`, such as
/// `0: 0100007F:18EB 00000000:0000 0A … 0 0 12345`; state `0A` is listening.
fn listening(line: &str) -> Option<(IpAddr, u16, u64)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    if *fields.get(3)? != "0A" {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    let inode = fields.get(9)?.parse().ok()?;
    Some((address_of(address)?, u16::from_str_radix(port, 16).ok()?, inode))
}

/// The kernel prints each 32-bit word of an address in the machine's own byte order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..hex.len() / 8)
        .map(|i| u32::from_str_radix(hex.get(8 * i..8 * i + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    match words?.as_slice() {
        [word] => Some(Ipv4Addr::from(*word).into()),
        words => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
    }
}

fn processes_by_socket(is_meant: &dyn Fn(&str) -> bool) -> HashMap<u64, Vec<(u32, String)>> {
    let mut sockets: HashMap<u64, Vec<(u32, String)>> = HashMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        let name = name.trim();
        if !is_meant(name) {
            continue;
        }
        for fd in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(fd.path()) else { continue };
            let inode = target
                .to_str()
                .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode {
                sockets.entry(inode).or_default().push((pid, name.to_owned()));
            }
        }
    }
    sockets
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn both_ways_find_the_same() {
        let sockets: Vec<_> = ["127.0.0.1:0", "[::1]:0", "[::]:0"]
            .iter()
            .filter_map(|address| TcpListener::bind(address).ok())
            .collect();
        let families = [AddressFamily::INET, AddressFamily::INET6];
        let asked = families.map(|family| diag::listening(family).unwrap()).concat();
        let read = from_proc();
        for socket in sockets {
            let address = socket.local_addr().unwrap();
            let is_it = |found: &&(IpAddr, u16, u64)| {
                found.1 == address.port() && found.0 == address.ip().to_canonical()
            };
            assert!(asked.iter().any(|found| is_it(&found)), "{address}: {asked:?}");
            assert_eq!(asked.iter().find(is_it), read.iter().find(is_it));
        }
    }

    #[test]
    fn our_own_listener_is_found_with_our_pid() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let all = listeners();
        let found = all.iter().find(|l| l.port == address.port() && l.address == address.ip());
        let pids: Vec<_> = found.unwrap().processes.iter().map(|(pid, _)| *pid).collect();
        assert!(pids.contains(&std::process::id()));

        let own = found.unwrap().processes[0].1.clone();
        let of_us = listeners_of(&own);
        assert!(of_us.iter().any(|l| l.port == address.port()));
        assert_eq!(listeners_of("no such program"), []);
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_table_of_sockets_is_read(text in crate::damaged::text(&["0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345", "1: 00000000000000000000000001000000:0016 0:0 0A 0 0 0 0 0 7"])) {
            text.lines().filter_map(listening).for_each(drop);
        }
    }
}
