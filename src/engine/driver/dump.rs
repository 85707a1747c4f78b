//! Copies of a part's data as they travel. Making one and putting it back is the driver's.

use anyhow::{Result, bail};

use crate::engine::driver::{Case, Later};
use crate::engine::protocol::Copied;
use crate::resource::sha256;

/// The largest copy, in bytes: it is held in memory on both sides.
pub const MAX_COPY_BYTES: u64 = 256 << 20;

/// A driver's way to copy the data of a part, to put it back and to prove it.
pub trait Dump: Sync {
    /// Makes a copy of what the part has at one moment, counted at that moment.
    fn copy<'a>(&'a self, case: &'a Case<'a>) -> Later<'a, (Copied, Vec<u8>)>;

    /// Requires that bytes are such a copy, before anything is stopped for it.
    fn require_valid(&self, bytes: &[u8]) -> Result<()>;

    /// Puts a copy in the place of what the part has, and counts. When that fails, what was there
    /// before is back in its place.
    fn restore<'a>(
        &'a self,
        case: &'a Case<'a>,
        copied: &'a Copied,
        bytes: &'a [u8],
    ) -> Later<'a, ()>;
}

/// Requires that these are the bytes of that copy.
pub fn check_copy(copied: &Copied, bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 != copied.data.bytes || sha256(bytes) != copied.sha256 {
        bail!("the copy is damaged: its checksum is another");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Data;

    #[test]
    fn a_damaged_copy_is_refused() {
        let bytes = b"a copy and more";
        let data = Data::new([("keys", 1)], bytes.len() as u64);
        let copied = Copied { data, sha256: sha256(bytes) };
        assert!(check_copy(&copied, bytes).is_ok());
        assert!(check_copy(&copied, b"a copy and mone").is_err());
        assert!(check_copy(&copied, &bytes[1..]).is_err());
    }
}
