//! A file whose content is too large to be held in memory: it is written piece by piece.

use std::cell::RefCell;
use std::fs;
use std::io;

use anyhow::{Context as _, Result, anyhow};

use super::File;
use super::content::Content;
use crate::resource::host::Host;
use crate::resource::host::attributes::Attributes;
use crate::resource::host::entry::{Access, Entry};
use crate::resource::host::large_files::{LARGE, copy, copy_file};
use crate::resource::host::path_state::PathState;
use crate::resource::model::blob::Blob;
use crate::resource::model::hint::Advise as _;

impl File {
    /// The blob of a large file.
    pub(super) fn large_blob(&self) -> Option<&Blob> {
        match &self.content {
            Content::Blob(blob) if blob.size > LARGE => Some(blob),
            _ => None,
        }
    }

    /// Refuses a command that would have to look at a copy in memory.
    pub(super) fn require_checkable(&self) -> Result<()> {
        let Some(blob) = self.large_blob().filter(|_| !self.validate.is_empty()) else {
            return Ok(());
        };
        let (size, most) = (blob.size >> 20, LARGE >> 20);
        Err(anyhow!(
            "`{}` has {size} MiB: `validate` is for files of up to {most} MiB",
            self.path.display()
        ))
        .hint("leave `validate` out, and look at the file in a hook before the run")
    }

    pub(super) fn put_large(
        &self,
        blob: &Blob,
        state: &PathState,
        (mode, owner): (u32, (u32, u32)),
        host: &Host,
    ) -> Result<()> {
        let path = host.path(&self.path);
        let attributes = state.attributes().map(Attributes::without_rights).unwrap_or_default();
        let access = Access { mode, owner: Some(owner), attributes: &attributes };
        let entry = Entry::require(&path)?;
        if state.digest().is_some_and(|digest| digest == blob.key) {
            // The bytes did not travel: they are in the file already.
            let (file, _) = entry.open().with_context(|| format!("read `{}`", path.display()))?;
            let fill = |new: &mut fs::File| copy_file(&file, new, false);
            state.keep(&path, host)?;
            return entry.write_by(&fill, access, &host.batch);
        }
        let content = RefCell::new(host.open_blob(blob)?);
        let fill = |new: &mut fs::File| -> io::Result<()> {
            copy(&mut &mut *content.borrow_mut(), new, false)
        };
        state.keep(&path, host)?;
        entry.write_by(&fill, access, &host.batch)
    }
}
