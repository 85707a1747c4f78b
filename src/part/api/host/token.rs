//! A token that the API does not take: over, not of this key, or no token at all.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

use crate::engine::{Case, Symptoms};
use crate::event::Finding;
use crate::part::api::ENVIRONMENT;

/// The names of the keys in the API's settings: that of its own tokens, and another one that it takes.
const KEYS: [&str; 2] = ["SECRET_KEY", "SECRET_KEY_ALSO"];

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<u64>,
}

pub(super) fn diagnose(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Option<Finding> {
    let token = symptoms.token?.expose().trim();
    let settings = fs::read_to_string(case.host.path(Path::new(ENVIRONMENT))).ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    judge(token, &keys_in(settings.as_deref().unwrap_or_default()), now)
}

/// The keys in the API's settings, which systemd reads. No key has a character that needs quotes.
fn keys_in(settings: &str) -> Vec<&[u8]> {
    let lines = settings.lines().filter_map(|line| line.split_once('='));
    let keys = lines.filter(|(name, _)| KEYS.contains(&name.trim()));
    keys.map(|(_, key)| key.trim().trim_matches(['"', '\'']).as_bytes()).collect()
}

/// The token itself is in no finding.
fn judge(token: &str, keys: &[&[u8]], now: u64) -> Option<Finding> {
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
    let is_own = keys.iter().any(|key| is_signed_with(key, &signed, &signature));
    if !keys.is_empty() && !is_own {
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

/// Whether a signature is the HMAC-SHA-256 of a text.
fn is_signed_with(key: &[u8], text: &str, signature: &[u8]) -> bool {
    // A key of any length will do.
    let mac = Hmac::<Sha256>::new_from_slice(key);
    mac.is_ok_and(|mac| mac.chain_update(text).verify_slice(signature).is_ok())
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let cause =
            |token, keys: &[&[u8]], now| judge(token, keys, now).map(|finding| finding.cause);
        assert_eq!(cause(TOKEN, &[&key], 1_300_819_379), None);
        let late = judge(TOKEN, &[b"other", &key], 1_300_819_390).unwrap();
        assert_eq!(
            (late.cause.as_str(), late.what.as_str()),
            ("token-expired", "the token expired 10 s ago")
        );
        assert_eq!(cause(TOKEN, &[b"other"], 0).as_deref(), Some("token-foreign"));
        for wrong in ["", "a.b", "a.b.c.d", "!.!.!", "a.e30.!"] {
            assert_eq!(cause(wrong, &[&key], 0).as_deref(), Some("token-malformed"), "{wrong:?}");
        }
    }

    #[test]
    fn keys_are_found_in_the_settings_with_and_without_quotes() {
        let settings =
            "# SECRET_KEY=none\nSECRET_KEY=ab+/=\nREDIS_URL=redis://x\nSECRET_KEY_ALSO=\"cd\"\n";

        assert_eq!(keys_in(settings), [b"ab+/=".as_slice(), b"cd"]);
        assert!(keys_in("").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_token_is_judged(token in crate::damaged::text(&[TOKEN])) {
            judge(&token, &[b"key"], 1_800_000_000);
        }
    }
}
