//! The id of a request: nginx's when it sends one, else one of our own.

use std::{
    fmt::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries the id, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 64;

/// The id for a request with these headers.
#[must_use]
pub fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(&HEADER) {
        Some(id) if acceptable(id.as_bytes()) => id.clone(),
        _ => fresh(),
    }
}

/// An id goes into the log and the answer, so only letters, digits and a few signs are let in.
fn acceptable(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn fresh() -> HeaderValue {
    static START: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Random for each process and counted within it: unique at the price of one addition.
    let start = *START.get_or_init(|| getrandom::u64().unwrap_or_default());
    let mut id = String::with_capacity(32);
    let _ = write!(id, "{start:016x}{:016x}", NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_id_is_kept_and_a_hostile_one_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(&HEADER, HeaderValue::from_static("abc-123"));
        assert_eq!(of(&headers), "abc-123");
        for hostile in ["", "a b", "\"}{", &"x".repeat(65)] {
            headers.insert(&HEADER, HeaderValue::from_str(hostile).expect("header"));
            assert_eq!(of(&headers).len(), 32);
        }
        assert_ne!(fresh(), fresh());
    }
}
