//! Passwords: argon2id hashes, checked one at a time on a thread of their own.
//!
//! One check takes 19 MiB, so a second at the same time would break the service's memory bound.
//! The memory is kept for the next check: given back and asked for again, it leaves holes in the
//! heap that grow to many times its size.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use anyhow::Context as _;
use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHash, PasswordHasher, Version,
    password_hash::phc::Output,
};
use tokio::sync::oneshot;

use crate::{error::ApiError, settings::Secret};

/// Logins that wait for their turn; beyond it they are told to come back.
const QUEUE: usize = 64;
/// The most memory that a hash may ask for, in KiB (OWASP's 19 MiB).
const MAX_MEMORY: u32 = 19_456;
/// The most rounds that a hash may ask for.
const MAX_ROUNDS: u32 = 10;

/// The hash of a password.
#[derive(Clone)]
pub struct Hash(Arc<PasswordHash>);

impl Hash {
    /// Reads a hash in PHC form. The error continues the sentence "the hash …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let hash = PasswordHash::new(text)
            .map_err(|_| "is not a PHC string such as `$argon2id$v=19$…`".to_owned())?;
        if hash.algorithm != ARGON2ID_IDENT {
            return Err("is not of the kind `argon2id`".to_owned());
        }
        let params =
            Params::try_from(&hash).map_err(|error| format!("has bad parameters: {error}"))?;
        if params.m_cost() > MAX_MEMORY || params.t_cost() > MAX_ROUNDS {
            return Err(format!("asks for more than m={MAX_MEMORY} KiB or t={MAX_ROUNDS}"));
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err("lacks the salt or the hash itself".to_owned());
        }
        Ok(Self(Arc::new(hash)))
    }

    /// A hash that no password has, as dear to check as `model`.
    pub fn decoy(model: Option<&Self>) -> anyhow::Result<Self> {
        let params = match model {
            Some(model) => Params::try_from(&*model.0).unwrap_or_default(),
            None => Params::default(),
        };
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).context("the kernel gives no random bytes")?;
        let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(&secret)
            .map_err(|error| anyhow::anyhow!("cannot hash a password: {error}"))?;
        Ok(Self(Arc::new(hash)))
    }
}

struct Check {
    hash: Hash,
    password: Secret,
    answer: oneshot::Sender<bool>,
}

/// Checks passwords.
pub struct Verifier(SyncSender<Check>);

impl Verifier {
    /// Starts the thread, which ends when this value is dropped.
    pub fn start() -> anyhow::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("password".into())
            .stack_size(256 * 1024)
            .spawn(move || check_each(&receiver))
            .context("cannot start the thread that checks passwords")?;
        Ok(Self(sender))
    }

    /// Whether `password` is the one that `hash` was made of.
    pub async fn verify(&self, hash: Hash, password: Secret) -> Result<bool, ApiError> {
        let (answer, verdict) = oneshot::channel();
        match self.0.try_send(Check { hash, password, answer }) {
            Ok(()) => verdict.await.map_err(|_| ApiError::Internal),
            Err(TrySendError::Full(_)) => Err(ApiError::TooBusy),
            Err(TrySendError::Disconnected(_)) => Err(ApiError::Internal),
        }
    }
}

fn check_each(checks: &Receiver<Check>) {
    let mut memory = Vec::new();
    while let Ok(check) = checks.recv() {
        // Whoever asked may have gone while waiting.
        if check.answer.is_closed() {
            continue;
        }
        let right = matches(&check.hash.0, check.password.reveal(), &mut memory).unwrap_or(false);
        let _ = check.answer.send(right);
    }
}

/// Whether `hash` was made of `password`; nothing when the hash itself is of no use.
fn matches(hash: &PasswordHash, password: &[u8], memory: &mut Vec<Block>) -> Option<bool> {
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let params = Params::try_from(hash).ok()?;
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::new());
    }
    let mut found = vec![0; expected.len()];
    Argon2::new(Algorithm::Argon2id, version, params)
        .hash_password_into_with_memory(password, salt, &mut found, memory)
        .ok()?;
    // The comparison of outputs takes the same time wherever they differ.
    Some(Output::new(&found).ok()? == *expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$Y2hhbmdlbWVub3dwbHM$";

    #[test]
    fn only_bounded_argon2id_is_taken() {
        let refused = |text: &str| Hash::parse(text).err().expect("refused");
        assert!(refused("password").contains("PHC"));
        assert!(refused(HASH).contains("PHC") || refused(HASH).contains("lacks"));
        let tail = "$Y2hhbmdlbWVub3dwbHM$WWjtLBpYS0KZ0PBxLoqXgUxGp4mCGxYvW7JyZCWDeGs";
        assert!(refused(&format!("$argon2i$v=19$m=19456,t=2,p=1{tail}")).contains("argon2id"));
        assert!(refused(&format!("$argon2id$v=19$m=99999,t=2,p=1{tail}")).contains("m=19456"));
        assert!(refused(&format!("$argon2id$v=19$m=19456,t=99,p=1{tail}")).contains("t=10"));
        assert!(Hash::parse(&format!("$argon2id$v=19$m=19456,t=2,p=1{tail}")).is_ok());
    }

    #[test]
    fn a_password_matches_its_hash_and_no_other() {
        // Made by the reference implementation's `argon2` program.
        let hash = Hash::parse("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$tPXA8KRaMxUDqoVFOkz5qceiysamiMSLxBrcC5sAtmo").expect("hash");
        let mut memory = Vec::new();
        for _ in 0..2 {
            assert_eq!(matches(&hash.0, b"password", &mut memory), Some(true));
            assert_eq!(matches(&hash.0, b"passwore", &mut memory), Some(false));
            assert_eq!(matches(&hash.0, b"", &mut memory), Some(false));
        }
    }

    #[tokio::test]
    async fn a_decoy_matches_nothing_and_a_full_queue_says_so() {
        let verifier = Verifier::start().expect("thread");
        let decoy = Hash::decoy(None).expect("decoy");
        assert_eq!(verifier.verify(decoy.clone(), Secret::new("")).await, Ok(false));
        let many = (0..QUEUE + 4).map(|_| verifier.verify(decoy.clone(), Secret::new("x")));
        let answers = futures_util::future::join_all(many).await;
        assert!(answers.contains(&Err(ApiError::TooBusy)), "{answers:?}");
        assert!(answers.contains(&Ok(false)));
    }
}
