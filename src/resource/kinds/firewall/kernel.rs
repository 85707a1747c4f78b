//! The rules that are in the kernel, as iptables lists them.
//!
//! iptables takes 4 ms to start and looks each of its rules up in plugins. The kernel counts the
//! changes of its tables: a listing of the same count is the same, and a host keeps the last one.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use rustix::net::netlink::NETFILTER;

use crate::resource::host::Host;
use crate::resource::host::netlink::{ask, broken};

/// The name that the last listing is kept by.
const LISTING: &str = "rules";
/// The package that has the firewall.
const PACKAGE: &str = "ufw";
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

/// What iptables and nftables list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Listing {
    /// IPv4's rules; empty when they cannot be listed.
    pub(super) v4: String,
    /// IPv6's.
    pub(super) v6: String,
    /// All that nftables has, as JSON without the elements of named sets; empty without the program `nft`.
    pub(super) nft: String,
}

/// The listing that was read last, to be kept, and what it is of.
#[derive(Debug, Default)]
struct Listed(RefCell<Option<(String, Listing)>>);

/// The rules in the kernel now.
pub(super) async fn listing(host: &Host) -> Result<Listing> {
    // Before they are listed: a change meanwhile makes the listing old, and not wrong.
    let of = count(host);
    let kept =
        of.as_ref().and_then(|of| kept(&fs::read_to_string(host.kept_path(LISTING)).ok()?, of));
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let [v4, v6] = PROGRAMS.map(|program| list(host, program, &["-w", "-S"]));
    let nft = list(host, "nft", &["-j", "-t", "list", "ruleset"]);
    let (v4, v6, nft) = futures_util::future::try_join3(v4, v6, nft).await?;
    let listing = Listing { v4: v4.to_string(), v6: v6.to_string(), nft: nft.to_string() };
    // What could not be listed may be another time.
    let is_whole = !listing.v4.is_empty() && !listing.v6.is_empty();
    *host.cached::<Listed>().0.borrow_mut() =
        of.filter(|_| is_whole).map(|of| (of, listing.clone()));
    Ok(listing)
}

/// The listing in a kept text, if it is of that.
fn kept(text: &str, of: &str) -> Option<Listing> {
    let mut parts = text.strip_prefix(of)?.strip_prefix('\n')?.split('\0').map(str::to_owned);
    Some(Listing { v4: parts.next()?, v6: parts.next()?, nft: parts.next()? })
}

async fn list(host: &Host, program: &str, arguments: &[&str]) -> Result<Rc<str>> {
    let list = async || {
        let output = host.command(program).args(arguments).output().await;
        let output = output.ok().filter(|output| output.status.success());
        let listed = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        Ok(listed.unwrap_or_default())
    };
    host.once(&format!("rules of {program}"), list).await
}

/// The package that the firewall waits for while others are installed. None: it waits for all, since one
/// that is being set up could hold the lock of the rules.
#[must_use]
pub fn firewall_package(host: &Host) -> Option<&'static str> {
    may_load_rules_any_time(host).then_some(PACKAGE)
}

/// Whether iptables writes to the tables whose changes the kernel counts. It does not need the lock
/// then for which ufw does not wait: one that meets another's change begins anew.
fn may_load_rules_any_time(host: &Host) -> bool {
    PROGRAMS.into_iter().all(|program| {
        let path = host.path(&Path::new("/usr/sbin").join(program));
        fs::canonicalize(path).is_ok_and(|path| path.ends_with(COUNTED))
    })
}

/// What a listing is of; none where nothing counts the changes.
fn count(host: &Host) -> Option<String> {
    if !may_load_rules_any_time(host) {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // A container that is started again has new tables under the same boot: field 22 of proc_pid_stat(5).
    let init = fs::read_to_string("/proc/1/stat").ok()?;
    let started = init.rsplit_once(") ")?.1.split(' ').nth(19)?;
    Some(format!("{} {started} {}", boot.trim(), generation().ok()?))
}

/// How often the tables were changed since the boot.
fn generation() -> io::Result<u32> {
    let answers = ask(Some(NETFILTER), GET_GENERATION, 0, &[0; HEAD])?;
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

/// Keeps the rules that were listed last, at the end of a run.
pub(in crate::resource) fn keep_listing(host: &Host) -> Result<()> {
    let Some((of, Listing { v4, v6, nft })) = host.cached::<Listed>().0.borrow_mut().take() else {
        return Ok(());
    };
    host.keep_between_runs(LISTING, format!("{of}\n{v4}\0{v6}\0{nft}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_kept_for_its_own_boot_and_count() {
        let text = "boot 7\n-P INPUT DROP\n\0\0{}";
        let (v4, nft) = ("-P INPUT DROP\n".to_owned(), "{}".to_owned());
        let listing = Listing { v4, v6: String::new(), nft };
        assert_eq!(kept(text, "boot 7"), Some(listing));
        for of in ["boot 8", "boot", "boot 77", "other 7"] {
            assert_eq!(kept(text, of), None, "{of}");
        }
        assert_eq!(kept("boot 7\n-P INPUT DROP\n\0", "boot 7"), None, "cut off");
    }

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
