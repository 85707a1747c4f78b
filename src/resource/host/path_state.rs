//! What is at a path that should have a file, a link or nothing, and the way back to it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::attributes::{Attributes, LinkAttributes};
use crate::resource::host::entry::{Access, Entry, NewFile};
use crate::resource::host::fs::{make_private, type_text};
use crate::resource::host::large_files::{self, LARGE, MAX_FILE};
use crate::resource::model::digest::sha256;
use crate::resource::model::hint::Advise;

/// What is at a path.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
pub enum PathState {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Content.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        /// ACL, extended attributes, flags, time and holes of the file.
        #[serde(default)]
        attributes: Box<Attributes>,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: PathBuf,
        /// Owner and time of the link itself.
        #[serde(default)]
        attributes: LinkAttributes,
    },
    /// Anything else, by the name of its type.
    Other(String),
    /// A regular file whose content is too large for a record.
    Large {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// The number of its bytes.
        size: u64,
        /// SHA-256 of its content, in hex.
        digest: String,
        /// As those of a smaller file.
        #[serde(default)]
        attributes: Box<Attributes>,
    },
}

/// A record of an older hwctl has the bytes of files that are known by their digests now.
impl PartialEq for PathState {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => true,
            (
                Self::Link { target, attributes },
                Self::Link { target: other, attributes: others },
            ) => target == other && attributes == others,
            (Self::Other(found), Self::Other(other)) => found == other,
            _ => {
                self.access().is_some()
                    && self.access() == other.access()
                    && self.attributes() == other.attributes()
                    && self.has_content_of(other)
            }
        }
    }
}

