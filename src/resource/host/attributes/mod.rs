//! What a file or folder has beside its content, mode and owner: its access control lists (ACLs) and
//! other extended attributes, its flags (`chattr`) and the time of its last change.
//!
//! A file that is replaced gets a new inode, which has none of these by itself.

mod acl;

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    IFlags, Stat, Timespec, Timestamps, UTIME_OMIT, XattrFlags, fgetxattr, flistxattr,
    fremovexattr, fsetxattr, futimens, ioctl_getflags, ioctl_setflags,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::resource::host::Host;

/// The attribute that holds an ACL: rights of named users and groups.
const ACL: &str = "system.posix_acl_access";
/// The attribute of a folder with the ACL that what is made in it gets.
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// The attribute that holds what a program may do beyond its user's rights.
const CAPABILITIES: &str = "security.capability";
/// Attributes that the kernel computes from the content, and lets nobody set.
const COMPUTED: [&str; 2] = ["security.evm", "security.ima"];
/// Attributes are no longer than this, and so is the list of their names (`XATTR_SIZE_MAX`).
const MAX_ATTRIBUTE: usize = 64 << 10;
/// The unit in which a file's room on disk is counted, in bytes.
const BLOCK: u64 = 512;
/// hwctl's folder with names of files that it has replaced and that have other names.
pub(in crate::resource) const KEPT_FOLDER: &str = "links";

/// The flags that `chattr` sets and a new inode can be given. Immutable and append-only are not among
/// them: a plan refuses to change such a file.
const FLAGS: IFlags = IFlags::NODUMP
    .union(IFlags::NOATIME)
    .union(IFlags::SYNC)
    .union(IFlags::DIRSYNC)
    .union(IFlags::COMPRESSED)
    .union(IFlags::NOCOW)
    .union(IFlags::JOURNALING)
    .union(IFlags::NOTAIL)
    .union(IFlags::TOPDIR);

/// What an inode has beside its content, mode and owner. What a record of an older hwctl or a file
/// system does not tell is absent.
#[derive(Clone, Debug, Default, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Extended attributes by name, ACLs among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extended: Option<BTreeMap<String, ByteBuf>>,
    /// Those of [`FLAGS`] that are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flags: Option<u32>,
    /// When the content was last modified: seconds since 1970, and nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<Time>,
    /// Whether a part of it takes no room on disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_holes: bool,
    /// The file's other names, if it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names: Option<Names>,
}

/// Seconds since 1970, and nanoseconds.
type Time = (i64, u32);

/// A file with more names than one (hard links).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    /// How many names it has.
    count: u64,
    /// Its inode's number, where hwctl can keep it by a name of its own: on the file system of its
    /// folder.
    inode: Option<u64>,
}

/// The owner of a symbolic link and the time when it was made. A record of an older hwctl has neither.
#[derive(Clone, Copy, Debug, Default, Eq, Serialize, Deserialize)]
pub struct LinkAttributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::resource) owner: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<Time>,
}

impl PartialEq for LinkAttributes {
    fn eq(&self, other: &Self) -> bool {
        agree(self.owner.as_ref(), other.owner.as_ref())
    }
}

impl LinkAttributes {
    pub(in crate::resource) fn of(found: &Stat) -> Self {
        Self {
            owner: Some((found.st_uid, found.st_gid)),
            modified: Some(time(found.st_mtime, i64::try_from(found.st_mtime_nsec).unwrap_or(0))),
        }
    }

    /// The times to give to the link; the kernel's when it is not known.
    pub(in crate::resource) fn times(&self) -> Option<Timestamps> {
        self.modified.map(times)
    }
}

/// The time is given back with the content, and is no difference by itself: whoever only touches a
/// file changes nothing of it. What either side does not know is no difference either.
impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        agree(self.extended.as_ref(), other.extended.as_ref())
            && agree(self.flags.as_ref(), other.flags.as_ref())
    }
}

fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

impl Attributes {
    /// Reads those of an opened file.
    pub(in crate::resource) fn of_file(
        file: &File,
        found: &Metadata,
        host: &Host,
    ) -> io::Result<Self> {
        let names = (found.nlink() > 1).then(|| Names {
            count: found.nlink(),
            inode: (device(&host.state_dir()) == Some(found.dev())).then(|| found.ino()),
        });
        Ok(Self {
            modified: Some(time(found.mtime(), found.mtime_nsec())),
            has_holes: has_holes(found),
            names,
            ..Self::of_folder(file)?
        })
    }

    /// Reads those of an opened folder. Its time is not among them: what others do in it changes that.
    pub(in crate::resource) fn of_folder(folder: &File) -> io::Result<Self> {
        Ok(Self {
            extended: Some(read_extended(folder)?),
            flags: ioctl_getflags(folder).ok().map(|flags| (flags & FLAGS).bits()),
            ..Self::default()
        })
    }

    /// Those that stay where hwctl puts other content into a file's place: labels and notes, no rights
    /// that the declared mode does not give.
    #[must_use]
    pub(in crate::resource) fn without_rights(&self) -> Self {
        let mut stays = self.of_new_content();
        if let Some(extended) = &mut stays.extended {
            extended.retain(|name, _| !is_right(name));
        }
        stays
    }

    /// All of them, for content that was changed just now.
    #[must_use]
    pub(in crate::resource) fn of_new_content(&self) -> Self {
        Self { extended: self.extended.clone(), flags: self.flags, ..Self::default() }
    }

    /// The rights that an ACL gives beyond the mode, as text.
    pub(in crate::resource) fn acl(&self, host: &Host) -> Option<String> {
        let bytes = self.extended.as_ref()?.get(ACL)?;
        Some(acl::text(bytes, host))
    }

