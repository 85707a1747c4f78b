//! Tokens that were found to hold, so that each is checked in full once.
//!
//! The full check is a third of the service's own work for a count. A token is known by its SHA-256:
//! none is kept as it is, and how long a look-up takes says nothing about those that are known.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

/// Beyond this all are forgotten, and checked anew when they come again.
const MOST: usize = 1024;

/// The digest of a token.
pub(super) type Key = [u8; 32];

/// Tokens that were found to hold, and when each ends.
#[derive(Default)]
pub(super) struct Verified(Mutex<HashMap<Key, u64>>);

impl Verified {
    pub(super) fn key(token: &str) -> Key {
        Sha256::digest(token).into()
    }

    /// Whether the token was found to hold, and still does at `now`.
    pub(super) fn holds(&self, key: &Key, now: u64) -> bool {
        self.known().get(key).is_some_and(|exp| now < *exp)
    }

    pub(super) fn remember(&self, key: Key, exp: u64) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, exp);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_until_its_end_and_no_other_does() {
        let verified = Verified::default();
        let key = Verified::key("a");
        assert!(!verified.holds(&key, 1));
        verified.remember(key, 10);
        assert!(verified.holds(&key, 9));
        assert!(!verified.holds(&key, 10));
        assert!(!verified.holds(&Verified::key("b"), 9));
    }

    #[test]
    fn only_so_many_are_kept() {
        let verified = Verified::default();
        for number in 0..3 * MOST {
            verified.remember(Verified::key(&number.to_string()), 10);
        }
        assert!(verified.known().len() <= MOST);
        assert!(verified.holds(&Verified::key(&(3 * MOST - 1).to_string()), 9));
    }
}
