//! The marked block in a file of keys. What is outside of it belongs to others and is kept byte for byte.

use anyhow::{Result, anyhow};

use super::key::SshKey;
use crate::resource::model::hint::Advise as _;

const BEGIN: &[u8] = b"# BEGIN hwctl";
const END: &[u8] = b"# END hwctl";

/// A file of keys, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parted<'a> {
    /// The lines of the block, without its marks. None where there is no block.
    pub(super) block: Option<Vec<&'a [u8]>>,
    /// All other lines, with their ends.
    pub(super) others: Vec<&'a [u8]>,
}

impl<'a> Parted<'a> {
    /// Takes a file apart. A block without its last line is refused: nothing tells whose the lines are that
    /// follow.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self> {
        let mut parted = Self::default();
        let mut is_inside = false;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.trim_ascii_end() {
                BEGIN if !is_inside => {
                    parted.block.get_or_insert_default();
                    is_inside = true;
                }
                END if is_inside => is_inside = false,
                own if is_inside => parted.block.get_or_insert_default().push(own),
                _ => parted.others.push(line),
            }
        }
        if is_inside {
            return Err(anyhow!("the block of hwctl has no last line `# END hwctl`"))
                .hint("put that line back behind the last key of hwctl");
        }
        Ok(parted)
    }

    /// The keys of `wanted` that others have not let in already.
    pub(super) fn lacking<'k>(&self, wanted: &'k [SshKey]) -> Vec<&'k SshKey> {
        wanted.iter().filter(|key| !self.others.iter().any(|line| key.is_in(line))).collect()
    }

    /// The file with this block instead. The block comes first, where no unfinished line of others is in its
    /// way.
    pub(super) fn with_block<'b>(&self, lines: impl IntoIterator<Item = &'b [u8]>) -> Vec<u8> {
        let mut lines = lines.into_iter().peekable();
        let mut whole = Vec::new();
        if lines.peek().is_some() {
            for line in std::iter::once(BEGIN).chain(lines).chain([END]) {
                whole.extend_from_slice(line);
                whole.push(b'\n');
            }
        }
        self.others.iter().for_each(|line| whole.extend_from_slice(line));
        whole
    }
}
