//! Security updates that wait to be installed, read out of apt's lists. `apt-get --simulate upgrade` says the same and
//! takes a second of a CPU, which is too much for a look each minute.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use memchr::memmem;

use super::table::table;
use crate::resource::host::Host;

const LISTS: &str = "/var/lib/apt/lists";
/// What apt itself reads a compressed list with.
const HELPER: &str = "/usr/lib/apt/apt-helper";

/// What the pending updates depend on: dpkg's table and the lists. As long as it is the same, so are they.
#[must_use]
pub fn security_lists_version(host: &Host) -> String {
    let status = host.path(Path::new("/var/lib/dpkg/status"));
    let mut version = String::new();
    for path in std::iter::once(status).chain(lists(host)) {
        if let Ok(found) = fs::metadata(&path) {
            let _ = write!(version, "{}-{}-{} ", found.ino(), found.mtime(), found.size());
        }
    }
    version.trim_end().to_owned()
}

/// The installed packages for which a list of security updates has a newer version, with that version.
pub async fn pending_security_updates(host: &Host) -> Result<BTreeMap<String, String>> {
    let table = table(host)?;
    let mut pending = BTreeMap::new();
    for path in lists(host) {
        let bytes = match path.to_string_lossy().ends_with("_Packages") {
            true => fs::read(&path).with_context(|| format!("read `{}`", path.display()))?,
            false => host.output(HELPER, &["cat-file".as_ref(), path.as_os_str()]).await?.stdout,
        };
        newer(&bytes, &table.installed, &mut pending);
    }
    Ok(pending)
}

/// The lists of the suites that have security updates, such as `trixie-security`.
fn lists(host: &Host) -> Vec<PathBuf> {
    let entries = fs::read_dir(host.path(Path::new(LISTS))).into_iter().flatten().flatten();
    let is_list = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = [".lz4", ".gz", ".xz", ".zst", ".bz2"];
        let stem = stem.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        name.contains("-security_") && stem.ends_with("_Packages")
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(is_list).collect();
    paths.sort();
    paths
}

/// Adds what a list has in a newer version than the one that is installed.
fn newer(
    list: &[u8],
    installed: &BTreeMap<String, String>,
    pending: &mut BTreeMap<String, String>,
) {
    let mut from = 0;
    for to in memmem::find_iter(list, "\n\n").chain([list.len()]) {
        let paragraph = &list[from..to];
        from = (to + 2).min(list.len());
        let field = |name: &str| {
            let mut lines = paragraph.split(|byte| *byte == b'\n');
            let value = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
            std::str::from_utf8(value).ok().map(str::trim)
        };
        let Some((name, offered)) = field("Package: ").zip(field("Version: ")) else { continue };
        let known = pending.get(name).or_else(|| installed.get(name));
        if known.is_some_and(|known| compare_versions(offered, known) == Ordering::Greater) {
            pending.insert(name.to_owned(), offered.to_owned());
        }
    }
}

/// Compares two versions of a package, as Debian Policy 5.6.12 says.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let parts = |version: &str| -> (u64, String, String) {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.parse().unwrap_or_default(), upstream.to_owned(), revision.to_owned())
    };
    let (a, b) = (parts(a), parts(b));
    let texts = || compare_parts(&a.1, &b.1).then_with(|| compare_parts(&a.2, &b.2));
    a.0.cmp(&b.0).then_with(texts)
}

/// Compares what is no number as text and what is one as a number, in turn.
fn compare_parts(mut a: &str, mut b: &str) -> Ordering {
    // A tilde comes before the end, and letters come before all else.
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => c as i32,
        Some(c) => c as i32 + 256,
    };
    let split = |text: &str, is_digit: bool| {
        text.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(text.len())
    };
    while !a.is_empty() || !b.is_empty() {
        let ((text_a, rest_a), (text_b, rest_b)) =
            (a.split_at(split(a, false)), b.split_at(split(b, false)));
        let longest = text_a.chars().count().max(text_b.chars().count());
        for at in 0..longest {
            let order = weight(text_a.chars().nth(at)).cmp(&weight(text_b.chars().nth(at)));
            if order != Ordering::Equal {
                return order;
            }
        }
        let ((digits_a, rest_a), (digits_b, rest_b)) =
            (rest_a.split_at(split(rest_a, true)), rest_b.split_at(split(rest_b, true)));
        let number = |digits: &str| digits.trim_start_matches('0').to_owned();
        let (number_a, number_b) = (number(digits_a), number(digits_b));
        let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(&number_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_dpkg_does() {
        for (older, newer) in [
            ("1.0", "1.1"),
            ("1.9", "1.10"),
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+b"),
            ("2.0", "1:1.0"),
            ("3.0.15-1~deb12u1", "3.0.17-1~deb12u2"),
            ("1.0-1", "1.0-1+deb13u1"),
            ("1.0-1~bpo1", "1.0-1"),
            ("1.0", "1.0-1"),
            ("1.2.3-09", "1.2.3-10"),
        ] {
            assert_eq!(compare_versions(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare_versions(newer, older), Ordering::Greater, "{newer} {older}");
        }
        for (a, b) in [("1.0", "1.0"), ("1.00", "1.0"), ("0:1.0-1", "1.0-1"), ("", "")] {
            assert_eq!(compare_versions(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[tokio::test]
    async fn only_lists_of_security_updates_count() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(pending_security_updates(&host).await.unwrap().is_empty(), "there are no lists");
        let installed = |name: &str, version: &str| {
            format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n")
        };
        let status = [installed("openssl", "3.5.1-1"), installed("curl", "8.14.1-2")].concat();
        write("var/lib/dpkg/status", &status);
        let offered =
            |name: &str, version: &str| format!("Package: {name}\nVersion: {version}\n\n");
        let before = security_lists_version(&host);
        write(
            "var/lib/apt/lists/deb.debian.org_debian-security_dists_trixie-security_main_binary-amd64_Packages",
            &[
                offered("openssl", "3.5.1-1+deb13u1"),
                offered("openssl", "3.5.1-1+deb13u2"),
                offered("curl", "8.14.1-2"),
                offered("nginx", "9"),
            ]
            .concat(),
        );
        write(
            "var/lib/apt/lists/deb.debian.org_debian_dists_trixie_main_binary-amd64_Packages",
            &offered("curl", "9.0-1"),
        );

        let pending = pending_security_updates(&host).await.unwrap();

        let expected = [("openssl".to_owned(), "3.5.1-1+deb13u2".to_owned())];
        assert_eq!(pending, BTreeMap::from(expected));
        assert_ne!(security_lists_version(&host), before);
        assert_eq!(security_lists_version(&host), security_lists_version(&host));
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_list_is_read(bytes in crate::damaged::bytes(&[
            b"Package: a\nVersion: 1:2.0-1\n\nPackage: b\nVersion: 1~\n\n",
        ])) {
            let installed = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())];
            let mut pending = BTreeMap::new();
            newer(&bytes, &installed.into(), &mut pending);
            assert!(pending.len() <= 2);
        }
    }
}
