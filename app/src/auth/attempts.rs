//! The limit on login attempts of each client on each account: six at once, then one each six seconds.
//!
//! A client is an address, or a network of 64 bits for IPv6, since that is what one customer gets. Both
//! client and account have to be the same: who guesses an account's password from elsewhere, or another
//! account's from the same address, uses up nobody else's attempts. How fast one client may try many
//! accounts is nginx's to limit.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::HeaderMap;

/// Attempts that may come at once.
pub const BURST: u32 = 6;
/// How long it takes until one more is free.
pub const REFILL: Duration = Duration::from_secs(6);
/// How many clients and accounts with used attempts are remembered, some 3 MB. Passwords are checked
/// one at a time, so to use that many takes longer than it takes until they are free again.
const MOST: usize = 65_536;

/// Where an attempt comes from, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(Option<IpAddr>);

impl Client {
    /// The client that nginx names. Only nginx reaches the socket, and it passes on no such header of
    /// the client's own. Without a name it is a program on this host.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let named = headers.get("x-real-ip").and_then(|value| value.to_str().ok());
        Self(named.and_then(|text| text.parse().ok()).map(network))
    }
}

/// The address; of IPv6 its first 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(bits).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// The attempts of all clients on all accounts.
#[derive(Default)]
pub struct Attempts {
    /// When all attempts will be free again, by the hash of client and account.
    free_at: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
}

impl Attempts {
    /// Takes an attempt before the password is looked at, or says in how many seconds one is free.
    pub fn take(&self, client: Client, name: &str) -> Result<(), u64> {
        self.take_at(client, name, Instant::now())
    }

    fn take_at(&self, client: Client, name: &str, now: Instant) -> Result<(), u64> {
        let key = self.key(client, name);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = free_at.get(&key).map_or(now, |at| now.max(*at)) + REFILL;
        let ahead = next.duration_since(now);
        match ahead.checked_sub(REFILL * BURST) {
            None | Some(Duration::ZERO) => {
                if free_at.len() >= MOST {
                    free_at.retain(|_, at| *at > now);
                }
                // Forgetting is better than to refuse those who have not tried yet.
                if free_at.len() >= MOST {
                    free_at.clear();
                }
                free_at.insert(key, next);
                Ok(())
            }
            Some(wait) => Err(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        }
    }

    /// A right password frees the client's attempts on the account.
    pub fn forget(&self, client: Client, name: &str) {
        let key = self.key(client, name);
        self.free_at.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    fn key(&self, client: Client, name: &str) -> u64 {
        self.hasher.hash_one((client, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client(Some(network(address.parse().expect("an address"))))
    }

    #[test]
    fn a_burst_passes_then_one_each_refill_and_success_frees() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for (client, name) in [(client("192.0.2.1"), "admin"), (Client(None), "stranger")] {
            for _ in 0..BURST {
                assert_eq!(attempts.take_at(client, name, start), Ok(()));
            }
            assert_eq!(attempts.take_at(client, name, start), Err(REFILL.as_secs()));
            let soon = start + Duration::from_millis(5500);
            assert_eq!(attempts.take_at(client, name, soon), Err(1));
            assert_eq!(attempts.take_at(client, name, start + REFILL), Ok(()));
            assert_eq!(attempts.take_at(client, name, start + REFILL), Err(REFILL.as_secs()));
            attempts.forget(client, name);
            assert_eq!(attempts.take_at(client, name, start + REFILL), Ok(()));
        }
    }

    #[test]
    fn nobody_uses_up_the_attempts_of_others() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for guesser in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:0:ffff::1"] {
            while attempts.take_at(client(guesser), "admin", start).is_ok() {}
        }

        let take = |address, name| attempts.take_at(client(address), name, start).is_ok();
        assert!(take("192.0.2.3", "admin") && take("2001:db8:0:1::1", "admin"));
        assert!(take("192.0.2.1", "another"));
        assert!(!take("2001:db8::2", "admin"), "one network of 64 bits is one client");
        assert!(!take("::ffff:192.0.2.1", "admin"), "IPv4 in IPv6 is the same address");
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::default();
        let start = Instant::now();

        for number in 0..=MOST {
            attempts.take_at(client("192.0.2.1"), &number.to_string(), start).expect("an attempt");
        }

        assert!(attempts.free_at.lock().expect("a lock").len() <= MOST);
    }
}
