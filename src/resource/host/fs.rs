//! File system changes that are whole or not at all, and owners by name.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{FileType, IFlags, Mode, Stat};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::attributes::Attributes;
use crate::resource::host::batch::Batch;
use crate::resource::host::entry::{Entry, NewFile};
use crate::resource::model::hint::Advise;

/// Who owns a file: a user and a group, each a name or a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User name or uid.
    pub user: String,
    /// Group name or gid.
    pub group: String,
}

impl Owner {
    /// An owner by names or numbers.
    pub fn new(user: impl Into<String>, group: impl Into<String>) -> Self {
        Self { user: user.into(), group: group.into() }
    }

    /// `root:root`.
    #[must_use]
    pub fn root() -> Self {
        Self::new("root", "root")
    }

    /// The numbers, from the host's own tables; `None` while the user or group does not exist.
    pub fn resolve(&self, host: &Host) -> Result<Option<(u32, u32)>> {
        let user = number(host, "/etc/passwd", &self.user)?;
        let group = number(host, "/etc/group", &self.group)?;
        Ok(user.zip(group))
    }

    /// How `uid:gid` reads beside this owner: one given by number and by name is the same owner.
    pub fn seen(&self, host: &Host, uid: u32, gid: u32) -> Result<String> {
        if self.resolve(host)? == Some((uid, gid)) {
            return Ok(self.text());
        }
        owner_text(host, uid, gid)
    }

    /// `user:group` as declared.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}:{}", self.user, self.group)
    }

    pub(in crate::resource) fn require(&self, host: &Host) -> Result<(u32, u32)> {
        self.resolve(host)?
            .ok_or_else(|| anyhow!("user or group `{}:{}` does not exist", self.user, self.group))
    }
}

/// `uid:gid` by the host's names for them.
pub(in crate::resource) fn owner_text(host: &Host, uid: u32, gid: u32) -> Result<String> {
    let user = name(&table(host, "/etc/passwd")?, uid).unwrap_or_else(|| uid.to_string());
    let group = name(&table(host, "/etc/group")?, gid).unwrap_or_else(|| gid.to_string());
    Ok(format!("{user}:{group}"))
}

/// The host's name for a user, or the number.
pub(in crate::resource) fn user_text(host: &Host, uid: u32) -> String {
    name_or_number(host, "/etc/passwd", uid)
}

/// The host's name for a group, or the number.
pub(in crate::resource) fn group_text(host: &Host, gid: u32) -> String {
    name_or_number(host, "/etc/group", gid)
}

fn name_or_number(host: &Host, path: &str, number: u32) -> String {
    let known = table(host, path).ok().and_then(|table| name(&table, number));
    known.unwrap_or_else(|| number.to_string())
}

/// Whether the host has a user of this name or number.
pub fn has_user(host: &Host, name: &str) -> Result<bool> {
    Ok(number(host, "/etc/passwd", name)?.is_some())
}

/// Whether the host has a group of this name or number.
pub fn has_group(host: &Host, name: &str) -> Result<bool> {
    Ok(number(host, "/etc/group", name)?.is_some())
}

/// The third field (uid or gid) of the line whose first field is `name`. libc's own look-up needs
/// plugins that a static binary cannot load, and hosts of this tool have local users.
pub(in crate::resource) fn number(host: &Host, path: &str, name: &str) -> Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    Ok(table(host, path)?.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    }))
}

fn name(table: &str, number: u32) -> Option<String> {
    let number = number.to_string();
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&number)).then(|| name.to_owned())
    })
}

/// The name of a user of this machine, or the number.
#[must_use]
pub fn user_name(uid: u32) -> String {
    let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name(&table, uid).unwrap_or_else(|| uid.to_string())
}

/// A table of the host's users or groups; every file's owner is looked up there.
pub(in crate::resource) fn table(host: &Host, path: &str) -> Result<Rc<str>> {
    host.table(path, || {
        let path = host.path(Path::new(path));
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read.with_context(|| format!("read `{}`", path.display())),
        }
    })
}

