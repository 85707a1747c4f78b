//! A token that the API does not take: over, not of this key, or no token at all.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Patient;
use crate::event::Finding;

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;
/// The host's secret that signs tokens.
const KEY: &str = "secrets/jwt-key";

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<u64>,
}

pub(super) fn look(patient: &Patient<'_>) -> Option<Finding> {
    let token = patient.asked.token.as_ref()?.expose().trim();
    let key = fs::read(patient.host.state_dir().join(KEY)).ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    judge(token, key.as_deref(), now)
}

/// The token itself is in no finding.
fn judge(token: &str, key: Option<&[u8]>, now: u64) -> Option<Finding> {
    let login = "log in anew: `POST /flask/auth/login` gives a token";
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        let finding = Finding::new("token-malformed", "what was given is no token");
        return Some(
            finding.evidence(["a token has three parts with a dot between".into()]).next(login),
        );
    };
    let read = decode(claims).and_then(|bytes| serde_json::from_slice::<Claims>(&bytes).ok());
    let (Some(read), Some(signature)) = (read, decode(signature)) else {
        let finding = Finding::new("token-malformed", "what was given is no token of the API");
        return Some(finding.evidence(["its parts make no sense".into()]).next(login));
    };
    let signed = format!("{header}.{claims}");
    if key.is_some_and(|key| hmac(key, signed.as_bytes())[..] != signature[..]) {
        return Some(
            Finding::new("token-foreign", "the token is signed with another key than the host's")
                .evidence(["it is of another host, or of before `hwctl secret rotate`".into()])
                .next(login),
        );
    }
    let end = read.exp?;
    let ago = now.checked_sub(end)?;
    let time = jiff::Timestamp::from_second(i64::try_from(end).ok()?).ok()?;
    let user = read.sub.map(|user| format!(" of user {user:?}")).unwrap_or_default();
    Some(
        Finding::new("token-expired", format!("the token{user} expired {ago} s ago"))
            .evidence([format!("it was valid until {}", time.strftime("%F %T UTC"))])
            .next(format!("{login}; `api.token_ttl` in the inventory says for how long")),
    )
}

/// HMAC-SHA-256 of RFC 2104.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    match key.len() {
        ..=BLOCK => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// Base64 for URLs, without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::hex;

    /// The example of <https://jwt.io>, with an end added, would need its own signature: this is the
    /// example of RFC 7515, A.1, which ended in 2011.
    const TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const RFC_KEY: &str =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

    #[test]
    fn a_token_is_judged_by_its_key_and_its_end() {
        let key = decode(RFC_KEY).unwrap();
        let cause = |token, key, now| judge(token, key, now).map(|finding| finding.cause);
        assert_eq!(cause(TOKEN, Some(&key[..]), 1_300_819_379), None);
        let late = judge(TOKEN, Some(&key), 1_300_819_390).unwrap();
        assert_eq!(
            (late.cause.as_str(), late.what.as_str()),
            ("token-expired", "the token expired 10 s ago")
        );
        assert_eq!(cause(TOKEN, Some(b"other"), 0).as_deref(), Some("token-foreign"));
        for wrong in ["", "a.b", "a.b.c.d", "!.!.!", "a.e30.!"] {
            assert_eq!(
                cause(wrong, Some(&key), 0).as_deref(),
                Some("token-malformed"),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn the_example_of_rfc_4231() {
        let digest = hex(&hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_token_is_judged(token in crate::damaged::text(&[TOKEN])) {
            judge(&token, Some(b"key"), 1_800_000_000);
        }
    }
}
