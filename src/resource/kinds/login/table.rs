//! What the host's tables of users and groups say, and the home of an account that goes again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::Account;
use crate::resource::host::Host;

pub(super) const USERS: &str = "/etc/passwd";
pub(super) const GROUPS: &str = "/etc/group";
const SHADOW: &str = "/etc/shadow";
/// What a new home is a copy of.
const SKELETON: &str = "/etc/skel";

fn read(host: &Host, path: &str) -> Result<String> {
    let path = host.path(Path::new(path));
    fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))
}

/// The fields of the entry of this name.
fn entry(host: &Host, path: &str, name: &str) -> Result<Option<Vec<String>>> {
    let text = read(host, path)?;
    let mut entries = text.lines().map(|line| line.split(':').map(str::to_owned));
    Ok(entries.find(|fields| fields.clone().next().as_deref() == Some(name)).map(Iterator::collect))
}

pub(super) fn has_group(host: &Host, name: &str) -> Result<bool> {
    Ok(entry(host, GROUPS, name)?.is_some())
}

/// The number of a group, as text.
pub(super) fn group_id(host: &Host, name: &str) -> Result<Option<String>> {
    Ok(entry(host, GROUPS, name)?.and_then(|fields| fields.into_iter().nth(2)))
}

/// The account of this name. None where there is none.
pub(super) fn account(host: &Host, name: &str) -> Result<Option<Account>> {
    let Some(fields) = entry(host, USERS, name)? else { return Ok(None) };
    let [_, _, uid, _, _, home, shell] = fields.as_slice() else {
        anyhow::bail!("the entry of `{name}` in `{USERS}` has not seven fields");
    };
    let uid = uid.parse().with_context(|| format!("the number of `{name}` in `{USERS}`"))?;
    let groups = read(host, GROUPS)?;
    let is_in = |line: &&str| {
        line.rsplit(':').next().is_some_and(|members| members.split(',').any(|other| other == name))
    };
    let named = groups.lines().filter(is_in).filter_map(|line| line.split(':').next());
    let groups: BTreeSet<_> = named.map(str::to_owned).collect();
    let expires = expiry(host, name)?;
    let is_locked = expires.as_deref().is_some_and(has_come);
    Ok(Some(Account {
        uid,
        shell: PathBuf::from(shell),
        home: PathBuf::from(home),
        groups,
        is_locked,
        expires,
    }))
}

/// The day on which the account expires (`shadow(5)`, field 8, in days since 1970); empty for never. None where it has no
/// entry.
fn expiry(host: &Host, name: &str) -> Result<Option<String>> {
    Ok(entry(host, SHADOW, name)?.and_then(|fields| fields.into_iter().nth(7)))
}

/// Whether a day is today or before.
fn has_come(day: &str) -> bool {
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    day.parse::<u64>().is_ok_and(|day| day <= today)
}

/// Removes a home that holds no more than a new one. Any other stays as it is.
pub(super) fn remove_unused_home(host: &Host, home: &Path) -> Result<()> {
    let (home, skeleton) = (host.path(home), host.path(Path::new(SKELETON)));
    if is_copy(&home, &skeleton) {
        fs::remove_dir_all(&home).with_context(|| format!("remove `{}`", home.display()))?;
    }
    Ok(())
}

/// Whether a folder holds nothing but copies of files of another one.
fn is_copy(folder: &Path, of: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().all(|entry| {
        let (copy, original) = (entry.path(), of.join(entry.file_name()));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => is_copy(&copy, &original),
            Ok(kind) if kind.is_file() => match (fs::read(&copy), fs::read(&original)) {
                (Ok(copy), Ok(original)) => copy == original,
                _ => false,
            },
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(root: &Path) -> Host {
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), "anna:x:1001:1001::/home/anna:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "anna:x:1001:\nadm:x:4:bob,anna\nann:x:5:ann\n").unwrap();
        fs::write(root.join("etc/shadow"), "anna:!:19000:0:99999:7::1:\n").unwrap();
        Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
    }

    #[test]
    fn an_account_is_read_from_the_tables() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());

        let anna = account(&host, "anna").unwrap().unwrap();

        assert_eq!((anna.uid, anna.is_locked, anna.expires.as_deref()), (1001, true, Some("1")));
        assert_eq!(anna.groups, BTreeSet::from(["adm".to_owned()]));
        assert_eq!(account(&host, "ann").unwrap(), None);
    }

    #[test]
    fn a_home_with_something_in_it_stays() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let at = |path: &str| root.path().join(path);
        for folder in ["etc/skel/a", "home/anna/a"] {
            fs::create_dir_all(at(folder)).unwrap();
            fs::write(at(folder).join("b"), "same").unwrap();
        }
        fs::write(at("home/anna/own"), "mine").unwrap();

        remove_unused_home(&host, Path::new("/home/anna")).unwrap();
        assert!(at("home/anna/own").exists());
        fs::remove_file(at("home/anna/own")).unwrap();
        remove_unused_home(&host, Path::new("/home/anna")).unwrap();

        assert!(!at("home/anna").exists());
    }
}
