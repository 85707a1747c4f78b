//! Which hosts the command line means: by `--host`, by `--limit`, and by words of their own.

use std::net::Ipv6Addr;

use crate::cli::HostArgs;
use crate::failure::{Failure, Page};
use crate::inventory::{Inventory, InventoryHost};

/// The hosts that are meant. A word may be all that `--host` and `--limit` take: a name, an address, a group or a
/// pattern.
pub(super) fn select(
    inventory: &Inventory,
    args: &HostArgs,
) -> Result<Vec<InventoryHost>, Failure> {
    let limit = args.limit.as_deref();
    if args.words.is_empty() {
        return inventory.select(&args.host, limit);
    }
    let (narrowing, naming): (Vec<&String>, Vec<&String>) =
        args.words.iter().partition(|word| word.starts_with(['!', '&']));
    let mut chosen = Vec::new();
    for word in naming.into_iter().chain(&args.host) {
        chosen.extend(named(inventory, word)?);
    }
    if chosen.is_empty() {
        chosen = inventory.select(&[], None)?;
    }
    // Each has to hold, as the parts of one pattern do.
    for pattern in narrowing.into_iter().map(String::as_str).chain(limit) {
        let within = inventory.select(&[], Some(pattern))?;
        chosen.retain(|host| within.iter().any(|other| other.name == host.name));
    }
    let mut seen = std::collections::HashSet::new();
    chosen.retain(|host| seen.insert(host.name.clone()));
    match chosen.is_empty() {
        true => Err(Failure::usage("no host is left of those that are named")
            .not_done("no host was contacted")
            .hint("`--limit` and words with `!` or `&` narrow the hosts down")),
        false => Ok(chosen),
    }
}

/// Refuses this machine unless it is named itself: an inventory often lists it for tasks of the operator's own.
pub(super) fn require_named(host: &InventoryHost, args: &HostArgs) -> Result<(), Failure> {
    let mut names = args.words.iter().chain(&args.host).chain(&args.limit);
    if !host.is_here || names.any(|name| *name == host.name) {
        return Ok(());
    }
    let name = &host.name;
    let what = format!(
        "`{name}` is this machine (by `ansible_connection`), and hwctl works on it only if you name it"
    );
    Err(Failure::usage(what)
        .not_done("no host was contacted")
        .hint(format!(
            "to work on this machine: `--host {name}`; to leave it out: `--limit '!{name}'`"
        ))
        .page(Page::Inventory))
}

/// The hosts that one word names.
fn named(inventory: &Inventory, word: &String) -> Result<Vec<InventoryHost>, Failure> {
    if is_pattern(word) {
        return inventory.select(&[], Some(word));
    }
    // A group is refused as a host, with a hint at `--limit`.
    inventory
        .select(std::slice::from_ref(word), None)
        .or_else(|failure| inventory.select(&[], Some(word)).map_err(|_| failure))
}

/// Whether a word cannot be the name or the address of one host.
fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '[', ',']) || word.contains(':') && word.parse::<Ipv6Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::inventory::{Sources, load};

    const INVENTORY: &str = "all:\n  children:\n    web: { hosts: { web1: , web2: , web3: } }\n    \
                             db: { hosts: { db1: { ansible_host: 192.0.2.9 } } }\n";

    fn chosen(words: &[&str]) -> Result<Vec<String>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        std::fs::write(&path, INVENTORY).unwrap();
        let inventories = vec![path.to_string_lossy().into_owned()];
        let inventory = load(&Sources { inventories, ..Sources::default() }).unwrap();
        let cli = Cli::parse_from([&["hwctl", "status"], words].concat());
        let Verb::Status(args) = cli.verb else { panic!("another verb") };
        let hosts = select(&inventory, &args.hosts.and(&args.named))?;
        Ok(hosts.into_iter().map(|host| host.name).collect())
    }

    #[test]
    fn a_word_is_a_name_an_address_a_group_or_a_pattern() {
        for (words, expected) in [
            (&["web2"][..], &["web2"][..]),
            (&["192.0.2.9", "web1"], &["db1", "web1"]),
            (&["198.51.100.7"], &["198.51.100.7"]),
            (&["web"], &["web1", "web2", "web3"]),
            (&["w*", "!web2"], &["web1", "web3"]),
            (&["web:!web3", "db1"], &["web1", "web2", "db1"]),
            (&["web1,db"], &["web1", "db1"]),
            (&["!web"], &["db1"]),
            (&["web", "&*1"], &["web1"]),
            (&["web", "--limit", "web3,db"], &["web3"]),
            (&["web1", "--host", "db1"], &["web1", "db1"]),
            (&["2001:db8::1"], &["2001:db8::1"]),
        ] {
            assert_eq!(chosen(words).unwrap(), expected, "{words:?}");
        }
    }

    #[test]
    fn words_that_leave_no_host_are_refused() {
        for words in [&["web1", "!web"][..], &["x*"], &["db", "--limit", "web"]] {
            let failure = chosen(words).unwrap_err();

            assert_eq!(failure.exit, crate::failure::Exit::Usage, "{words:?}: {failure:?}");
        }
    }
}
