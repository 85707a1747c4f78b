//! Password hashes: made with a fresh salt, and kept as long as the password still matches.

use anyhow::{Context as _, Result, anyhow};
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use rand::TryRng as _;
use serde::{Deserialize, Serialize};

use crate::resource::model::digest::sha256;
use crate::resource::model::secret::Secret;

/// 16 characters in the hash's text: libcrypt, which nginx asks, reads no more of a salt
/// (<https://www.akkadia.org/drepper/SHA-crypt.txt>), while the crate's own default is 22.
const SALT_BYTES: usize = 12;

/// What hashes of ours begin with, behind their scheme: others may have been planted, and could
/// take hours or all memory to be checked.
const SHA512_COST: &str = "rounds=5000$";
const ARGON2ID_COST: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// How many hashes of one user are looked at in a file, which has one.
const MOST_HASHES: usize = 4;

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashScheme {
    /// `$6$`: what nginx checks on every request of basic auth, so of moderate cost (5,000
    /// rounds, the scheme's default).
    Sha512Crypt,
    /// Argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane), checked once a login.
    Argon2id,
}

impl HashScheme {
    /// A new hash with a random salt, in the scheme's text form.
    pub fn hash(self, password: &Secret) -> Result<String> {
        let password = password.expose().as_bytes();
        let hash = match self {
            Self::Sha512Crypt => {
                let mut salt = [0; SALT_BYTES];
                rand::rngs::SysRng.try_fill_bytes(&mut salt).context("read random bytes")?;
                let hash = sha_crypt::ShaCrypt::default().hash_password_with_salt(password, &salt);
                hash.map(|hash| hash.to_string())
            }
            Self::Argon2id => {
                argon2::Argon2::default().hash_password(password).map(|hash| hash.to_string())
            }
        };
        hash.map_err(|error| anyhow!("hash a password: {error}"))
    }

    /// Whether `hash` is one of `password` in this scheme, for every reader of the scheme, and of
    /// the cost that ours have.
    #[must_use]
    pub fn verify(self, password: &Secret, hash: &str) -> bool {
        let password = password.expose().as_bytes();
        match self {
            Self::Sha512Crypt => {
                let salt = hash.rsplit('$').nth(1).unwrap_or_default();
                let rest = hash.strip_prefix("$6$").unwrap_or_default();
                let rest = rest.strip_prefix(SHA512_COST).unwrap_or(rest);
                // Salt and hash alone: no other cost is left.
                rest.split('$').count() == 2
                    && salt.len() <= 16
                    && sha_crypt::ShaCrypt::default().verify_password(password, hash).is_ok()
            }
            Self::Argon2id => {
                hash.starts_with(ARGON2ID_COST)
                    && argon2::password_hash::phc::PasswordHash::new(hash).is_ok_and(|hash| {
                        argon2::Argon2::default().verify_password(password, &hash).is_ok()
                    })
            }
        }
    }

    /// What names a search for a hash, without telling the password.
    pub(in crate::resource) fn search(self, text: &str, user: &str, password: &Secret) -> String {
        sha256(format!("{self:?} {user:?} {:?} {text}", password.expose()).as_bytes())
    }

    /// What stands after `user:` in `text` and may be a hash.
    pub(in crate::resource) fn candidates<'a>(
        text: &'a str,
        user: &str,
    ) -> impl Iterator<Item = &'a str> {
        let label = format!("{user}:");
        let starts: Vec<_> =
            text.match_indices(&label).take(MOST_HASHES).map(|(at, _)| at).collect();
        starts.into_iter().filter_map(move |start| {
            let whole_name = text[..start].chars().next_back().is_none_or(|c| !is_name(c));
            let rest = &text[start + label.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "$./=,+-_".contains(c)));
            whole_name.then_some(&rest[..end.unwrap_or(rest.len())])
        })
    }

    /// The hash in `text` that stands after `user:` and matches the password.
    pub(in crate::resource) fn find(
        self,
        text: &str,
        user: &str,
        password: &Secret,
    ) -> Option<String> {
        Self::candidates(text, user).find(|hash| self.verify(password, hash)).map(str::to_owned)
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || "_-.@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libcrypt_reads_the_whole_salt() {
        let hash = HashScheme::Sha512Crypt.hash(&Secret::new("correct horse")).unwrap();
        let salt = hash.split('$').nth(3).unwrap();
        assert_eq!(salt.len(), 16, "{hash}");
        // Made by `openssl passwd -6 -salt 0123456789abcdef 'correct horse'`.
        let foreign = "$6$0123456789abcdef$lDHzA5IdO41viXIs6llkDKq4Uh2VG9JXIYJ.taq2zlNFqBnKQ0/fOUW0Zoz49ZnOpe2ACY.PoF6wosL.jL3Af0";
        assert!(HashScheme::Sha512Crypt.verify(&Secret::new("correct horse"), foreign));
    }

    #[test]
    fn each_scheme_finds_its_hash_again_and_no_other() {
        let password = Secret::new("correct horse");
        for scheme in [HashScheme::Sha512Crypt, HashScheme::Argon2id] {
            let hash = scheme.hash(&password).unwrap();
            let text = format!("USERS='other:$6$x$y admin:{hash} z:1'\n");
            assert_eq!(scheme.find(&text, "admin", &password).as_deref(), Some(hash.as_str()));
            assert_eq!(scheme.find(&text, "admin", &Secret::new("wrong")), None);
            assert_eq!(scheme.find(&text, "min", &password), None);
        }
    }

    #[test]
    fn a_planted_hash_costs_nothing() {
        let password = Secret::new("correct horse");
        let start = std::time::Instant::now();
        for (scheme, planted) in [
            (HashScheme::Sha512Crypt, "$6$rounds=999999999$saltsalt$hash"),
            (
                HashScheme::Argon2id,
                "$argon2id$v=19$m=4194304,t=4294967,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            ),
        ] {
            let text = format!("admin:{planted}\n").repeat(100_000);
            assert_eq!(scheme.find(&text, "admin", &password), None);
            // Of the right cost, but one after the other.
            let other = scheme.hash(&Secret::new("wrong")).unwrap();
            let text = format!("admin:{other}\n").repeat(10_000);
            assert_eq!(scheme.find(&text, "admin", &password), None);
        }
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }
}
