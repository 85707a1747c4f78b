//! The names that units of the operator's cannot have.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::{Host, Unit};
use crate::resource::model::hint::Advise;

/// Where packages have their units.
const OF_PACKAGES: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

impl Unit {
    /// Refuses a unit of the operator's whose file would hide that of a package.
    pub(super) fn require_own_name(&self, host: &Host) -> Result<()> {
        if !self.is_own {
            return Ok(());
        }
        let names = self.with_service();
        let mut paths = OF_PACKAGES
            .iter()
            .flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)));
        match paths.find(|path| host.path(path).exists()) {
            None => Ok(()),
            Some(path) => Err(anyhow!(
                "`{}` is a unit of a package on the host, which one of that name would put out of force",
                path.display()
            ))
            .hint("give it another name; a package's unit is changed by a file in its `.d` folder"),
        }
    }
}
