//! On the host, as root: reads, plans, applies, keeps the journal, undoes.
//!
//! It speaks frames on its standard input and output and ends with its session.

mod apply;
mod blobs;
mod concurrent;
mod deadman;
mod disk_space;
mod doctor;
mod drift;
mod driver;
mod dump;
mod facts;
mod format;
mod goal;
#[cfg(test)]
mod goldens;
mod host_secret;
mod input;
mod journal;
mod lock;
mod logs;
mod manifest;
mod order;
mod plan;
pub mod protocol;
mod rehearsal;
mod renewal;
mod restart;
mod session;
mod specs;
mod status;
mod steps;
mod together;
mod trial;
mod undo;
mod validate;
mod way_back;

pub use blobs::Bundle;
pub use deadman::{confirm, revert};
pub use doctor::{Examination, Units};
pub use driver::{Case, Driver, Drivers, Later, PackageContents, Symptoms};
pub use dump::{Copied, Dump, MAX_COPY_BYTES, check_copy};
pub use host_secret::host_secret;
pub use logs::{LogsRequest, tail};
pub use rehearsal::look;
pub use restart::{restart, restart_unit};
pub use session::serve;
pub use specs::kept_parts;
pub use status::{Status, status};
pub use trial::{Fault, OwnFile, Trial};
