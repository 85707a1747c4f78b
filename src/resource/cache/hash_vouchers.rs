//! Vouches for password hashes from run to run, so that a run in which all is right need not compute
//! them: by design that takes long.
//!
//! The host keeps a voucher for each hash that was found to be one of its password. It is made with
//! a key of the operator's that the host never keeps, and is of no use without it: neither the
//! host's disk nor the operator's alone makes a password easier to guess.

use std::cell::RefCell;

use anyhow::Result;

use crate::resource::cache::kept_lines::KeptLines;
use crate::resource::host::Host;
use crate::resource::model::digest::sha256;
use crate::resource::model::password_hash::HashScheme;
use crate::resource::model::secret::Secret;

/// How many vouchers a host keeps: a few for each operator.
const MOST: usize = 64;

/// The vouchers of a host, as far as an operator's key opens them.
#[derive(Debug, Default)]
struct HashVouchers(RefCell<Option<Opened>>);

#[derive(Debug)]
struct Opened {
    key: Secret,
    vouchers: KeptLines,
}

impl Opened {
    fn voucher(&self, scheme: HashScheme, password: &Secret, hash: &str) -> String {
        // Of one length first, so that no two questions read the same.
        let key = sha256(self.key.expose().as_bytes());
        sha256(format!("{key} {scheme:?} {hash:?} {}", password.expose()).as_bytes())
    }
}

impl Host {
    /// Takes the operator's key to what was vouched for on this host.
    pub fn use_hash_key(&self, key: Secret) {
        let vouchers = KeptLines::load(self, "vouchers");
        *self.cached::<HashVouchers>().0.borrow_mut() = Some(Opened { key, vouchers });
    }

    /// Whether `hash` was found to be one of `password`.
    pub(in crate::resource) fn has_voucher(
        &self,
        scheme: HashScheme,
        password: &Secret,
        hash: &str,
    ) -> bool {
        let vouchers = self.cached::<HashVouchers>();
        let known = vouchers.0.borrow();
        known.as_ref().is_some_and(|known| {
            let wanted = known.voucher(scheme, password, hash);
            known.vouchers.lines().any(|voucher| voucher == wanted)
        })
    }

    /// Notes that `hash` is one of `password`.
    pub(in crate::resource) fn add_voucher(
        &self,
        scheme: HashScheme,
        password: &Secret,
        hash: &str,
    ) {
        if let Some(known) = self.cached::<HashVouchers>().0.borrow_mut().as_mut() {
            let voucher = known.voucher(scheme, password, hash);
            known.vouchers.add(voucher);
        }
    }

    /// Keeps what was vouched for, at the end of a run.
    pub(in crate::resource) fn keep_vouchers(&self) -> Result<()> {
        let vouchers = self.cached::<HashVouchers>();
        let mut known = vouchers.0.borrow_mut();
        known.as_mut().map_or(Ok(()), |known| known.vouchers.keep(MOST, self))
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

        let path = &root.path().join("var/lib/hwctl/stamps/vouchers");
        let first = host();
        first.add_voucher(scheme, &password, "hash");
        first.keep_vouchers().unwrap();
        assert!(!path.exists(), "without a key nothing is kept");
        first.use_hash_key(Secret::new("key"));
        first.add_voucher(scheme, &password, "hash");
        first.keep_vouchers().unwrap();
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(kept.lines().all(|line| line.len() == 64), "{kept}");

        let next = host();
        assert!(!next.has_voucher(scheme, &password, "hash"));
        next.use_hash_key(Secret::new("another key"));
        assert!(!next.has_voucher(scheme, &password, "hash"));
        next.use_hash_key(Secret::new("key"));
        assert!(next.has_voucher(scheme, &password, "hash"));
        assert!(!next.has_voucher(scheme, &other, "hash"));
        assert!(!next.has_voucher(scheme, &password, "other"));
        assert!(!next.has_voucher(HashScheme::Sha512Crypt, &password, "hash"));
    }
}
