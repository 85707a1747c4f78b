//! Limits that hold in more than one place: in an inventory and on the command line, or in an inventory and in the API,
//! which therefore starts with whatever an inventory may say.

use std::ops::RangeInclusive;

/// How many days a certificate may live: clients refuse longer ones.
pub const CERTIFICATE_DAYS: RangeInclusive<u16> = 1..=365;

/// How many worker threads the API may have.
pub const WORKERS: RangeInclusive<u16> = 1..=256;

/// How long a token may live, in seconds: up to 30 days. Nothing but a new key ends a token before its time.
pub const TOKEN_TTL_S: RangeInclusive<u32> = 1..=30 * 24 * 60 * 60;

/// The shortest key that signs tokens, in bytes: as long as the digest of HS256 (RFC 7518, section 3.2).
pub const MIN_KEY_BYTES: usize = 32;

/// The longest name of a user of the API, in characters.
pub const MAX_USER_CHARS: usize = 64;

/// Whether a user of the API may have this name. It stands in a list between spaces, inside single quotes and before
/// a colon.
#[must_use]
pub fn is_user(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
    (1..=MAX_USER_CHARS).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_end_its_quotes_is_refused() {
        assert!(is_user("admin") && is_user("a.b-c_d@e"));
        for name in ["", "a b", "a'b", "a:b", "a\nb", "ä", &"a".repeat(65)] {
            assert!(!is_user(name), "{name:?}");
        }
    }
}