/// Mode bits as `0644`.
pub(in crate::resource) fn mode_text(mode: u32) -> String {
    format!("{mode:04o}")
}

/// Refuses a change of a path that the file system does not let anybody change (`chattr +i`).
pub(in crate::resource) fn require_mutable(path: &Path) -> Result<()> {
    // A new name, and a file that is renamed over an old one, change the folder.
    for path in std::iter::once(path).chain(path.parent()) {
        let Ok(found) = fs::symlink_metadata(path) else { continue };
        if !found.is_file() && !found.is_dir() {
            continue;
        }
        let Ok(file) = fs::File::open(path) else { continue };
        // Not every file system has flags.
        let Ok(flags) = rustix::fs::ioctl_getflags(&file) else { continue };
        let is_kept =
            [(IFlags::IMMUTABLE, "immutable", "-i"), (IFlags::APPEND, "append-only", "-a")];
        let kept = is_kept.into_iter().find(|(flag, ..)| flags.contains(*flag));
        if let Some((_, word, option)) = kept {
            let shown = path.display();
            return Err(anyhow::anyhow!("`{shown}` is {word}: somebody protects it from changes"))
                .hint(format!("`chattr {option} {shown}` on the host lets it be changed"));
        }
    }
    Ok(())
}

/// The kind of thing at a path, for the message that something is in the way.
pub(in crate::resource) fn type_text(found: &Stat) -> String {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => "directory".to_owned(),
        // Its owner shows whether somebody planted it.
        FileType::Symlink => format!("symbolic link of `{}`", user_name(found.st_uid)),
        FileType::RegularFile => "file".to_owned(),
        _ => "special file".to_owned(),
    }
}

/// Permission bits and owner of a path.
pub(in crate::resource) fn mode_and_owner(found: &Stat) -> (u32, u32, u32) {
    (Mode::from_raw_mode(found.st_mode).as_raw_mode(), found.st_uid, found.st_gid)
}

/// When the entry at `path` last changed, by its inode; of an absent one, when its directory did.
pub(in crate::resource) fn changed(path: &Path) -> Option<SystemTime> {
    let entry = fs::symlink_metadata(path);
    let metadata = entry.or_else(|error| path.parent().map_or(Err(error), fs::metadata)).ok()?;
    let (seconds, nanos) = (u64::try_from(metadata.ctime()).ok()?, metadata.ctime_nsec());
    Some(UNIX_EPOCH + Duration::new(seconds, u32::try_from(nanos).ok()?))
}

/// Removes a file that may be gone already.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file beside its place, syncs it and renames it there: the path has the old content or
/// the new, never a part. Links that others than root could have planted are not followed.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
    let new = NewFile { bytes, mode, owner, attributes: &Attributes::default() };
    Entry::require(path)?.write(&new, &Batch::default())
}

/// Makes a folder that only root may enter, with those above it that are missing.
pub(in crate::resource) fn make_private(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).with_context(|| format!("make `{}`", folder.display()))
}

/// Adds what to do about the errors of a file system that have a remedy.
pub(in crate::resource) fn explain<T>(
    result: io::Result<T>,
    path: &Path,
    what: impl Fn() -> String,
) -> Result<T> {
    result.or_else(|error| {
        let folder = path.parent().unwrap_or(path).display();
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
                "free some space on the host (`df -h {folder}`, `apt-get clean`) and run again"
            )),
            io::ErrorKind::ReadOnlyFilesystem => Some(format!(
                "the file system is mounted read-only: `findmnt -T {folder}` and `dmesg` on the \
                 host say why"
            )),
            _ => None,
        };
        let error = anyhow::Error::new(error).context(what());
        match hint {
            Some(hint) => Err(error).hint(hint),
            None => Err(error),
        }
    })
}
