//! The rules that are in the kernel, as iptables lists them.
//!
//! iptables takes 4 ms to start and looks each of its rules up in plugins. The kernel counts the
//! changes of its tables: a listing of the same count is the same, and a host keeps the last one.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::net::netlink::NETFILTER;
use serde::{Deserialize, Serialize};

use super::super::netlink::{ask, broken};
use super::super::{Host, decode, encode, write_atomic};

/// Lists the rules of each family.
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];
/// What the programs are where they write to the tables that the kernel counts.
const COUNTED: &str = "xtables-nft-multi";
/// `NFT_MSG_GETGEN` of the subsystem `NFNL_SUBSYS_NFTABLES`.
const GET_GENERATION: u16 = 10 << 8 | 16;
/// The length of `nfgenmsg`, before the attributes.
const HEAD: usize = 4;
/// `NFTA_GEN_ID`, with its length of 8 bytes before it.
const GENERATION: [u8; 4] = {
    let ([a, b], [c, d]) = (8_u16.to_ne_bytes(), 1_u16.to_ne_bytes());
    [a, b, c, d]
};

/// What iptables lists.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Listing {
    /// Boot and count of changes that it is of.
    of: String,
    /// IPv4's rules; `None` when they cannot be listed.
    pub(super) v4: Option<String>,
    /// IPv6's.
    pub(super) v6: Option<String>,
}

/// The listing that was read last, to be kept.
#[derive(Debug, Default)]
pub(in super::super) struct Listed(RefCell<Option<Listing>>);

fn path(host: &Host) -> PathBuf {
    host.state_dir().join("stamps/rules")
}

/// The rules in the kernel now.
pub(super) async fn listing(host: &Host) -> Result<Listing> {
    // Before they are listed: a change meanwhile makes the listing old, and not wrong.
    let of = count(host);
    if let Some(of) = &of
        && let Ok(kept) = fs::read(path(host))
        && let Ok(kept) = decode::<Listing>(&kept)
        && kept.of == *of
    {
        return Ok(kept);
    }
    let [v4, v6] = PROGRAMS.map(|program| list(host, program));
    let (v4, v6) = futures_util::future::try_join(v4, v6).await?;
    let listing = Listing { of: of.clone().unwrap_or_default(), v4, v6 };
    *host.listed.0.borrow_mut() = of.is_some().then(|| listing.clone());
    Ok(listing)
}

async fn list(host: &Host, program: &str) -> Result<Option<String>> {
    let listed = host
        .once(&format!("{program} -S"), async || {
            let output = host.command(program).args(["-w", "-S"]).output().await;
            Ok(match output {
                Ok(output) if output.status.success() => {
                    String::from_utf8_lossy(&output.stdout).into_owned()
                }
                _ => String::new(),
            })
        })
        .await?;
    Ok((!listed.is_empty()).then(|| listed.to_string()))
}

/// What a listing is of; none where nothing counts the changes.
fn count(host: &Host) -> Option<String> {
    let is_counted = |program| {
        let path = host.path(&Path::new("/usr/sbin").join(program));
        fs::canonicalize(path).is_ok_and(|path| path.ends_with(COUNTED))
    };
    if !PROGRAMS.into_iter().all(is_counted) {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{} {}", boot.trim(), generation().ok()?))
}

/// How often the tables were changed since the boot.
fn generation() -> io::Result<u32> {
    let answers = ask(NETFILTER, GET_GENERATION, 0, &[0; HEAD])?;
    answers.first().and_then(|answer| generation_of(answer)).ok_or_else(broken)
}

fn generation_of(answer: &[u8]) -> Option<u32> {
    let mut attributes = answer.get(HEAD..)?;
    loop {
        if let Some(value) = attributes.strip_prefix(&GENERATION) {
            return value.first_chunk().map(|value| u32::from_be_bytes(*value));
        }
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?)).max(HEAD);
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

impl Host {
    /// Keeps the rules that were listed last, at the end of a run.
    pub(in super::super) fn keep_listing(&self) -> Result<()> {
        let Some(listing) = self.listed.0.borrow_mut().take() else { return Ok(()) };
        let path = path(self);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        write_atomic(&path, &encode(&listing)?, 0o600, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_found_among_the_attributes() {
        let name = [&8_u16.to_ne_bytes()[..], &3_u16.to_ne_bytes(), b"nft\0"].concat();
        let count = [&GENERATION[..], &7_u32.to_be_bytes()].concat();
        let answer = |attributes: &[&[u8]]| [&[0; HEAD], attributes.concat().as_slice()].concat();
        assert_eq!(generation_of(&answer(&[&count, &name])), Some(7));
        assert_eq!(generation_of(&answer(&[&name, &count])), Some(7));
        for strange in [&answer(&[&name])[..], &answer(&[&count])[..9], &[0; 7], b""] {
            assert_eq!(generation_of(strange), None, "{strange:?}");
        }
    }
}
