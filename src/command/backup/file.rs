//! The file of `hwctl backup`: two lines that say what it is, then Redis's data as an RDB file.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::command::private_file;
use crate::engine::{Copied, MAX_COPY_BYTES, check_copy};
use crate::failure::{Exit, Failure};

/// The first line: the format and its version.
const FORMAT: &str = "hwctl-backup 1";
/// What is added to a host's name where each host has a file of its own.
const SUFFIX: &str = ".hwctl-backup";

/// The second line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::command) struct Head {
    /// The host that it was made on, as the inventory names it.
    pub(in crate::command) host: String,
    /// When, as RFC 3339 has it.
    pub(in crate::command) made: String,
    /// By which version of hwctl.
    pub(in crate::command) hwctl: String,
    /// What follows.
    #[serde(flatten)]
    pub(in crate::command) copied: Copied,
}

/// The file of one host: `path` itself, or where there are several hosts, or it is a folder, one
/// in it by the host's name.
pub(in crate::command) fn path_of(path: &Path, host: &str, several: bool) -> PathBuf {
    if several || path.is_dir() {
        return path.join(format!("{}{SUFFIX}", host.replace('/', "_")));
    }
    path.to_owned()
}

/// Writes it whole or not at all; only its owner may read it.
pub(in crate::command) fn write(path: &Path, head: &Head, bytes: &[u8]) -> Result<()> {
    let shown = path.display();
    let head = serde_json::to_string(head)?;
    let written = private_file::write(path, |file| {
        writeln!(file, "{FORMAT}\n{head}")?;
        file.write_all(bytes)
    });
    written.with_context(|| format!("write `{shown}`"))
}

/// Reads it and compares its checksum.
pub(in crate::command) fn read(path: &Path) -> Result<(Head, Vec<u8>), Failure> {
    let shown = path.display();
    let refused = |why: String| {
        Failure::new(Exit::Usage, format!("cannot restore `{shown}`"))
            .why(why)
            .not_done("nothing was changed on the host")
    };
    let length = fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if length > MAX_COPY_BYTES + 4096 {
        return Err(refused("it is too large for a backup of Redis".to_owned()));
    }
    let bytes = fs::read(path).map_err(|error| refused(error.to_string()))?;
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let (format, head) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if format != FORMAT.as_bytes() {
        let why = match format.starts_with(b"hwctl-backup ") {
            true => "another version of hwctl wrote it",
            false => "it is no file of `hwctl backup`",
        };
        return Err(refused(why.to_owned()));
    }
    let head: Head = serde_json::from_slice(head)
        .map_err(|error| refused(format!("its second line makes no sense: {error}")))?;
    let data = parts.next().unwrap_or_default().to_vec();
    check_copy(&head.copied, &data).map_err(|error| refused(error.to_string()))?;
    Ok((head, data))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::event::Data;
    use crate::resource::sha256;

    #[test]
    fn what_is_written_is_read_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let bytes = b"REDIS0011\nwith a line";
        let data = Data::new([("keys", 1), ("visits", 41)], bytes.len() as u64);
        let head = Head {
            host: "vm1".to_owned(),
            made: "2026-11-24T04:06:16Z".to_owned(),
            hwctl: "0.1.0".to_owned(),
            copied: Copied { data, sha256: sha256(bytes) },
        };
        write(&path, &head, bytes).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap(), (head, bytes.to_vec()));

        let whole = fs::read(&path).unwrap();
        for at in [0, 13, 40, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs::write(&path, damaged).unwrap();
            assert!(read(&path).is_err() || at == 40, "damage at {at}");
        }
        for cut in [0, 10, 100, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(read(&path).is_err(), "cut at {cut}");
        }
        fs::write(&path, "hwctl-backup 2\n{}\n").unwrap();
        assert_eq!(read(&path).unwrap_err().why, ["another version of hwctl wrote it"]);
    }

    #[test]
    fn several_hosts_have_a_file_each() {
        let file = Path::new("/nowhere/x");
        assert_eq!(path_of(file, "vm1", false), file);
        assert_eq!(path_of(file, "a/b", true), Path::new("/nowhere/x/a_b.hwctl-backup"));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(path_of(folder.path(), "vm1", false), folder.path().join("vm1.hwctl-backup"));
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_file_is_refused_or_whole(bytes in crate::damaged::bytes(&[b"hwctl-backup 1\n{\"host\":\"vm1\",\"made\":\"2026-11-24T04:37:11Z\",\"hwctl\":\"0.1.0\",\"data\":{\"keys\":1,\"visits\":41,\"bytes\":5},\"sha256\":\"00\"}\nREDIS"])) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("copy");
            fs::write(&path, &bytes).unwrap();
            let _ = read(&path);
        }
    }
}
