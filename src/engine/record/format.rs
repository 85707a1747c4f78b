//! The format numbers of the records that hosts keep: the manifest, each run of the journal, and the specs of
//! the parts.
//!
//! A record from before the numbers were written has format 1. What it says is what a record with that
//! number says, so it is read as one and gets its number when it is written next. A newer format than
//! this version knows is refused: reading it by halves could take away what somebody needs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};

/// The format in which this version writes the manifest.
pub(in crate::engine) const MANIFEST: u32 = 1;
/// The format in which this version writes the journal of a run.
pub(in crate::engine) const JOURNAL: u32 = 1;
/// The format in which this version writes the specs of the parts.
pub(in crate::engine) const SPECS: u32 = 1;

/// What to do about a record that a newer version of hwctl wrote.
pub(super) const NEWER_HINT: &str = "use the newer hwctl: `grep -r --include=run.json version \
     /var/lib/hwctl/runs` on the host names the version of each run";

/// The format of a record that names none.
pub(in crate::engine) const fn unnumbered() -> u32 {
    1
}

/// The number as a record holds it, by a name that every later format keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Format {
    pub(in crate::engine) format: u32,
}

impl Format {
    /// Refuses a format that is newer than `newest`. The record is at `path`.
    pub(in crate::engine) fn require_known(self, newest: u32, path: &Path) -> Result<(), Failure> {
        let Self { format } = self;
        if format <= newest {
            return Ok(());
        }
        let what =
            format!("`{}` was written by a newer version of hwctl than this one", path.display());
        Err(Failure::new(Exit::Failed, what)
            .why(format!(
                "it has format {format}, and hwctl {} reads formats up to {newest}",
                env!("CARGO_PKG_VERSION")
            ))
            .not_done("nothing was changed on the host")
            .hint(NEWER_HINT))
    }
}
