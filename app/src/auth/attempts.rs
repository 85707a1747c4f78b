//! The limit on login attempts for each account: ten at once, then one each six seconds.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Attempts that may come at once.
pub const BURST: u32 = 10;
/// How long it takes until one more is free.
pub const REFILL: Duration = Duration::from_secs(6);
/// Names that nobody has share this many places, so that memory stays bounded. Filling them all
/// takes longer, at the pace of one password check at a time, than they take to empty.
const STRANGERS: usize = 1024;

/// When an account's attempts will all be free again.
type Place = Mutex<Option<Instant>>;

/// The attempts on every account.
pub struct Attempts {
    users: HashMap<String, Place>,
    strangers: Box<[Place]>,
    hasher: RandomState,
}

impl Attempts {
    /// No attempts yet; the given names have places of their own.
    pub fn new(users: impl Iterator<Item = String>) -> Self {
        Self {
            users: users.map(|name| (name, Place::default())).collect(),
            strangers: (0..STRANGERS).map(|_| Place::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Takes an attempt before the password is looked at, or says in how many seconds one is free.
    pub fn take(&self, name: &str) -> Result<(), u64> {
        self.take_at(name, Instant::now())
    }

    fn take_at(&self, name: &str, now: Instant) -> Result<(), u64> {
        let mut free_at = self.place(name).lock().unwrap_or_else(PoisonError::into_inner);
        let next = free_at.map_or(now, |at| at.max(now)) + REFILL;
        let ahead = next.duration_since(now);
        match ahead.checked_sub(REFILL * BURST) {
            None | Some(Duration::ZERO) => {
                *free_at = Some(next);
                Ok(())
            }
            Some(wait) => Err(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        }
    }

    /// A right password frees the account's attempts.
    pub fn forget(&self, name: &str) {
        *self.place(name).lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn place(&self, name: &str) -> &Place {
        self.users.get(name).unwrap_or_else(|| {
            let at = self.hasher.hash_one(name) % STRANGERS as u64;
            &self.strangers[usize::try_from(at).unwrap_or(0)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_each_refill_and_success_frees() {
        let attempts = Attempts::new(["admin".to_owned()].into_iter());
        let start = Instant::now();
        for name in ["admin", "stranger"] {
            for _ in 0..BURST {
                assert_eq!(attempts.take_at(name, start), Ok(()));
            }
            assert_eq!(attempts.take_at(name, start), Err(REFILL.as_secs()));
            assert_eq!(attempts.take_at(name, start + Duration::from_millis(5500)), Err(1));
            assert_eq!(attempts.take_at(name, start + REFILL), Ok(()));
            assert_eq!(attempts.take_at(name, start + REFILL), Err(REFILL.as_secs()));
            attempts.forget(name);
            assert_eq!(attempts.take_at(name, start + REFILL), Ok(()));
        }
    }
}
