//! States and messages as bytes: one encoding for the journal, the manifest and the protocol.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::resource::model::digest::sha256;

/// How deep a message may be nested: ours are not half as deep, and a stack is finite.
const MAX_DEPTH: usize = 64;

/// A resource's state as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved(#[serde(with = "serde_bytes")] Vec<u8>);

impl Saved {
    pub(in crate::resource) fn of(state: &impl Serialize) -> Result<Self> {
        encode(state).map(Self)
    }

    pub(in crate::resource) fn state<T: DeserializeOwned>(&self) -> Result<T> {
        decode(&self.0)
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// SHA-256 of it, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        sha256(&self.0)
    }
}

/// A value as `MessagePack` with the names of its fields.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(rmp_serde::to_vec_named(value)?)
}

/// The value that some bytes hold, all of them and no more.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut decoder = rmp_serde::Deserializer::new(bytes);
    decoder.set_max_depth(MAX_DEPTH);
    let value = T::deserialize(&mut decoder)?;
    match decoder.get_ref().len() {
        0 => Ok(value),
        left => bail!("{left} bytes follow the message"),
    }
}
