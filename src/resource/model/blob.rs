//! Bytes that travel apart from a resource.

use serde::{Deserialize, Serialize};

/// Bytes that travel apart from the resource, once, and only when the host lacks them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blob {
    /// What the bytes are known by: their SHA-256 in hex; for a large local file that only has to
    /// travel, `file-` and the SHA-256 of its name, size and modification time.
    pub key: String,
    /// Their number.
    pub size: u64,
}
