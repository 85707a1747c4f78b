//! What is known of password hashes from earlier runs, so that a run in which all is right need not
//! compute them: by design that takes long.
//!
//! The host keeps a voucher for each hash that was found to be one of its password. It is made with
//! a key of the operator's that the host never keeps, and is of no use without it: neither the
//! host's disk nor the operator's alone makes a password easier to guess.

use std::cell::RefCell;
use std::path::PathBuf;

use anyhow::Result;

use super::{HashScheme, Host, Secret, sha256, write_atomic};

/// How many vouchers a host keeps: a few for each operator.
const MOST: usize = 64;

/// The vouchers of a host, as far as an operator's key opens them.
#[derive(Debug, Default)]
pub(super) struct Vouchers(RefCell<Option<Known>>);

#[derive(Debug)]
struct Known {
    key: Secret,
    /// Newest last.
    all: Vec<String>,
    is_new: bool,
}

fn path(host: &Host) -> PathBuf {
    host.state_dir().join("stamps/vouchers")
}

impl Known {
    fn voucher(&self, scheme: HashScheme, password: &Secret, hash: &str) -> String {
        // Of one length first, so that no two questions read the same.
        let key = sha256(self.key.expose().as_bytes());
        sha256(format!("{key} {scheme:?} {hash:?} {}", password.expose()).as_bytes())
    }
}

impl Host {
    /// Takes the operator's key to what was vouched for on this host.
    pub fn vouch_with(&self, key: Secret) {
        let text = std::fs::read_to_string(path(self)).unwrap_or_default();
        let all = text.lines().map(str::to_owned).collect();
        *self.vouchers.0.borrow_mut() = Some(Known { key, all, is_new: false });
    }

    /// Whether `hash` was found to be one of `password`.
    pub(super) fn is_vouched(&self, scheme: HashScheme, password: &Secret, hash: &str) -> bool {
        let known = self.vouchers.0.borrow();
        known
            .as_ref()
            .is_some_and(|known| known.all.contains(&known.voucher(scheme, password, hash)))
    }

    /// Notes that `hash` is one of `password`.
    pub(super) fn vouch(&self, scheme: HashScheme, password: &Secret, hash: &str) {
        if let Some(known) = self.vouchers.0.borrow_mut().as_mut() {
            let voucher = known.voucher(scheme, password, hash);
            if !known.all.contains(&voucher) {
                known.all.push(voucher);
                known.is_new = true;
            }
        }
    }

    /// Keeps what was vouched for, at the end of a run.
    pub fn keep_vouchers(&self) -> Result<()> {
        let mut known = self.vouchers.0.borrow_mut();
        let Some(known) = known.as_mut().filter(|known| known.is_new) else { return Ok(()) };
        let newest = &known.all[known.all.len().saturating_sub(MOST)..];
        let path = path(self);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        write_atomic(&path, (newest.join("\n") + "\n").as_bytes(), 0o600, None)?;
        known.is_new = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_holds_for_its_hash_password_and_key_alone() {
        let root = tempfile::tempdir().unwrap();
        let host = || Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let (password, other) = (Secret::new("correct horse"), Secret::new("wrong"));
        let scheme = HashScheme::Argon2id;

        let first = host();
        first.vouch(scheme, &password, "hash");
        first.keep_vouchers().unwrap();
        assert!(!path(&first).exists(), "without a key nothing is kept");
        first.vouch_with(Secret::new("key"));
        first.vouch(scheme, &password, "hash");
        first.keep_vouchers().unwrap();
        let kept = std::fs::read_to_string(path(&first)).unwrap();
        assert!(kept.lines().all(|line| line.len() == 64), "{kept}");

        let next = host();
        assert!(!next.is_vouched(scheme, &password, "hash"));
        next.vouch_with(Secret::new("another key"));
        assert!(!next.is_vouched(scheme, &password, "hash"));
        next.vouch_with(Secret::new("key"));
        assert!(next.is_vouched(scheme, &password, "hash"));
        assert!(!next.is_vouched(scheme, &other, "hash"));
        assert!(!next.is_vouched(scheme, &password, "other"));
        assert!(!next.is_vouched(HashScheme::Sha512Crypt, &password, "hash"));
    }
}
