//! The operator's key to the vouchers that hosts keep for password hashes; see
//! `resource/cache/hash_vouchers.rs`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use rand::TryRng as _;

use crate::command::fleet::hosts::Work;
use crate::remote::state_folder;
use crate::resource::{Secret, hex, sha256};

/// The key for one host; each has its own, so that a host learns nothing about another. Without a
/// home to keep it in there is none: then hashes are computed each time.
pub(in crate::command) fn of(work: &Work) -> Option<Secret> {
    let key = read().or_else(make)?;
    let host = &work.target.address;
    Some(Secret::new(sha256(format!("{key} {host}").as_bytes())))
}

fn path() -> Option<PathBuf> {
    Some(state_folder()?.join("key"))
}

fn read() -> Option<String> {
    let key = fs::read_to_string(path()?).ok()?;
    (key.len() == 64).then_some(key)
}

fn make() -> Option<String> {
    let path = path()?;
    let mut bytes = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).ok()?;
    let key = hex(&bytes);
    // Whole at once: several of hwctl may begin at the same time.
    let unfinished = path.with_extension(std::process::id().to_string());
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).ok()?;
    file.write_all(key.as_bytes()).ok()?;
    let linked = fs::hard_link(&unfinished, &path);
    let _ = fs::remove_file(&unfinished);
    linked.ok().map(|()| key).or_else(read)
}