impl PathState {
    pub(in crate::resource) fn read(path: &Path, host: &Host) -> Result<Self> {
        let Some(entry) = Entry::find(path)? else { return Ok(Self::Absent) };
        let Some(found) = entry.stat()? else { return Ok(Self::Absent) };
        Ok(match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => {
                Self::Link { target: entry.target()?, attributes: LinkAttributes::of(&found) }
            }
            FileType::RegularFile => {
                let opened = entry.open();
                let (file, found) = opened.with_context(|| format!("read `{}`", path.display()))?;
                let (mode, uid, gid) = (found.mode() & 0o7777, found.uid(), found.gid());
                let attributes = Attributes::of_file(&file, &found, host)
                    .with_context(|| format!("read the attributes of `{}`", path.display()))?;
                let attributes = Box::new(attributes);
                if found.len() > LARGE {
                    require_handled(path, found.len())?;
                    let (size, digest) = (found.len(), host.file_digest(&file, &found));
                    let digest = digest.with_context(|| format!("read `{}`", path.display()))?;
                    return Ok(Self::Large { mode, uid, gid, size, digest, attributes });
                }
                let bytes = entry.content(&file, &found)?;
                Self::File { mode, uid, gid, bytes, attributes }
            }
            _ => Self::Other(type_text(&found)),
        })
    }

    /// The same of a file that hwctl changes a part of. All of such a one is held in memory.
    pub(in crate::resource) fn read_whole(path: &Path, host: &Host) -> Result<Self> {
        match Self::read(path, host)? {
            Self::Large { size, .. } => Err(anyhow::anyhow!(
                "`{}` has {} MiB: hwctl adds to files of up to {} MiB",
                path.display(),
                size >> 20,
                LARGE >> 20
            ))
            .hint("look at what is in it; move it away and run again"),
            state => Ok(state),
        }
    }

    /// The bytes of a file that is not large.
    pub(in crate::resource) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::File { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    pub(in crate::resource) fn attributes(&self) -> Option<&Attributes> {
        match self {
            Self::File { attributes, .. } | Self::Large { attributes, .. } => Some(attributes),
            _ => None,
        }
    }

    /// Mode, owner and group of a file.
    pub(in crate::resource) fn access(&self) -> Option<(u32, u32, u32)> {
        match self {
            Self::File { mode, uid, gid, .. } | Self::Large { mode, uid, gid, .. } => {
                Some((*mode, *uid, *gid))
            }
            _ => None,
        }
    }

    /// The number of a file's bytes.
    pub(in crate::resource) fn size(&self) -> Option<u64> {
        match self {
            Self::File { bytes, .. } => Some(bytes.len() as u64),
            Self::Large { size, .. } => Some(*size),
            _ => None,
        }
    }

    /// SHA-256 of a file's content, in hex.
    pub(in crate::resource) fn digest(&self) -> Option<String> {
        match self {
            Self::File { bytes, .. } => Some(sha256(bytes)),
            Self::Large { digest, .. } => Some(digest.clone()),
            _ => None,
        }
    }

    /// Whether both are files with the same bytes, or none is a file.
    pub(in crate::resource) fn has_content_of(&self, other: &Self) -> bool {
        match (self.bytes(), other.bytes()) {
            (Some(bytes), Some(others)) => bytes == others,
            _ => self.size() == other.size() && self.digest() == other.digest(),
        }
    }

    /// Why the host cannot be brought back to this state, where it cannot.
    pub(in crate::resource) fn is_lost(&self, now: &Self, host: &Host) -> Option<String> {
        let Self::Large { size, digest, .. } = self else { return None };
        let is_here = self.has_content_of(now) || large_files::is_kept(digest, *size, host);
        (!is_here).then(|| {
            format!("its content of then, {} MiB, is no longer kept on the host", size >> 20)
        })
    }

    /// The file with other content.
    pub(in crate::resource) fn with_bytes(&self, bytes: Vec<u8>) -> Self {
        match self {
            Self::File { mode, uid, gid, attributes, .. } => {
                let attributes = Box::new(attributes.of_new_content());
                Self::File { mode: *mode, uid: *uid, gid: *gid, bytes, attributes }
            }
            other => other.clone(),
        }
    }

    /// The state that the plan leaves: something of another type may give way before.
    pub(in crate::resource) fn unless_leaving<'a>(&'a self, path: &Path, host: &Host) -> &'a Self {
        match self {
            Self::Other(_) if host.is_leaving(path) => &Self::Absent,
            state => state,
        }
    }

    /// Brings the path back to this state, with the same inode where hwctl has kept it.
    pub(in crate::resource) fn restore(&self, path: &Path, host: &Host) -> Result<()> {
        let now = Self::read(path, host)?;
        let kept = self.attributes().and_then(|attributes| attributes.kept_at(host));
        let kept = kept.map_or(Ok(None), |kept| Entry::find(&kept))?;
        if now != *self {
            now.keep(path, host)?;
            let is_kept = match &kept {
                // By another name of it somebody may have changed it.
                Some(kept) => Self::read(kept.path(), host)? == *self,
                None => false,
            };
            match kept.as_ref().filter(|_| is_kept) {
                Some(kept) => Entry::require(path)?.take(kept, &host.batch)?,
                None => self.put(path, host)?,
            }
        }
        kept.map_or(Ok(()), |kept| kept.remove(&host.batch))
    }

    fn put(&self, path: &Path, host: &Host) -> Result<()> {
        match self {
            Self::Absent => remove(path, host),
            Self::File { mode, uid, gid, bytes, attributes } => {
                let owner = Some((*uid, *gid));
                let new = NewFile { bytes, mode: *mode, owner, attributes };
                Entry::require(path)?.write(&new, &host.batch)
            }
            Self::Link { target, attributes } => {
                Entry::require(path)?.link(target, attributes, &host.batch)
            }
            Self::Large { mode, uid, gid, digest, attributes, .. } => {
                let access = Access { mode: *mode, owner: Some((*uid, *gid)), attributes };
                large_files::put_back(digest, &Entry::require(path)?, access, host)
            }
            Self::Other(_) => Ok(()),
        }
    }

    /// Keeps what is about to be replaced and is not in this state itself: the content of a large file, and the inode of a
    /// file that has other names.
    pub(in crate::resource) fn keep(&self, path: &Path, host: &Host) -> Result<()> {
        if let Self::Large { digest, .. } = self {
            large_files::keep(path, digest, host)?;
        }
        let kept = self.attributes().and_then(|attributes| attributes.kept_at(host));
        let Some(kept) = kept else { return Ok(()) };
        if let Some(folder) = kept.parent() {
            make_private(folder)?;
        }
        Entry::require(path)?.also_at(&Entry::require(&kept)?)
    }

    /// What the plan says of a file's other names when it is replaced.
    pub(in crate::resource) fn other_names(&self) -> Option<String> {
        let attributes = self.attributes()?;
        let others = match attributes.names()? - 1 {
            1 => "its other name (a hard link) keeps".to_owned(),
            others => format!("its {others} other names (hard links) keep"),
        };
        let back = match attributes.is_keepable() {
            true => "",
            false => {
                "; they are on another file system than /var/lib/hwctl, so an undo gives the content \
                 back in a file of its own"
            }
        };
        Some(format!("{others} the content of before{back}"))
    }
}

fn require_handled(path: &Path, size: u64) -> Result<()> {
    if size <= MAX_FILE {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "`{}` has {} MiB: hwctl replaces files of up to {} MiB",
        path.display(),
        size >> 20,
        MAX_FILE >> 20
    ))
    .hint("move it away and run again")
}

/// Removes a file or a link; an absent one is no error.
pub(in crate::resource) fn remove(path: &Path, host: &Host) -> Result<()> {
    Entry::find(path)?.map_or(Ok(()), |entry| entry.remove(&host.batch))
}

/// The error that something of another type is where a resource should be.
pub(in crate::resource) fn in_the_way(path: &Path, found: &str, wanted: &str) -> Result<()> {
    Err(anyhow::anyhow!("a {found} is at `{}` where a {wanted} should be", path.display()))
        .hint("hwctl does not remove it: move it away and run again")
}
