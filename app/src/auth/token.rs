//! Tokens: JWTs signed with HS256, checked with no leeway.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};

use super::hs256;
use crate::{error::ApiError, settings::Secret};

/// Who issues the tokens, and whose tokens are taken.
pub const ISSUER: &str = "flask-app";

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// Who issued it.
    pub iss: String,
    /// When, in seconds since 1970.
    pub iat: u64,
    /// From when on it no longer holds.
    pub exp: u64,
    /// Its own id.
    pub jti: String,
}

/// Issues and checks tokens.
pub struct Tokens {
    encoding: EncodingKey,
    /// The key of its own tokens, then the other one.
    decoding: Vec<DecodingKey>,
    validation: Validation,
    ttl: Duration,
}

impl Tokens {
    /// Tokens signed with `key` that hold for `ttl`. Those that are signed with the key `also` are taken, too.
    #[must_use]
    pub fn new(key: &Secret, also: Option<&Secret>, ttl: Duration) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Self {
            encoding: EncodingKey::from_secret(key.reveal()),
            decoding: [key].into_iter().chain(also).map(decoding).collect(),
            validation,
            ttl,
        }
    }

    /// A new token for `user`.
    pub fn issue(&self, user: &str) -> Result<String, ApiError> {
        let iat = now();
        let id = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
        let (high, low) = id.map_err(|_| ApiError::Internal)?;
        let claims = Claims {
            sub: user.to_owned(),
            iss: ISSUER.to_owned(),
            iat,
            exp: iat + self.ttl.as_secs(),
            jti: format!("{high:016x}{low:016x}"),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|_| ApiError::Internal)
    }

    /// What a token says, if it holds.
    pub fn verify(&self, token: &str) -> Result<Claims, ApiError> {
        let decode = |key| jsonwebtoken::decode::<Claims>(token, key, &self.validation);
        let is_foreign = |decoded: &Result<_, jsonwebtoken::errors::Error>| {
            decoded.as_ref().is_err_and(|error| *error.kind() == ErrorKind::InvalidSignature)
        };
        let mut keys = self.decoding.iter().map(decode).skip_while(is_foreign);
        let decoded = keys.next().ok_or(ApiError::InvalidToken)?;
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => ApiError::ExpiredToken,
            _ => ApiError::InvalidToken,
        })?;
        // RFC 7519 ends a token on its last second; the library ends it after.
        if claims.claims.exp <= now() {
            return Err(ApiError::ExpiredToken);
        }
        Ok(claims.claims)
    }
}

fn decoding(key: &Secret) -> DecodingKey {
    DecodingKey::from_secret(key.reveal())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::encode;
    use serde_json::json;

    const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new(&KEY[..]), None, Duration::from_hours(1))
    }

    fn signed(claims: &serde_json::Value, key: &[u8]) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(key))
            .expect("token")
    }

    #[test]
    fn an_issued_token_holds_and_names_its_user() {
        let tokens = tokens();
        let token = tokens.issue("admin").expect("token");
        assert_eq!(tokens.verify(&token).expect("holds").sub, "admin");
        assert_ne!(token, tokens.issue("admin").expect("token"), "each has its own id");
    }

    #[test]
    fn tokens_of_two_keys_hold_while_one_takes_the_place_of_the_other() {
        let [old, new] = [&KEY[..], b"another key of thirty-two bytes!"].map(Secret::new);
        let ttl = Duration::from_hours(1);
        let before = Tokens::new(&old, Some(&new), ttl);
        let after = Tokens::new(&new, Some(&old), ttl);
        let done = Tokens::new(&new, None, ttl);

        for (issuer, verifier) in [(&before, &after), (&after, &before), (&after, &done)] {
            let token = issuer.issue("admin").expect("token");
            assert_eq!(verifier.verify(&token).expect("holds").sub, "admin");
        }
        let token = before.issue("admin").expect("token");
        assert_eq!(done.verify(&token).err(), Some(ApiError::InvalidToken));
        let ended = Tokens::new(&old, None, Duration::ZERO).issue("admin").expect("token");
        assert_eq!(after.verify(&ended).err(), Some(ApiError::ExpiredToken));
    }

    #[test]
    fn the_token_is_the_one_of_rfc_7515() {
        // Appendix A.1: its key, its signing input and its signature.
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = EncodingKey::from_urlsafe_base64_secret(key)
            .or_else(|_| EncodingKey::from_urlsafe_base64_secret(&format!("{key}==")))
            .expect("key");
        hs256::install();
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, Algorithm::HS256);
        assert_eq!(signature.expect("signed"), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_token_that_lacks_a_claim_or_has_ended_does_not_hold() {
        let tokens = tokens();
        let later = now() + 100;
        let good = json!({"sub": "admin", "iss": ISSUER, "iat": 1, "exp": later, "jti": "x"});
        assert!(tokens.verify(&signed(&good, KEY)).is_ok());
        for claim in ["sub", "iss", "iat", "exp", "jti"] {
            let mut lacking = good.clone();
            lacking.as_object_mut().expect("object").remove(claim);
            assert_eq!(tokens.verify(&signed(&lacking, KEY)).err(), Some(ApiError::InvalidToken));
        }
        let mut foreign = good.clone();
        foreign["iss"] = json!("someone");
        assert_eq!(tokens.verify(&signed(&foreign, KEY)).err(), Some(ApiError::InvalidToken));
        for exp in [now() - 1, now()] {
            let mut ended = good.clone();
            ended["exp"] = json!(exp);
            assert_eq!(tokens.verify(&signed(&ended, KEY)).err(), Some(ApiError::ExpiredToken));
        }
        let wrong_key = signed(&good, b"another key of thirty-two bytes!");
        assert_eq!(tokens.verify(&wrong_key).err(), Some(ApiError::InvalidToken));
    }
}