    /// The default ACL of a folder as text.
    pub(in crate::resource) fn default_acl(&self, host: &Host) -> Option<String> {
        let bytes = self.extended.as_ref()?.get(DEFAULT_ACL)?;
        Some(acl::text(bytes, host))
    }

    /// The capabilities of a program as text.
    pub(in crate::resource) fn capabilities(&self) -> Option<String> {
        let bytes = self.extended.as_ref()?.get(CAPABILITIES)?;
        Some(crate::resource::model::digest::hex(bytes))
    }

    /// Whether an ACL or capabilities give rights beyond the mode.
    pub(in crate::resource) fn has_rights(&self) -> bool {
        self.extended.iter().flatten().any(|(name, _)| is_right(name))
    }

    /// The names of the other attributes and the flags, as text.
    pub(in crate::resource) fn others(&self) -> Option<String> {
        let extended = self.extended.iter().flatten().map(|(name, _)| name.clone());
        let mut names: Vec<_> = extended.filter(|name| !is_right(name)).collect();
        let flags = IFlags::from_bits_truncate(self.flags.unwrap_or_default());
        names.extend(flags.iter_names().map(|(name, _)| name.to_lowercase()));
        (!names.is_empty()).then(|| names.join(" "))
    }

    pub(in crate::resource) fn has_holes(&self) -> bool {
        self.has_holes
    }

    /// How many names the file has, where it has more than one.
    pub(in crate::resource) fn names(&self) -> Option<u64> {
        self.names.map(|names| names.count)
    }

    /// Whether hwctl can keep the inode of a file with more names than one.
    pub(in crate::resource) fn is_keepable(&self) -> bool {
        self.names.is_some_and(|names| names.inode.is_some())
    }

    /// Where hwctl keeps the inode of a file with more names than one while another file is in its
    /// place.
    pub(in crate::resource) fn kept_at(&self, host: &Host) -> Option<PathBuf> {
        let inode = self.names?.inode?;
        Some(host.state_dir().join(KEPT_FOLDER).join(inode.to_string()))
    }

    /// Gives an empty file its flags: some take effect only before there is content.
    pub(in crate::resource) fn set_flags(&self, file: &File) {
        let Some(flags) = self.flags.map(IFlags::from_bits_truncate) else { return };
        // Flags are hints to the file system, and another one may lack them.
        if let Ok(now) = ioctl_getflags(file)
            && now & FLAGS != flags
        {
            let _ = ioctl_setflags(file, now.difference(FLAGS) | flags);
        }
    }

    /// Gives a file or folder these attributes and no others, after its mode and owner are set: a
    /// change of the owner takes capabilities away.
    pub(in crate::resource) fn set(&self, file: &File) -> io::Result<()> {
        if let Some(wanted) = &self.extended {
            let now = read_extended(file)?;
            for name in now.keys().filter(|name| !wanted.contains_key(*name) && !is_label(name)) {
                remove(file, name)?;
            }
            for (name, value) in wanted.iter().filter(|(name, value)| now.get(*name) != Some(value))
            {
                fsetxattr(file, name.as_str(), value, XattrFlags::empty())?;
            }
        }
        Ok(self.modified.map_or(Ok(()), |modified| futimens(file, &times(modified)))?)
    }
}

/// Whether a part of a file takes no room on disk.
pub(in crate::resource) fn has_holes(found: &Metadata) -> bool {
    found.blocks() * BLOCK < found.len()
}

/// Takes away the ACLs that something new has from the default ACL of its folder: its mode is all that
/// is declared.
pub(in crate::resource) fn disinherit(file: &File) -> io::Result<()> {
    remove(file, ACL)
}

fn time(seconds: i64, nanoseconds: i64) -> Time {
    (seconds, u32::try_from(nanoseconds).unwrap_or_default())
}

fn times((tv_sec, nanoseconds): Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec, tv_nsec: nanoseconds.into() },
    }
}

/// The file system that a path is on, or will be.
fn device(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|path| Some(fs::metadata(path).ok()?.dev()))
}

fn remove(file: &File, name: &str) -> io::Result<()> {
    match fremovexattr(file, name) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn read_extended(file: &File) -> io::Result<BTreeMap<String, ByteBuf>> {
    // Most have none or a label.
    let mut few = [0; 256];
    let mut many = Vec::new();
    let names = match flistxattr(file, &mut few) {
        Ok(length) => &few[..length],
        Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Err(Errno::RANGE) => {
            many.resize(MAX_ATTRIBUTE, 0);
            let length = flistxattr(file, &mut many[..])?;
            &many[..length]
        }
        Err(error) => return Err(error.into()),
    };
    let mut extended = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter_map(|name| str::from_utf8(name).ok()) {
        if name.is_empty() || COMPUTED.contains(&name) {
            continue;
        }
        let mut value = vec![0; MAX_ATTRIBUTE];
        match fgetxattr(file, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            // Somebody has removed it just now.
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error.into()),
        }
        value.shrink_to_fit();
        extended.insert(name.to_owned(), ByteBuf::from(value));
    }
    Ok(extended)
}

/// Whether an attribute gives rights.
fn is_right(name: &str) -> bool {
    [ACL, DEFAULT_ACL, CAPABILITIES].contains(&name)
}

/// Whether it is the label of a security module, which gives each new file one of its own.
fn is_label(name: &str) -> bool {
    name.starts_with("security.") && name != CAPABILITIES
}

#[cfg(test)]
mod tests;
