//! The user whose keys they are, as the host's user table has it, and where the keys are.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::fs::{Owner, table};
use crate::resource::kinds::directory::Directory;

const FOLDER_MODE: u32 = 0o700;

/// A user of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    home: PathBuf,
}

impl Account {
    /// Looks a user up. Returns None where no user of this name has a home.
    pub(super) fn of(login: &str, host: &Host) -> Result<Option<Self>> {
        let users = table(host, "/etc/passwd")?;
        Ok(users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(login)).then_some(())?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            let home = PathBuf::from(fields.nth(1)?);
            home.is_absolute().then_some(Self { uid, gid, home })
        }))
    }

    /// The folder of the keys, as it should be.
    pub(super) fn folder(&self) -> Directory {
        let path = self.home.join(".ssh");
        Directory::new(path, FOLDER_MODE, self.owner())
    }

    /// The path of the keys.
    pub(super) fn keys(&self) -> PathBuf {
        self.home.join(".ssh/authorized_keys")
    }

    pub(super) fn owner(&self) -> Owner {
        Owner::new(self.uid.to_string(), self.gid.to_string())
    }
}
