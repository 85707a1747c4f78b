//! One public key, as a line of `authorized_keys` has it.

use std::fmt;

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::resource::model::hint::Advise as _;

/// A public key of SSH: its type, its bytes in Base64 and a comment, each free of control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SshKey(String);

impl SshKey {
    /// Reads the line of a public key file, such as `id_ed25519.pub`. Options before the type are refused.
    pub fn parse(line: &str) -> Result<Self> {
        let key = Self(line.trim().to_owned());
        key.check().hint("give the line of a `.pub` file, without options before it")?;
        Ok(key)
    }

    /// Refuses what is not one key: the value may come from a record that somebody has changed.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.0.contains(char::is_control), "an SSH key has more than one line");
        let (kind, bytes) = self.fields().context("an SSH key has a type and Base64")?;
        let bytes = BASE64_STANDARD
            .decode(bytes)
            .map_err(|error| anyhow!("the SSH key `{kind}` is not Base64: {error}"))?;
        // RFC 4253, section 6.6: the bytes begin with the length of the type, and the type.
        let named = bytes.split_at_checked(4).and_then(|(length, rest)| {
            let length = u32::from_be_bytes(length.try_into().ok()?);
            rest.get(..usize::try_from(length).ok()?)
        });
        ensure!(named == Some(kind.as_bytes()), "the bytes of the SSH key are not of `{kind}`");
        Ok(())
    }

    /// The line of the file, without its end.
    pub(super) fn line(&self) -> &str {
        &self.0
    }

    /// Whether a line of somebody else has the same key, with whatever options and comment.
    pub(super) fn is_in(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        let Some((_, bytes)) = self.fields() else { return false };
        let mut words = line.split(u8::is_ascii_whitespace);
        !line.starts_with(b"#") && words.any(|word| word == bytes.as_bytes())
    }

    fn fields(&self) -> Option<(&str, &str)> {
        let mut fields = self.0.split_ascii_whitespace();
        fields.next().zip(fields.next())
    }
}

/// The fingerprint, as `ssh-keygen -l` prints it, and the comment.
impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.fields().and_then(|(_, bytes)| BASE64_STANDARD.decode(bytes).ok());
        let digest = Sha256::digest(bytes.unwrap_or_default());
        write!(f, "SHA256:{}", BASE64_STANDARD_NO_PAD.encode(digest))?;
        let comment: Vec<_> = self.0.split_ascii_whitespace().skip(2).collect();
        if comment.is_empty() { Ok(()) } else { write!(f, " {}", comment.join(" ")) }
    }
}
