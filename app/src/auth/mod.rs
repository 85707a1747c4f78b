//! Who may do what: users, their passwords, the limit on attempts, and tokens.

pub mod attempts;
mod hs256;
pub mod password;
pub mod token;
mod verified;

use std::{collections::BTreeMap, sync::atomic::Ordering};

use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderValue},
};

use crate::{
    error::ApiError,
    metrics::Metrics,
    settings::{Secret, Settings},
};
use attempts::{Attempts, Client};
use password::{Hash, Verifier};
use token::Tokens;
use verified::Verified;

/// The longest name of a user, in characters.
pub const MAX_NAME: usize = hwctl_limits::MAX_USER_CHARS;
/// The longest password, in characters.
pub const MAX_PASSWORD: usize = 1024;

/// Users, tokens and limits.
pub struct Auth {
    users: BTreeMap<String, Hash>,
    decoy: Hash,
    verifier: Verifier,
    attempts: Attempts,
    tokens: Tokens,
    verified: Verified,
}

impl Auth {
    /// Makes it from the settings.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let users = settings.users.clone();
        let decoy = Hash::decoy(users.values().next())?;
        Ok(Self {
            decoy,
            verifier: Verifier::start()?,
            attempts: Attempts::default(),
            tokens: Tokens::new(
                &settings.secret_key,
                settings.secret_key_also.as_ref(),
                settings.token_ttl,
            ),
            verified: Verified::default(),
            users,
        })
    }

    /// Gives a token for the right name and password.
    pub async fn login(
        &self,
        client: Client,
        name: &str,
        password: Secret,
        metrics: &Metrics,
    ) -> Result<String, ApiError> {
        let [granted, refused, limited] = &metrics.logins;
        if let Err(seconds) = self.attempts.take(client, name) {
            limited.fetch_add(1, Ordering::Relaxed);
            return Err(ApiError::TooManyAttempts(seconds));
        }
        // A name that nobody has costs as much as a wrong password.
        let user = self.users.get(name);
        let right = self.verifier.verify(user.unwrap_or(&self.decoy).clone(), password).await?;
        if user.is_none() || !right {
            refused.fetch_add(1, Ordering::Relaxed);
            return Err(ApiError::WrongCredentials);
        }
        self.attempts.forget(client, name);
        granted.fetch_add(1, Ordering::Relaxed);
        self.tokens.issue(name)
    }

    /// Lets a request with a token that holds pass.
    pub fn authorize(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let token = match (values.next(), values.next()) {
            (Some(value), None) => bearer(value)?,
            (None, _) => return Err(ApiError::MissingToken),
            (Some(_), Some(_)) => return Err(ApiError::InvalidToken),
        };
        let key = Verified::key(token);
        if self.verified.holds(&key, token::now()) {
            return Ok(());
        }
        let claims = self.tokens.verify(token)?;
        // A user who was removed takes the tokens along.
        if !self.users.contains_key(&claims.sub) {
            return Err(ApiError::InvalidToken);
        }
        self.verified.remember(key, claims.exp);
        Ok(())
    }
}

fn bearer(value: &HeaderValue) -> Result<&str, ApiError> {
    let value = value.to_str().map_err(|_| ApiError::InvalidToken)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::MissingToken);
    }
    match token.trim() {
        "" => Err(ApiError::InvalidToken),
        token => Ok(token),
    }
}
